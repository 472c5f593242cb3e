"""Unit tests of query: no sockets, no sleeps."""
