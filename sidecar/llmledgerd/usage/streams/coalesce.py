"""Coalescing of consecutive text events.

Invariant: the shortened list has the same result as the events themselves.

Nearly all events of a stream are a few characters of text each. Read one by one they cost several
times their decoding; a run of them, decoded at once into strict structs, does not. An event with
anything else in it does not fit the structs, and is read by itself.

Where events differ in their text alone, byte for byte, not even that is needed: to put the texts of neighbors
together is to take out what stands between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from llmledgerd.usage.decode import REFUSED
from llmledgerd.usage.streams.merging import merged
from llmledgerd.usage.streams.sse import Events

FIRST, LAST = 2, 3
"""Events at both ends that are always read by themselves: the first and the last say other things."""

SHORT = 8
"""A run this short is not worth the attempt: a refused one costs about two events."""


class Runs:
    """The shapes that a family's events of mere text have, each with what joins a run of it."""

    def __init__(
        self,
        *shapes: tuple[Any, Callable[[list[Any]], Any]],
        text: re.Pattern[str] | None = None,
        filler: re.Pattern[str] | None = None,
    ) -> None:
        """``text``: the pattern of a text, in a family whose other members may be said once for many events.
        ``filler``: that of what an event ends in that is no part of it."""
        self._shapes = [(msgspec.json.Decoder(_list_of(shape)).decode, join) for shape, join in shapes]
        self._text, self._filler = text, filler

    def shortened(self, events: Events, read: Callable[[int], Any] | None = None) -> list[Any]:
        """Return the values of the events, with each run as one equivalent event.

        ``read`` returns what the event at a position says, where that is more than its value.
        """
        if self._text is not None:
            events = Events(merged(events.data, self._text, self.is_mere_text, self._filler))
        read = read or events.value
        count = len(events.data)
        first = min(FIRST, count)
        last = max(first, count - LAST)
        return [
            *map(read, range(first)),
            *self._between(events.data, first, last, read),
            *map(read, range(last, count)),
        ]

    def _between(self, data: list[str], first: int, last: int, read: Callable[[int], Any]) -> list[Any]:
        """Read a part as one run; otherwise read its halves."""
        if last - first < SHORT:
            return list(map(read, range(first, last)))
        joined = self._joined(f"[{','.join(data[first:last])}]", last - first)
        if joined is not None:
            return [joined]
        middle = (first + last) // 2
        return self._between(data, first, middle, read) + self._between(data, middle, last, read)

    def is_mere_text(self, event: str) -> bool:
        """Return whether an event has one of the shapes."""
        return self._joined(f"[{event}]", 1) is not None

    def _joined(self, array: str, length: int) -> Any:
        """Return the one event equivalent to all events of the array, or None if they differ.

        A shape that does not fit is refused at its first event, so trying several costs little.
        """
        for decode, join in self._shapes:
            try:
                found = decode(array)
            except REFUSED:
                continue
            if len(found) == length and (joined := join(found)) is not None:
                return joined
        return None


def _list_of(shape: Any) -> Any:
    return list[shape]


def one_of(shape: Any) -> Any:
    """Return the type of an array with exactly one item."""
    return tuple[shape]


def strict(name: str, *fields: Any) -> type[msgspec.Struct]:
    """Return a struct with exactly these members, excluded from garbage collection."""
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, gc=False)


def text_field(name: str) -> tuple[str, type[str], Any]:
    """Return the field that holds the text, under the name that the event gives it."""
    return "piece", str, msgspec.field(name=name)


def null(*names: str) -> list[tuple[str, None, None]]:
    """Return optional fields that must be null."""
    return [(name, None, None) for name in names]
