"""The lines of a segment's groups, split with little copying. Pure.

Invariant: every line is yielded once, in its order. A long line is a view of its group, or lies in memory
once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmledgerd.spool import EntryKind, ReadGroup

LONG_LINE = 16 << 10
"""A list of lines of this length is memory that the caches do not hold, and costs several times its copying."""

LARGE_LINE = 1 << 20
"""A line of this length is not copied out of its group, where nobody needs it as bytes."""

Line = bytes | memoryview


def own_lines(groups: Iterable[ReadGroup]) -> Iterator[bytes]:
    """Yield the lines of a segment that the daemon wrote itself, each with its newline."""
    for read in groups:
        body, start = bytes(read.body or b""), 0
        for entry in read.group.entries if body else ():
            if entry.kind == EntryKind.OWN:
                yield from body[start : start + entry.size].splitlines(keepends=True)
            start += entry.size


def split_run(run: memoryview, lines: int, most: int) -> Iterable[Line]:
    """Return the lines of a run: short ones at once; long ones each in the memory of the one before.

    What is longer than ``most`` is a view of the run.
    """
    if len(run) < LONG_LINE * lines:
        return bytes(run).split(b"\n", lines)[:lines]
    return (line if len(line) > most else bytes(line) for line in _one_by_one(run, lines))


def _one_by_one(run: memoryview, lines: int) -> Iterator[memoryview]:
    start = 0
    for left in range(lines, 0, -1):
        end = _newline(run, start) if left > 1 else len(run) - 1
        yield run[start:end]
        start = end + 1


def _newline(run: memoryview, start: int) -> int:
    """Return where the next newline is; a view cannot be searched, and a copy of it might be large."""
    for at in range(start, len(run), LONG_LINE):
        found = bytes(run[at : at + LONG_LINE]).find(b"\n")
        if found >= 0:
            return at + found
    return len(run)


def rows_of(read: ReadGroup) -> range:
    """Return the rows of a group's lines, counted in the segment."""
    return range(read.group.first_row, read.group.first_row + read.group.lines)
