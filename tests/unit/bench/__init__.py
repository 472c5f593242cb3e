"""Unit tests of bench: no sockets, no sleeps."""
