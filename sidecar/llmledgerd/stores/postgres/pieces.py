"""Parts in which encoded rows are sent. Pure.

Invariant: a part ends with a row, so that each is a COPY by itself.
"""

from __future__ import annotations

from typing import Final

SMALLEST: Final = 64 << 10
WRITTEN_AT_ONCE: Final = 64 << 10
"""Bytes of a part that are handed to the driver at a time, which copies them."""


def end_of_row(block: bytes | bytearray, wanted: int) -> int:
    """Return the end of the row that has the byte before ``wanted``; at most the length of the block.

    A newline ends a row: within values it is escaped.
    """
    found = block.find(b"\n", wanted - 1)
    return found + 1 if found >= 0 else len(block)


def next_size(size: int, took_seconds: float, limit_seconds: float) -> int:
    """Return the size of the next part: twice as large while one takes a small part of the limit."""
    return size * 2 if took_seconds < limit_seconds / 8 else max(SMALLEST, size // 2)
