"""Unit tests of stores: no sockets, no sleeps."""
