"""When the sender tries again, and how long it rests. Pure: the caller brings the clock and the dice.

Invariant: no sequence of calls makes a delay of zero, so nothing that follows these is a busy loop.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

SHORTEST_NAP_SECONDS: Final = 0.002
LONGEST_NAP_SECONDS: Final = 0.032
"""How long a record may wait in memory to be written: what a killed process can lose beyond the kernel."""

LINES_PER_NAP: Final = 3.5
"""A turn of the sender costs some 50 µs of CPU, whatever it writes: so it waits for more than one line."""

LEISURELY_LINES_PER_SECOND: Final = 250
"""So many do not shorten a nap: to an application that is at leisure, CPU matters and latency does not."""

PATIENCE_SECONDS: Final = 0.1
"""Naps without a line that precede the sleep until woken.

Waking a thread costs the one that wakes it 4 to 5 µs on a virtual machine (measured: futex, pipe
and eventfd alike), more than the rest of ``record`` together. So an application that records more
than some ten times a second never pays it: the sender looks by itself.
"""


class Backoff:
    """The delay before the next connection: doubled up to the cap, with half of it left to chance."""

    def __init__(self, *, first: float, cap: float, dice: Callable[[], float] = random.random) -> None:
        self._first, self._cap, self._dice = first, cap, dice
        self._delay = first

    def failed(self, now: float) -> float:
        """Return the moment of the next attempt."""
        delay, self._delay = self._delay, min(self._cap, self._delay * 2)
        return now + delay * (0.5 + self._dice() / 2)

    def succeeded(self) -> None:
        """Begin with the first delay again."""
        self._delay = self._first


class Rest:
    """Naps that adapt to the rate of the lines; after a while without any, sleep."""

    def __init__(self) -> None:
        self._nap = SHORTEST_NAP_SECONDS
        self._idle = 0.0

    def seconds(self, lines: int) -> float | None:
        """Return the next rest, with so many lines written since the last; None is until woken.

        From 2,000 lines a second on the naps are the shortest, which bounds the wait of a line; up
        to 350 a second they are the longest.
        """
        hurried = lines - self._nap * LEISURELY_LINES_PER_SECOND
        best = self._nap * LINES_PER_NAP / max(1.0, hurried)
        self._nap = min(max(best, SHORTEST_NAP_SECONDS), 2 * self._nap, LONGEST_NAP_SECONDS)
        self._idle = 0.0 if lines else self._idle + self._nap
        return self._nap if self._idle <= PATIENCE_SECONDS else None


class Notices:
    """Which log lines are due: of each kind one at once, then one in ``interval_seconds``."""

    def __init__(self, interval_seconds: float = 600.0) -> None:
        self._interval_seconds = interval_seconds
        self._last: dict[str, float] = {}

    def is_due(self, kind: str, now: float) -> bool:
        """Return whether this kind may be said now, and take it as said."""
        if now - self._last.get(kind, float("-inf")) < self._interval_seconds:
            return False
        self._last[kind] = now
        return True
