"""Unit tests of usage.providers: no sockets, no sleeps."""
