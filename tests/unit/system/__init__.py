"""Unit tests of system: no sockets, no sleeps."""
