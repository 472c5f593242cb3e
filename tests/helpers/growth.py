"""How the time of a call grows with its input: what tells a linear reading from a quadratic one.

Invariant: only times of one run are compared, and of those the shortest of some, so that another process
beside the test cannot make it fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MEASURABLE_SECONDS = 0.0005
LARGEST = 1 << 20
FACTOR = 16
MOST = 64.0
"""16 times the input is 16 times the steps, or 256 where they are quadratic. In between are constants that
differ between the two inputs: caches, and a text of even or odd parts."""


def grows_linearly(
    call: Callable[[T], object],
    made: Callable[[int], T],
    start: int = 256,
    measurable_seconds: float = MEASURABLE_SECONDS,
) -> None:
    """Assert that a call takes time in proportion to the size that ``made`` gets."""
    size = start
    before = _seconds(call, made(size))
    while before < measurable_seconds and size < LARGEST // FACTOR:
        size *= 2
        before = _seconds(call, made(size))
    if before < measurable_seconds:
        return  # the largest is read in no time
    found: list[float] = []
    for runs in (1, 2, 2, 2):  # another process can only lengthen a run
        found.append(_seconds(call, made(size * FACTOR), runs) / before)
        if found[-1] < MOST:
            return
        before = _seconds(call, made(size))
    raise AssertionError(
        f"{FACTOR} times the input took {', '.join(f'{one:.0f}' for one in found)} times as long"
    )


def _seconds(call: Callable[[T], object], given: T, runs: int = 2) -> float:
    shortest = float("inf")
    for _ in range(runs):
        began = time.process_time()
        call(given)
        shortest = min(shortest, time.process_time() - began)
    return max(shortest, 1e-6)
