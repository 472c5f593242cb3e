"""Unit tests of cli: no sockets, no sleeps."""
