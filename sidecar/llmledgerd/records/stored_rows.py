"""Rows as a store returns them, in the form in which the daemon builds them. Pure.

Invariant: a row that was stored and read again equals the row that was built.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from llmledgerd.records.schema import BYTES_COLUMNS, COLUMNS, Row
from llmledgerd.records.timestamps import microseconds

_TUPLES = frozenset({"tool_calls", "tool_results"})
"""Columns that are tuples of tuples."""


def as_made(row: dict[str, Any]) -> Row:
    """Return a row from a store in the daemon's form: times in microseconds, flags as numbers."""
    return tuple(_as_made(name, row[name]) for name in COLUMNS)


def _as_made(name: str, value: Any) -> object:
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, bool):
        return int(value)
    if name == "batch_id":
        return str(value)
    if name in _TUPLES:
        return tuple(tuple(one.values() if isinstance(one, dict) else one) for one in value)
    return value.encode() if name in BYTES_COLUMNS and isinstance(value, str) else value
