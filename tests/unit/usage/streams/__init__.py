"""Unit tests of usage.streams: no sockets, no sleeps."""
