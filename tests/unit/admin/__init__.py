"""Unit tests of admin: no sockets, no sleeps."""
