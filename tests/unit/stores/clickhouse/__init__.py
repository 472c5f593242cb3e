"""Unit tests of stores.clickhouse: no sockets, no sleeps."""
