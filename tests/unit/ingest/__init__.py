"""Unit tests of ingest: no sockets, no sleeps."""
