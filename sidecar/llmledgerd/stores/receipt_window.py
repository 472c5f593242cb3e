"""Times of receipt that a store's TTL does not delete at once. Pure.

Invariant: a row that has waited for longer than half the table's TTL, or whose time of receipt is still
to come by the store's clock, is given the time at which it is stored, to the hour. Within the hour a
repeat is the same row; within the week it goes to the same partition, so that its token is known there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from llmledgerd.clock import APART_US

HOUR_US: Final = 3_600_000_000
MONTH_US: Final = 31 * 24 * HOUR_US
NEVER_US: Final = 7_258_118_400_000_000
"""The year 2200: what no time is after."""
ASKED_SECONDS: Final = 60.0
"""How long a store's word on its clock is good for."""


class StoreClock(msgspec.Struct, frozen=True):
    """What a store's time is, and how long its table keeps a row; 0 for ever."""

    now_us: int
    ttl_us: int = 0


class Window(msgspec.Struct, frozen=True):
    """The times of receipt that a store takes as they are."""

    from_us: int = 0
    to_us: int = NEVER_US
    stored_us: int = 0
    """What other ones become."""

    def fit(self, received_us: int) -> int:
        return received_us if self.from_us <= received_us <= self.to_us else self.stored_us

    def searched(self, first_us: int, last_us: int, *, recovered: bool) -> tuple[int, int]:
        """Return between which times rows received from one moment to another may be in the table.

        An earlier attempt may have replaced their times by others, in an earlier process too.
        """
        if self.fit(first_us) != first_us or self.fit(last_us) != last_us:
            return 0, NEVER_US
        return (max(0, first_us - MONTH_US), NEVER_US) if recovered else (first_us, last_us)


def window(clock: StoreClock, *, is_believed: bool = True) -> Window:
    """Return what a store takes at this moment, by its own clock and its TTL.

    By a clock that has gone back nothing is taken back: it would be deleted once that clock is mended.
    """
    ttl, now = clock.ttl_us, clock.now_us
    exact = min(HOUR_US, ttl // 24) if ttl else HOUR_US
    return Window(
        from_us=now - ttl // 2 if ttl else 0,
        to_us=now + APART_US if is_believed else NEVER_US,
        stored_us=now - now % max(1, exact),
    )


class Asked:
    """What a store has said of its clock. The caller brings the monotonic time."""

    def __init__(self) -> None:
        self._heard: tuple[StoreClock, float] | None = None
        self._jumps = 0
        self._is_believed = True

    def is_due(self, monotonic: float, jumps: int) -> bool:
        """Return whether it is to be asked: after a while, and when this machine's time has jumped since."""
        return self._heard is None or monotonic - self._heard[1] > ASKED_SECONDS or jumps != self._jumps

    def heard(self, clock: StoreClock, monotonic: float, jumps: int, *, is_believed: bool = True) -> None:
        self._heard, self._jumps, self._is_believed = (clock, monotonic), jumps, is_believed

    def window(self, monotonic: float) -> Window:
        """Return what the store takes now; everything where it has not been asked."""
        if self._heard is None:
            return Window()
        clock, at = self._heard
        now_us = clock.now_us + int((monotonic - at) * 1e6)
        return window(msgspec.structs.replace(clock, now_us=now_us), is_believed=self._is_believed)
