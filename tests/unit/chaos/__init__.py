"""Unit tests of chaos: no sockets, no sleeps."""
