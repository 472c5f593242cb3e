"""Unit tests of telemetry: no sockets, no sleeps."""
