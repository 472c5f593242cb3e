"""Lines with what they are, and the rows of those that are records, made for some lines together. Pure.

Invariant: the lines come in their order, each with what it alone is or what it alone raises; few of them are in
memory at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from llmledger.protocol import Begin, End, Record
from llmledgerd.delivery.batch import Source
from llmledgerd.delivery.segment_lines import Line
from llmledgerd.records import parsing
from llmledgerd.records.parsing import Dropped
from llmledgerd.records.schema import Row
from llmledgerd.records.steps import Steps, together

MOST_LINES = 64
MOST_BYTES = 128 << 10
"""Bounds of the lines that are read together: what is made of them should fit the processor's caches."""


class Ready(msgspec.Struct):
    """A line, and what it is."""

    source: Source
    line: Line
    parsed: Record | Begin | Dropped | End | None = None
    """None of a line that is not asked for."""
    row: Row = ()
    """Of a record."""
    error: Exception | None = None
    """What it raised."""


def ready_lines(
    lines: Iterable[tuple[Source, Line]],
    steps: Callable[[Source, Line, Record], Steps[Row]],
    is_asked_for: Callable[[Source], bool],
) -> Iterator[Ready]:
    """Yield the lines; ``steps`` begins the row of a record."""
    waiting: list[Ready] = []
    size = 0
    for source, line in lines:
        waiting.append(Ready(source, line))
        size += len(line)
        if len(waiting) >= MOST_LINES or size >= MOST_BYTES:
            yield from _read(waiting, steps, is_asked_for)
            waiting, size = [], 0
    yield from _read(waiting, steps, is_asked_for)


def _read(
    waiting: list[Ready],
    steps: Callable[[Source, Line, Record], Steps[Row]],
    is_asked_for: Callable[[Source], bool],
) -> list[Ready]:
    records: list[Ready] = []
    begun: list[Steps[Row]] = []
    for one in waiting:
        if not is_asked_for(one.source):
            continue
        try:
            one.parsed = parsing.parse(one.line)
            if isinstance(one.parsed, Record):
                begun.append(steps(one.source, one.line, one.parsed))
                records.append(one)
        except Exception as error:  # noqa: BLE001 - raised when the line is taken
            one.error = error
    for one, made in zip(records, together(begun), strict=True):
        if isinstance(made, Exception):
            one.error = made
        else:
            one.row = made
    return waiting
