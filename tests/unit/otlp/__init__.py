"""Unit tests of otlp: no sockets, no sleeps."""
