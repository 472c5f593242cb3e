"""Ranges of time in which the newest calls are looked for, one after another. Pure.

Invariants:
- The ranges do not overlap, each ends where the one before begins, and together they are the whole range.
- Each is some times as long as the one before, so that what is read beyond the calls that are wanted is in
  proportion to what had to be read, and a table of any size takes a few ranges.

The table is sorted by hour, and within it by conversation: the engine cannot read it backwards by time, and
would read all that an organization has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

HOUR_US: Final = 3_600_000_000
GROWTH: Final = 16
STEPS: Final = 3
"""Bounded ranges: an hour, 16 hours and 256 hours. What is earlier is one more."""

Range = tuple[int | None, int | None]
"""Microseconds since 1970, without the end. None is unbounded."""


def ranges(now_us: int, start_us: int | None, end_us: int | None) -> Iterator[Range]:
    """Yield the ranges that make up ``start_us`` to ``end_us``, the latest first."""
    end, width = end_us, HOUR_US
    newest = now_us if end is None else min(now_us, end)
    at = newest // HOUR_US * HOUR_US
    for _ in range(STEPS):
        at -= width
        width *= GROWTH
        if start_us is not None and at <= start_us:
            break
        yield at, end
        end = at
    yield start_us, end
