r"""Rows as the text that COPY takes. Pure.

Invariant: values are read back unchanged, to the byte, except NUL characters: PostgreSQL's text cannot
hold them, so each becomes U+FFFD and is counted. A NUL inside JSON is an escape there (``\u0000``) and
passes unchanged, since payloads are kept as text and not as jsonb.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from llmledgerd.errors import BatchRejected
from llmledgerd.records.timestamps import EPOCH

TIMES = frozenset({"created_at", "ingested_at", "at"})
"""Columns whose values are microseconds since 1970."""
NUMBERS = frozenset({"cache_marks"})
"""Columns whose values are lists of whole numbers."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
CHUNK_BYTES = 1 << 20
"""Bytes of a large value that are escaped at a time."""
PAYLOADS = (bytes, memoryview)
"""Types of payloads; one that is large may refer to its line."""
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
    fields: list[Sequence[bytes | memoryview]] = []
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        if name in wanted:
            try:
                if len(rows) == 1 and type(values[0]) in PAYLOADS and len(values[0]) > CHUNK_BYTES:
                    fields.append([_checked(values[0])])
                else:
                    fields.append(_encoded(name, values))
            except Exception as error:  # a value of another type can raise any exception
                raise BatchRejected(0, f"column {name}: {type(error).__name__}") from error
    if len(rows) == 1:  # so is a row that is as large as a block
        _append(block, [column[0] for column in fields])
    else:
        for row in zip(*fields, strict=True):
            block += b"\t".join(row) + b"\n"
    block.nul_replaced = block.count(b"\0")
    if block.nul_replaced:
        block[:] = block.replace(b"\0", REPLACEMENT)
    return block


def _append(block: Block, row: Iterable[bytes | memoryview]) -> None:
    """Append one row; large values are escaped in parts, so that there is no second copy of them."""
    for number, value in enumerate(row):
        if number:
            block += b"\t"
        if isinstance(value, memoryview):
            for start in range(0, len(value), CHUNK_BYTES):
                block += _escaped(bytes(value[start : start + CHUNK_BYTES]))
        else:
            block += value
    block += b"\n"


def _checked(value: bytes | memoryview) -> memoryview:
    """Return a large value as it is to be escaped. Raises UnicodeDecodeError."""
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(value)
    for start in range(0, len(view), CHUNK_BYTES):
        decoder.decode(view[start : start + CHUNK_BYTES])
    decoder.decode(b"", final=True)
    return view


def _encoded(name: str, values: Sequence[Any]) -> Sequence[bytes | memoryview]:
    if name in TIMES:
        return _times(values)
    return [_numbers(value) for value in values] if name in NUMBERS else _column(values)


def _numbers(values: list[int]) -> bytes:
    return b"{%b}" % b",".join(b"%d" % value for value in values)


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


_encode_numbers = msgspec.json.Encoder(decimal_format="number").encode


def _json(value: dict[str, Any] | tuple[Any, ...]) -> bytes:
    """Return JSON whose numbers keep all their digits."""
    return _escaped(_encode_numbers(value))


_WRITERS: dict[type, Callable[..., bytes]] = {
    type(None): lambda value: NULL,
    str: lambda value: _escaped(value.encode()),
    bytes: _bytes,
    memoryview: lambda value: _bytes(bytes(value)),
    int: lambda value: b"%d" % value,
    bool: lambda value: b"%d" % value,
    Decimal: lambda value: format(value, "f").encode(),
    list: _array,
    dict: _json,
    tuple: _json,
}
