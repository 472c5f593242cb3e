"""What is said of each column. Pure data."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """One column."""

    name: str
    clickhouse: str
    """ClickHouse type, without codec."""
    postgres: str
    """PostgreSQL type, without ``NOT NULL``."""
    value: str
    """The Python expression that gives its value, of ``record``, ``facts`` and the names that
    ``rows.RowBuilder.row`` computes."""
    meaning: str
    listed: bool = False
    """Whether readers return it as a field of ``query.results.Call``."""
