"""NDJSON framing: bytes in, whole lines out, in as few pieces as possible.

Invariant: how the stream is cut into reads never changes which lines come out. Lines leave as
blocks of many lines, because the spool stores them as they came and nobody needs a single line
before its segment is shipped. This module does no I/O and knows nothing of JSON.
"""

from __future__ import annotations

import msgspec

HEAD_BYTES = 4096
"""Bytes that are kept of a line over the limit."""

NEWLINE = b"\n"

SHORT_LINE_BYTES = 1024
"""Line length below which one ``find`` per line costs more than counting byte by byte."""


class Block(msgspec.Struct):
    """Whole lines, each with its newline: the joined pieces hold exactly ``lines`` newlines."""

    pieces: list[bytes | bytearray]
    lines: int
    size: int


class Oversize(msgspec.Struct):
    """One line over the limit: its first bytes, and its length without the newline."""

    head: bytes
    size: int


class Framer:
    """Cuts one connection's bytes into lines of at most ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()  # of a line that has not ended; of a long one, its head
        self._length = 0  # of that line so far

    @property
    def held(self) -> int:
        """Bytes in memory for a line that has not ended."""
        return len(self._tail)

    def feed(self, buffer: bytearray, size: int) -> list[Block | Oversize]:
        """Return the lines that ``buffer[:size]`` completed, in order. The buffer may be reused afterwards."""
        out: list[Block | Oversize] = []
        start = 0
        if self._length + size > self._limit:
            start = self._end_long(buffer, size, out)
        end = buffer.rfind(NEWLINE, start, size) + 1
        if end > start:
            block = self._block(buffer, start, end)
            # A limit below the size of one read is the only way for a second line to be long.
            out += [block] if size <= self._limit else regrouped(block, self._limit)
        self._keep(buffer, max(start, end), size)
        return out

    def rest(self) -> bytes:
        """Remove and return the bytes after the last newline; empty if they exceed the limit."""
        rest = bytes(self._tail) if self._length <= self._limit else b""
        self._tail, self._length = bytearray(), 0
        return rest

    def _end_long(self, buffer: bytearray, size: int, out: list[Block | Oversize]) -> int:
        """Finish the pending line if it is long and ends here; return where the next one starts."""
        newline = buffer.find(NEWLINE, 0, size)
        length = self._length + newline
        if newline < 0 or length <= self._limit:
            return 0
        missing = max(0, HEAD_BYTES - len(self._tail))
        out.append(Oversize(bytes(self._tail[:HEAD_BYTES] + buffer[: min(newline, missing)]), length))
        self._tail, self._length = bytearray(), 0
        return newline + 1

    def _block(self, buffer: bytearray, start: int, end: int) -> Block:
        pieces: list[bytes | bytearray] = [self._tail] if self._tail else []
        pieces.append(bytes(memoryview(buffer)[start:end]))
        block = Block(pieces, _newlines(buffer, start, end), len(self._tail) + end - start)
        self._tail, self._length = bytearray(), 0
        return block

    def _keep(self, buffer: bytearray, start: int, size: int) -> None:
        self._length += size - start
        if self._length <= self._limit:
            self._tail += memoryview(buffer)[start:size]
        elif len(self._tail) < HEAD_BYTES:
            self._tail += memoryview(buffer)[start : min(size, start + HEAD_BYTES - len(self._tail))]
        elif len(self._tail) > HEAD_BYTES:
            self._tail = self._tail[:HEAD_BYTES]


def _newlines(buffer: bytearray, start: int, end: int) -> int:
    """Count the newlines; by ``find`` while lines are long, since ``count`` looks at each byte by itself."""
    found = 0
    most = (end - start) // SHORT_LINE_BYTES
    while (start := buffer.find(NEWLINE, start, end) + 1) > 0:
        found += 1
        if found > most:
            return found + buffer.count(NEWLINE, start, end)
    return found


def regrouped(block: Block, limit: int) -> list[Block | Oversize]:
    """Split a block in which any line may be long."""
    out: list[Block | Oversize] = []
    good: list[bytes] = []
    for line in b"".join(block.pieces).split(NEWLINE)[:-1]:
        if len(line) <= limit:
            good.append(line)
            continue
        _close(good, out)
        out.append(Oversize(line[:HEAD_BYTES], len(line)))
    _close(good, out)
    return out


def split(block: Block, most: int) -> list[Block]:
    """Split a block into blocks of at most ``most`` lines."""
    if block.lines <= most:
        return [block]
    lines = b"".join(block.pieces).split(NEWLINE)[:-1]
    out: list[Block | Oversize] = []
    for start in range(0, len(lines), most):
        _close(lines[start : start + most], out)
    return [item for item in out if isinstance(item, Block)]


def split_at(block: Block, lines: int) -> list[Block]:
    """Split a block after a number of lines; a split at one of its ends returns it whole."""
    if not 0 < lines < block.lines:
        return [block]
    body = b"".join(block.pieces)
    end = 0
    for _ in range(lines):
        end = body.index(NEWLINE, end) + 1
    return [Block([body[:end]], lines, end), Block([body[end:]], block.lines - lines, len(body) - end)]


def _close(lines: list[bytes], out: list[Block | Oversize]) -> None:
    if not lines:
        return
    body = NEWLINE.join(lines) + NEWLINE
    out.append(Block([body], len(lines), len(body)))
    lines.clear()
