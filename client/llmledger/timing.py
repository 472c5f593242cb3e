"""Backoff and adaptive sleep of the sender. Pure: the caller passes the clock and the random source.

Invariant: no sequence of calls returns a delay of zero, so that no caller can busy-loop.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

SHORTEST_NAP_SECONDS: Final = 0.002
LONGEST_NAP_SECONDS: Final = 0.032
"""Maximum time of a record in memory before it is written: the loss window of a killed process."""

LINES_PER_NAP: Final = 3.5
"""Minimum nap: an iteration costs some 50 µs of CPU for any number of lines, so lines are grouped."""

LEISURELY_LINES_PER_SECOND: Final = 500
"""Lines per nap that do not shorten it: for a mostly idle application CPU matters more than latency."""

IDLE_SECONDS: Final = 0.1
"""Naps without a line before the sleep until woken.

Waking a thread costs the waking thread 4 to 5 µs on a virtual machine (measured: futex, pipe and
eventfd alike), more than the rest of ``record``. An application that records more than some ten times
per second never pays this: the sender polls.
"""


class Backoff:
    """Exponential backoff with jitter: the delay doubles up to the cap, and half of it is random."""

    def __init__(self, *, first: float, cap: float, dice: Callable[[], float] = random.random) -> None:
        self._first, self._cap, self._dice = first, cap, dice
        self._delay = first

    def failed(self, now: float) -> float:
        """Return the time of the next attempt."""
        delay, self._delay = self._delay, min(self._cap, self._delay * 2)
        return now + delay * (0.5 + self._dice() / 2)

    def succeeded(self) -> None:
        """Reset to the first delay."""
        self._delay = self._first


class AdaptiveSleep:
    """Naps that adapt to the rate of lines, and sleep after some time without lines."""

    def __init__(self) -> None:
        self._nap = SHORTEST_NAP_SECONDS
        self._idle = 0.0

    def seconds(self, lines: int) -> float | None:
        """Return the seconds of the next rest, given the lines written since the last; None: until woken.

        From 2,500 lines per second the naps are shortest, which bounds the latency of a line; up to 600
        per second they are longest.
        """
        hurried = lines - self._nap * LEISURELY_LINES_PER_SECOND
        best = self._nap * LINES_PER_NAP / max(1.0, hurried)
        self._nap = min(max(best, SHORTEST_NAP_SECONDS), 2 * self._nap, LONGEST_NAP_SECONDS)
        self._idle = 0.0 if lines else self._idle + self._nap
        return self._nap if self._idle <= IDLE_SECONDS else None


class LogRateLimit:
    """Rate limit of log lines: of each kind one immediately, then one per ``interval_seconds``."""

    def __init__(self, interval_seconds: float = 600.0) -> None:
        self._interval_seconds = interval_seconds
        self._last: dict[str, float] = {}

    def is_due(self, kind: str, now: float) -> bool:
        """Return whether this kind may be logged now, and count it as logged."""
        if now - self._last.get(kind, float("-inf")) < self._interval_seconds:
            return False
        self._last[kind] = now
        return True
