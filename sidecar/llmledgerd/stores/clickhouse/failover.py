"""Failover between a store's addresses. Pure: no I/O, no clock.

Invariant: an address that works is kept, and one that failed is followed by the next. A batch of
which an attempt may have landed stays with the address of that attempt, until its outcome is known;
a batch of which nobody knows where it began is to be asked for everywhere.

Tokens and rows of one server are not those of another. So a batch that changed servers with its
outcome unknown could be on both.
"""

from __future__ import annotations

from threading import Lock

Key = tuple[str, str]
"""A table, and a batch that is on its way into it."""

REMEMBERED = 1024
"""Batches whose address is known, far more than are under way; the rest ended in dead letters."""


class Addresses:
    """The turn among some addresses, each known by its number. Safe to share between threads."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._current = 0
        self._began: dict[Key, int] = {}
        self._lock = Lock()

    @property
    def current(self) -> int:
        """The address in turn."""
        return self._current

    def in_turn(self) -> list[int]:
        """Return every address, the one in turn first."""
        first = self._current
        return [(first + step) % self._count for step in range(self._count)]

    def failed(self, address: int) -> None:
        """Go on to the next, unless somebody else has."""
        with self._lock:
            if address == self._current:
                self._current = (address + 1) % self._count

    def begin(self, key: Key) -> tuple[int, bool]:
        """Return where to insert a batch, and whether an attempt of it may have landed there before."""
        with self._lock:
            known = key in self._began
            address = self._began.setdefault(key, self._current)
            if len(self._began) > REMEMBERED:
                del self._began[next(iter(self._began))]
            return address, known

    def where(self, key: Key) -> int | None:
        """Return where the batch may have landed; None where nobody knows."""
        return self._began.get(key)

    def settled(self, key: Key) -> None:
        """The batch's last attempt is over, and nothing of it is unknown."""
        self._began.pop(key, None)
