"""Faults of our own: exceptions that nobody foresaw. Pure but for the dice of its waits.

Invariant: none is silent and none strands a segment. A line that raises becomes a dead letter
(``INTERNAL_ERROR``); a segment that raises with no line at fault is taken up again, later each time. What
is lines of a fault has the exception's type and place and never its message, which may quote a payload.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Final

import msgspec

from llmledgerd.backoff import Backoff
from llmledgerd.errors import LlmledgerdError

INTERNAL_ERROR: Final = "internal_error"
"""The reason of such a dead letter, and in status and metrics the kind of such a retry."""

NOT_OF_A_LINE: Final = (LlmledgerdError, OSError, MemoryError)
"""What a line may meet and has not caused: it is offered again."""

_FRAMES: Final = 3


def described(error: BaseException) -> str:
    """Return the exception's type and where it was raised, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = (f"{_module(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} in {', '.join(places)}" if frames else type(error).__name__


def _module(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:])


class _Waiting(msgspec.Struct):
    backoff: Backoff
    what: str
    is_due: bool = False


class Faults:
    """Of one store's shipper."""

    def __init__(self, backoff: Callable[[], Backoff]) -> None:
        """``backoff`` makes one for each segment."""
        self._backoff = backoff
        self._segments: dict[int, _Waiting] = {}
        self._lines = 0
        self._last = ""

    def of_line(self, detail: str) -> None:
        """A line became a dead letter for it."""
        self._lines += 1
        self._last = detail

    def of_segment(self, number: int, what: str) -> float:
        """A segment could not be shipped; return in how many seconds it is ``due``."""
        fault = self._segments.setdefault(number, _Waiting(self._backoff(), what))
        fault.what, fault.is_due = what, False
        return fault.backoff.failed()

    def due(self, number: int) -> None:
        """The segment may be tried again."""
        if number in self._segments:
            self._segments[number].is_due = True

    def over(self, number: int) -> None:
        """The segment is done with."""
        self._segments.pop(number, None)

    def has_met(self, number: int) -> bool:
        """Return whether a segment was tried before, so that its rows may have landed."""
        return number in self._segments

    @property
    def waiting(self) -> set[int]:
        """Segments that are not to be tried yet."""
        return {number for number, fault in self._segments.items() if not fault.is_due}

    @property
    def summary(self) -> str:
        """What an operator has to know; empty where nothing was ever wrong."""
        lines = [
            f"segment {number} is tried again after {one.what}" for number, one in self._segments.items()
        ]
        if self._lines:
            lines.append(
                f"{self._lines:,} lines since the start became dead letters, the last by {self._last}"
            )
        return "; ".join(lines[-2:])
