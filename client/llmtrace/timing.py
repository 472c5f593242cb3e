"""When the sender tries again, and how long it rests. Pure: the caller brings the clock and the dice.

Invariant: no sequence of calls makes a delay of zero, so nothing that follows these is a busy loop.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

NAPS_SECONDS: Final = (0.004, 0.008, 0.016, 0.032)
"""How the sender rests after it had something to write, before it sleeps until it is woken.

Waking a thread costs the one that wakes it 4 to 5 µs on a virtual machine (measured: futex, pipe
and eventfd alike), more than the rest of ``record`` together. So an application that records more
than some 16 times a second never pays it: the sender looks by itself.
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
    """Naps of growing length, then sleep."""

    def __init__(self) -> None:
        self._taken = 0

    def seconds(self) -> float | None:
        """Return the length of the next rest; None is until woken."""
        self._taken += 1
        return NAPS_SECONDS[self._taken - 1] if self._taken <= len(NAPS_SECONDS) else None

    def disturbed(self) -> None:
        """There was something to write: begin with the shortest nap again."""
        self._taken = 0


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
