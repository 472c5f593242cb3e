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
"""A table, and a batch that is being inserted into it."""

REMEMBERED = 1024
"""Maximum number of batches whose address is remembered, many more than are in flight."""


class Addresses:
    """The current one of several addresses, each with a number. Safe to share between threads."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._current = 0
        self._began: dict[Key, int] = {}
        self._lock = Lock()

    @property
    def current(self) -> int:
        """The current address."""
        return self._current

    def in_turn(self) -> list[int]:
        """Return every address, the current one first."""
        first = self._current
        return [(first + step) % self._count for step in range(self._count)]

    def failed(self, address: int) -> None:
        """Switch to the next address, unless another thread has."""
        with self._lock:
            if address == self._current:
                self._current = (address + 1) % self._count

    def begin(self, key: Key) -> tuple[int, bool]:
        """Return the address to insert a batch at, and whether an earlier attempt may have stored it there."""
        with self._lock:
            known = key in self._began
            address = self._began.setdefault(key, self._current)
            if len(self._began) > REMEMBERED:
                del self._began[next(iter(self._began))]
            return address, known

    def where(self, key: Key) -> int | None:
        """Return the address that may have the batch; None if unknown."""
        return self._began.get(key)

    def settled(self, key: Key) -> None:
        """Forget the batch after an attempt with a known outcome."""
        self._began.pop(key, None)
