"""Times of receipt that a store's TTL does not delete at once. Pure.

Invariant: a row that has waited for longer than half the table's TTL, or whose time of receipt is in the
future by the store's clock, gets the time at which it is stored, rounded to the hour. A repeat within
the hour is the same row; a repeat within the week goes to the same partition, which knows its token.
"""

from __future__ import annotations

from typing import Final

import msgspec

from llmledgerd.clock import APART_US
from llmledgerd.records.timestamps import NEVER_US

HOUR_US: Final = 3_600_000_000
MONTH_US: Final = 31 * 24 * HOUR_US
ASKED_SECONDS: Final = 60.0
"""How long a reading of the store's clock is used."""


class StoreClock(msgspec.Struct, frozen=True):
    """A store's time, and the retention of its table; 0 for no limit."""

    now_us: int
    ttl_us: int = 0


class Window(msgspec.Struct, frozen=True):
    """Range of times of receipt that a store is given unchanged."""

    from_us: int = 0
    to_us: int = NEVER_US
    stored_us: int = 0
    """Time of receipt that replaces any time outside the range."""

    def fit(self, received_us: int) -> int:
        return received_us if self.from_us <= received_us <= self.to_us else self.stored_us

    def searched(self, first_us: int, last_us: int, *, recovered: bool) -> tuple[int, int]:
        """Return the range of times that rows received in a range may have in the table.

        An earlier attempt may have replaced their times by others, in an earlier process too.
        """
        if self.fit(first_us) != first_us or self.fit(last_us) != last_us:
            return 0, NEVER_US
        return (max(0, first_us - MONTH_US), NEVER_US) if recovered else (first_us, last_us)


def window(clock: StoreClock, *, is_believed: bool = True) -> Window:
    """Return the window at this moment, by the store's clock and its TTL.

    A clock that was set back does not move the window back: those rows would be deleted once it is corrected.
    """
    ttl, now = clock.ttl_us, clock.now_us
    exact = min(HOUR_US, ttl // 24) if ttl else HOUR_US
    return Window(
        from_us=now - ttl // 2 if ttl else 0,
        to_us=now + APART_US if is_believed else NEVER_US,
        stored_us=now - now % max(1, exact),
    )


class Asked:
    """Last reading of a store's clock. The caller passes the monotonic time."""

    def __init__(self) -> None:
        self._heard: tuple[StoreClock, float] | None = None
        self._jumps = 0
        self._is_believed = True

    def is_due(self, monotonic: float, jumps: int) -> bool:
        """Return whether a new reading is due: after ASKED_SECONDS, or if this machine's time has jumped."""
        return self._heard is None or monotonic - self._heard[1] > ASKED_SECONDS or jumps != self._jumps

    def heard(self, clock: StoreClock, monotonic: float, jumps: int, *, is_believed: bool = True) -> None:
        self._heard, self._jumps, self._is_believed = (clock, monotonic), jumps, is_believed

    def window(self, monotonic: float) -> Window:
        """Return the window now; unlimited before the first reading."""
        if self._heard is None:
            return Window()
        clock, at = self._heard
        now_us = clock.now_us + int((monotonic - at) * 1e6)
        return window(msgspec.structs.replace(clock, now_us=now_us), is_believed=self._is_believed)
