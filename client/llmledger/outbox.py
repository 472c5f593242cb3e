"""Gathering of lines into views of bytes for one ``sendmsg``.

Invariant: the output is the buffer's lines in order and complete, for any partial writes of the
kernel; at most ``GATHERED_BYTES`` are encoded between two writes, because every write releases the
GIL to the application. No I/O.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from llmledger.buffer import ENCODE_FAILED, TOO_LONG, Buffer
from llmledger.line import Line, complete, most_bytes, pieces, whole
from llmledger.payload import LONGEST_ESCAPE

GATHERED_BYTES: Final = 64 << 10
"""A third of Linux's default socket buffer; escaping it takes some 0.1 ms."""

MOST_VIEWS: Final = 512
"""Half of IOV_MAX, which is 1,024 on Linux and macOS."""

SHORT_LINE_BYTES: Final = 16 << 10
"""Lines up to this size are written as one piece."""


class Outbox:
    """Output of one connection; a partly written line ends with it."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._pieces: Iterator[bytes] = iter(())
        self._views: deque[memoryview] = deque()
        self._bytes = 0

    def views(self) -> list[memoryview]:
        """Return the next views to write; empty if no line waits."""
        while self._bytes < GATHERED_BYTES and len(self._views) < MOST_VIEWS:
            piece = next(self._pieces, None)
            if piece is not None:
                self._views.append(memoryview(piece))
                self._bytes += len(piece)
                continue
            line = self._buffer.next_line()
            if line is None:
                break
            line = self._writable(line)
            if line.size <= SHORT_LINE_BYTES:
                short = whole(line)
                self._views.append(memoryview(short))
                self._bytes += len(short)
            else:
                self._pieces = pieces(line)
        return list(self._views)

    def written(self, count: int) -> None:
        """Remove the first ``count`` bytes, which the kernel accepted."""
        self._bytes -= count
        while count and count >= len(self._views[0]):
            count -= len(self._views.popleft())
        if count:
            self._views[0] = self._views[0][count:]

    def _writable(self, line: Line) -> Line:
        try:
            complete(line)
        except Exception:  # noqa: BLE001 - encoding does not fail; if it does, it must not block the following lines
            return self._buffer.replace(ENCODE_FAILED)
        limit = self._buffer.max_line_bytes
        # Plus one for the newline, which the limit excludes.
        is_short = LONGEST_ESCAPE * line.size <= limit
        if not is_short and most_bytes(line) > limit + 1 and _exact_bytes(line) > limit + 1:
            return self._buffer.replace(TOO_LONG)
        return line


def _exact_bytes(line: Line) -> int:
    """Return the exact length by encoding the line once; needed when the upper bound exceeds the limit."""
    total = 0
    for piece in pieces(line):
        total += len(piece)
        time.sleep(0)  # releases the GIL between slices
    return total
