"""Unit tests of deploy: no sockets, no sleeps."""
