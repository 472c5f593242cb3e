"""Unit tests of daemon: no sockets, no sleeps."""
