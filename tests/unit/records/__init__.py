"""Unit tests of records: no sockets, no sleeps."""
