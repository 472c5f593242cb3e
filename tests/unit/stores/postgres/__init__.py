"""Unit tests of stores.postgres: no sockets, no sleeps."""
