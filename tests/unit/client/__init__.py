"""Unit tests of client: no sockets, no sleeps."""
