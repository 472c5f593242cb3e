"""Exponential backoff with jitter, and the named retry policies. Pure: the caller brings clock and dice.

Invariant: a delay is never above its policy's cap and never below half of its policy's first delay,
however long the outage lasts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, NamedTuple


class Backoff:
    """Exponential backoff with jitter and without an end."""

    def __init__(self, *, first: float, cap: float, dice: Callable[[], float] = random.random) -> None:
        self._first, self._cap, self._dice = first, cap, dice
        self._delay = first

    def failed(self) -> float:
        """Return the seconds to wait before the next attempt."""
        delay, self._delay = self._delay, min(self._cap, self._delay * 2)
        return delay * (0.5 + self._dice() / 2)

    def succeeded(self) -> None:
        self._delay = self._first


class RetryPolicy(NamedTuple):
    """First delay and upper bound of a retry loop's backoff."""

    first_seconds: float
    cap_seconds: float

    def backoff(self) -> Backoff:
        """Return a new backoff that follows this policy."""
        return Backoff(first=self.first_seconds, cap=self.cap_seconds)


GROUP_COMMIT: Final = RetryPolicy(first_seconds=0.05, cap_seconds=5.0)
"""Appending to a spool that cannot be written to: senders wait for it."""

SETTLEMENT: Final = RetryPolicy(first_seconds=0.1, cap_seconds=5.0)
"""Writing to the spool what became of a segment: only the space that it occupies waits for it."""
