"""Values that were made from texts, kept within a bound. Pure.

Invariant: all values take about ``most_bytes`` at most, whatever the texts hold. Safe between threads.
"""

from __future__ import annotations

from threading import Lock
from typing import Final, Generic, TypeVar

_OBJECT_BYTES: Final = 100
"""What a JSON value takes as an object, about, beside its text."""
_COPIES: Final = 3
"""The text, and its strings with up to two bytes a character."""

_Value = TypeVar("_Value")


class Kept(Generic[_Value]):
    """Values by key; the oldest goes first. One that is in use is soon made again."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._values: dict[int, tuple[_Value, int]] = {}
        """Each with about how many bytes it takes."""
        self._lock = Lock()

    @property
    def size(self) -> int:
        """About how many bytes all of it takes."""
        return self._bytes

    def __contains__(self, key: int) -> bool:
        return key in self._values

    def get(self, key: int) -> _Value | None:
        """Return the value of a key, if it is kept."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def put(self, key: int, value: _Value, text: bytes) -> bool:
        """Keep a value that was made from a text; return False if it is too large."""
        size = _COPIES * len(text) + _OBJECT_BYTES * (1 + text.count(b",") + text.count(b":"))
        if size > self._most_bytes:
            return False
        with self._lock:
            if key in self._values:
                return True
            self._values[key] = value, size
            self._bytes += size
            while self._bytes > self._most_bytes:
                self._bytes -= self._values.pop(next(iter(self._values)))[1]
        return True
