"""Exponential backoff with jitter. Pure: the caller brings the clock and the random numbers."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Exponential, with jitter, for ever."""

    def __init__(self, *, first: float, cap: float, dice: Callable[[], float] = random.random) -> None:
        self._first, self._cap, self._dice = first, cap, dice
        self._delay = first

    def failed(self) -> float:
        """Return the seconds to wait before the next attempt."""
        delay, self._delay = self._delay, min(self._cap, self._delay * 2)
        return delay * (0.5 + self._dice() / 2)

    def succeeded(self) -> None:
        self._delay = self._first
