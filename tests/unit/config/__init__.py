"""Unit tests of config: no sockets, no sleeps."""
