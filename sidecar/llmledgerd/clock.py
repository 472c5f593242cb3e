"""Clock of the daemon: monotonic time of receipt, corrected when the system clock is wrong; replaceable in tests.

Invariant: ``now_us`` never goes back by itself, nor before the last time in the spool. Of two clocks
without a third it takes the later one, since a row received too late expires too late, but one received
too early is deleted by the table's TTL. A store's clock is the third. Every jump is counted and logged.
"""

from __future__ import annotations

import threading
import time
from typing import Final

import msgspec

JUMP_US: Final = 60_000_000
"""Limit of a clock adjustment between two readings that is not logged. Small corrections are normal."""
APART_US: Final = 3_600_000_000
"""By which the clocks of two hosts may differ. No TTL is so short that this costs a row."""


WRITTEN_US: Final = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z: no clock that is right says less, as this was written later."""


class Step(msgspec.Struct, frozen=True):
    """One jump of the time, or one that was prevented."""

    before_us: int
    after_us: int
    why: str

    def moved(self, at_us: int) -> int:
        """Return a moment that was remembered before, as long ago as it was then."""
        forward = self.after_us - self.before_us
        was_before = at_us <= self.before_us if forward > 0 else at_us > self.after_us
        return at_us + forward if was_before else at_us


class Timekeeper:
    """Time from the system clock and the stores' clocks. Pure: the caller passes all times."""

    def __init__(self) -> None:
        self.correction_us = 0
        """What is added to the machine's clock."""
        self.agreed_us = WRITTEN_US
        """The last time on which the machine's clock and a store's agreed: no later one is before it."""
        self.jumps = 0
        self.steps: list[Step] = []
        """Those that nobody has taken note of yet."""
        self._seen: tuple[int, float] | None = None

    def now_us(self, wall_us: int, monotonic: float) -> int:
        """Return the time, by the machine's two clocks: one that may be set, and one that may not."""
        seen_us, seen_at = self._seen or (wall_us, monotonic)
        self._seen = wall_us, monotonic
        set_by = wall_us - seen_us - int((monotonic - seen_at) * 1e6)
        now = wall_us + self.correction_us
        if set_by < -JUMP_US:
            self.correction_us -= set_by
            now -= set_by
            self._jumped(now, now, f"the clock was set back by {-set_by // 1_000_000} s, and is ignored")
        elif set_by > JUMP_US:  # as after a suspend
            self._jumped(now - set_by, now, f"the clock was set forward by {set_by // 1_000_000} s")
        return now

    def go_on_from(self, last_us: int, agreed_us: int, wall_us: int, monotonic: float) -> None:
        """Take up the times of an earlier process: the last one, and the last that was agreed on."""
        self.agreed_us = max(self.agreed_us, agreed_us)
        now, least = self.now_us(wall_us, monotonic), max(last_us, self.agreed_us)
        if least > now + JUMP_US:
            self._correct(least - wall_us, now, "the clock is behind the spool's last time")

    def heard(self, store_us: int, wall_us: int, monotonic: float) -> None:
        """Take the time of a store into account."""
        now = self.now_us(wall_us, monotonic)
        if not self.believes(store_us):
            return
        if abs(store_us - wall_us) <= APART_US:
            self.agreed_us = max(self.agreed_us, min(store_us, wall_us))
            self._correct(0, now, "the store's clock agrees with this machine's")
        elif abs(store_us - now) > APART_US:
            self._correct(store_us - wall_us, now, "the store's clock differs")

    def believes(self, store_us: int) -> bool:
        """Return whether a store's clock may be right: it has not gone back to before what was certain."""
        return store_us >= self.agreed_us - APART_US

    def _correct(self, correction_us: int, now: int, why: str) -> None:
        by = correction_us - self.correction_us
        self.correction_us = correction_us
        if abs(by) > JUMP_US:
            self._jumped(now, now + by, why)

    def _jumped(self, before_us: int, after_us: int, why: str) -> None:
        self.jumps += 1
        self.steps.append(Step(before_us, after_us, why))


class Clock:
    """Wall time in microseconds since 1970, and monotonic seconds. Any thread may ask."""

    def __init__(self) -> None:
        self._keeper = Timekeeper()
        self._lock = threading.Lock()

    def now_us(self) -> int:
        """Return the time that is received by, whatever the machine's clock is set to."""
        with self._lock:
            return self._keeper.now_us(self.wall_us(), self.monotonic())

    def wall_us(self) -> int:
        """Return the system clock's time, which is that of file timestamps."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    def go_on_from(self, last_us: int, agreed_us: int) -> None:
        """Take up the times that the spool remembers."""
        with self._lock:
            self._keeper.go_on_from(last_us, agreed_us, self.wall_us(), self.monotonic())

    def heard(self, store_us: int) -> int:
        """A store has just said what its time is; return the last time that was agreed on."""
        with self._lock:
            self._keeper.heard(store_us, self.wall_us(), self.monotonic())
            return self._keeper.agreed_us

    def believes(self, store_us: int) -> bool:
        """Return whether a store's clock may be right."""
        return self._keeper.believes(store_us)

    def take_steps(self) -> list[Step]:
        """Return the steps that nobody has taken note of yet; once."""
        with self._lock:
            steps, self._keeper.steps = self._keeper.steps, []
            return steps

    @property
    def jumps(self) -> int:
        return self._keeper.jumps

    @property
    def correction_seconds(self) -> float:
        """Return by how much the time is ahead of the machine's clock."""
        return self._keeper.correction_us / 1e6
