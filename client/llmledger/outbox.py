"""What goes to the connection next: views of bytes, gathered for one call of the kernel.

Invariant: what leaves is the buffer's lines in order, each whole, however the kernel cuts its
writes; and no more than ``GATHERED_BYTES`` is worked on between two writes, because every write
gives the interpreter's lock to the application. No I/O.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from llmledger.buffer import ENCODE_FAILED, TOO_LONG, Buffer
from llmledger.line import Line, complete, most_bytes, pieces

GATHERED_BYTES: Final = 64 << 10
"""A third of Linux' default socket buffer; the escaping of it takes some 0.1 ms."""

MOST_VIEWS: Final = 512
"""Half of IOV_MAX, which is 1,024 on Linux and macOS."""


class Outbox:
    """Lives as long as one connection; a line of which a part was written dies with it."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._pieces: Iterator[bytes] = iter(())
        self._views: deque[memoryview] = deque()
        self._bytes = 0

    def views(self) -> list[memoryview]:
        """Return what to write next, empty when nothing waits."""
        while self._bytes < GATHERED_BYTES and len(self._views) < MOST_VIEWS:
            piece = next(self._pieces, None)
            if piece is not None:
                self._views.append(memoryview(piece))
                self._bytes += len(piece)
                continue
            line = self._buffer.next_line()
            if line is None:
                break
            self._pieces = pieces(self._writable(line))
        return list(self._views)

    def written(self, count: int) -> None:
        """Take away the first ``count`` bytes: the kernel has them."""
        self._bytes -= count
        while count and count >= len(self._views[0]):
            count -= len(self._views.popleft())
        if count:
            self._views[0] = self._views[0][count:]

    def _writable(self, line: Line) -> Line:
        try:
            complete(line)
        except Exception:  # noqa: BLE001 - encoding does not fail; if it does, the lines behind shall not wait for ever
            return self._buffer.replace(ENCODE_FAILED)
        limit = self._buffer.max_line_bytes
        # One more for the newline, which the limit does not count.
        if most_bytes(line) > limit + 1 and _exact_bytes(line) > limit + 1:
            return self._buffer.replace(TOO_LONG)
        return line


def _exact_bytes(line: Line) -> int:
    """Work the line once for its length alone: some 25 MB of text, or more, may be too long or not."""
    total = 0
    for piece in pieces(line):
        total += len(piece)
        time.sleep(0)  # gives the interpreter's lock away between slices
    return total
