r"""Rows as the text that COPY takes. Pure.

Invariant: values are read back unchanged, to the byte, except NUL characters: PostgreSQL's text cannot
hold them, so each becomes U+FFFD and is counted. A NUL inside JSON is an escape there (``\u0000``) and
passes unchanged, since payloads are kept as text and not as jsonb.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from llmledgerd.errors import BatchRejected

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = frozenset({"created_at", "ingested_at", "at"})
"""Columns whose values are microseconds since 1970."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
NULL = b"\\N"
SPECIAL = re.compile(rb"[\\\n\r]")


class Block(bytearray):
    """Encoded rows, and the number of NUL characters that were replaced."""

    nul_replaced = 0


def moment(us: int) -> datetime:
    """Return a time given in microseconds since 1970, clamped to the range of ``datetime``."""
    try:
        return EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if us > 0 else datetime.min.replace(tzinfo=UTC)


def storable(text: str) -> str:
    """Return the text as it is read back."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def encode(columns: Sequence[str], rows: Sequence[Sequence[object]], wanted: Collection[str]) -> Block:
    """Return the wanted columns of the rows, in the order of ``columns``.

    Raises BatchRejected for a value that no column holds.
    """
    block = Block()
    fields = []
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        if name in wanted:
            try:
                fields.append(_times(values) if name in TIMES else _column(values))
            except Exception as error:  # a value of another type can raise any exception
                raise BatchRejected(0, f"column {name}: {type(error).__name__}") from error
    for row in zip(*fields, strict=True):
        block += b"\t".join(row) + b"\n"
    block.nul_replaced = block.count(b"\0")
    if block.nul_replaced:
        block[:] = block.replace(b"\0", REPLACEMENT)
    return block


def _times(values: Sequence[Any]) -> list[bytes]:
    return [moment(value).isoformat().encode() for value in values]


def _column(values: Sequence[Any]) -> list[bytes]:
    if all(type(value) is str for value in values):
        # At once, since nearly all columns are short texts without anything to escape.
        joined = "\t".join(values).encode()
        if joined.count(b"\t") == len(values) - 1 and not SPECIAL.search(joined):
            return joined.split(b"\t")
    return [_WRITERS[type(value)](value) for value in values]


def _escaped(text: bytes) -> bytes:
    return text.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def _bytes(value: bytes) -> bytes:
    value.decode()  # which the server would refuse for the whole block
    return _escaped(value)


def _array(values: list[str]) -> bytes:
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return _escaped(("{" + ",".join(f'"{value}"' for value in quoted) + "}").encode())


_WRITERS: dict[type, Callable[..., bytes]] = {
    type(None): lambda value: NULL,
    str: lambda value: _escaped(value.encode()),
    bytes: _bytes,
    int: lambda value: b"%d" % value,
    bool: lambda value: b"%d" % value,
    Decimal: lambda value: format(value, "f").encode(),
    list: _array,
}
