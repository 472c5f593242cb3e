"""Who may be read from, so that memory has a bound. Pure.

Invariant: bytes held over all connections and stages stay under the limit, plus one read of each
connection and one largest line; and somebody may always go on, so nothing waits for ever.
"""

from __future__ import annotations

from collections.abc import Hashable

PENDING_BYTES = 4 << 20
"""Whole lines that wait for their group's sync. More would only lengthen the group after it."""


class Admission:
    """Counts what is held, and says who may read on."""

    def __init__(self, limit: int, pending_limit: int = PENDING_BYTES) -> None:
        self._limit = limit
        self._pending_limit = min(pending_limit, limit)
        self._held: dict[Hashable, int] = {}
        self._held_total = 0
        self.pending = 0
        self.shipping = 0
        self.spool_full = False

    @property
    def total(self) -> int:
        return self._held_total + self.pending + self.shipping

    def holds(self, peer: Hashable, size: int) -> None:
        """The peer holds so many bytes of a line that has not ended."""
        before = self._held.pop(peer, 0)
        if size:
            self._held[peer] = size
        self._held_total += size - before

    def may_read(self, peer: Hashable) -> bool:
        if self.spool_full or self.pending > self._pending_limit:
            return False
        # Over the limit the longest unfinished line goes on, since only ending it frees anything.
        return self.total <= self._limit or peer == self._longest()

    def _longest(self) -> Hashable:
        return max(self._held, key=self._held.__getitem__, default=None)
