"""Rows as one block of ClickHouse's Native format.

Invariant: what is encoded is what was given, or BatchRejected names the column that cannot hold it.

Written here and not by the driver's own insert, because that one cuts blocks of 1 to 2 MB, puts the
encoding on the far side of the connection, and loads pandas (80 MB) where it is installed to look
whether the rows are its own. The driver's column types do the encoding; this module does not import
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from llmtraced.errors import BatchRejected


class ColumnType(Protocol):
    """What is used of the driver's types."""

    @property
    def insert_name(self) -> str: ...
    def write_column(self, column: Sequence[Any], dest: bytearray, ctx: Any) -> None: ...


class Context(Protocol):
    """The driver's notes on the insert under way, which its types want to see."""

    def start_column(self, name: str) -> None: ...


def wire_type(declared: str) -> str:
    """Return the type that values of a column are sent as; the engine converts to the column's own.

    Dictionaries of LowCardinality are left to the engine, which builds them faster. Times go as
    microseconds, whatever precision the table keeps.
    """
    for wrapper in ("LowCardinality(", "SimpleAggregateFunction("):
        if declared.startswith(wrapper):
            declared = declared[len(wrapper) : -1].split(", ")[-1]
    return "DateTime64(6, 'UTC')" if declared.startswith("DateTime") else declared


def native_block(
    names: Sequence[str], types: Sequence[ColumnType], rows: Sequence[Sequence[object]], context: Context
) -> bytearray:
    """Return the rows as one block. Raises BatchRejected."""
    out = bytearray()
    _append_number(out, len(names))
    _append_number(out, len(rows))
    for name, kind, values in zip(names, types, zip(*rows, strict=True), strict=True):
        for text in (name.encode(), kind.insert_name.encode()):
            _append_number(out, len(text))
            out += text
        context.start_column(name)
        try:
            kind.write_column(values, out, context)
        except Exception as error:  # the encoders raise whatever a value makes them raise
            raise BatchRejected(0, f"column {name}: {error!r}") from error
    return out


def _append_number(out: bytearray, number: int) -> None:
    """Append an unsigned LEB128, the length prefix of the Native format."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
