"""Unit tests of delivery: no sockets, no sleeps."""
