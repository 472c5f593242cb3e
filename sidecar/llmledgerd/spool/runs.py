"""Sets of mostly consecutive numbers, stored as runs. Pure.

Invariant: runs are ascending and never touch, so that a store that is a day ahead of another is a
few numbers in every header and not one for each segment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

Runs = list[tuple[int, int]]
"""First and last of each run, both inclusive."""


def has(runs: Runs, number: int) -> bool:
    at = _at_or_before(runs, number)
    return at >= 0 and number <= runs[at][1]


def add(runs: Runs, number: int) -> None:
    if has(runs, number):
        return
    at = _at_or_before(runs, number) + 1
    first = last = number
    if at < len(runs) and runs[at][0] == number + 1:
        last = runs.pop(at)[1]
    if at and runs[at - 1][1] == number - 1:
        at -= 1
        first = runs.pop(at)[0]
    runs.insert(at, (first, last))


def remove(runs: Runs, number: int) -> None:
    if not has(runs, number):
        return
    at = _at_or_before(runs, number)
    first, last = runs.pop(at)
    rests = [(first, number - 1), (number + 1, last)]
    runs[at:at] = [(start, end) for start, end in rests if start <= end]


def numbers(runs: Runs) -> Iterator[int]:
    for first, last in runs:
        yield from range(first, last + 1)


def _at_or_before(runs: Runs, number: int) -> int:
    """Return the index of the last run that begins at the number or before it; -1 without one."""
    return bisect_right(runs, number, key=lambda run: run[0]) - 1
