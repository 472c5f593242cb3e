"""Spans of two instrumentations that tell of one call without being nested. Pure.

An instrumentation that does not make its span current leaves the one below it without that parent: a library's own spans
and those of a package that patches it then stand side by side, sometimes in traces of their own. So of spans of one
service, by different instrumentations, one is a row, with usage if one has it, of these the shortest, where

- they have the same answer's id, and overlap in time, because some servers give every answer the same id; or
- one is of a framework whose spans are known to stand beside and has no id, and the other one lies within its time and
  has the same counts, or failed as it did.

Invariant: a span absorbs at most one of each other instrumentation, so that where this cannot tell calls apart, as many
rows are left as the busiest instrumentation has spans.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

MOST: Final = 20_000
"""Limit of remembered keys; both spans end within milliseconds, and leave the process together."""

STAND_BESIDE: Final = (
    "openinference.instrumentation.langchain",
    "opentelemetry.instrumentation.langchain",
    "langsmith",
)
"""Frameworks whose spans come from callbacks, which run beside the call and not around it."""

KEPT: Final = 200
"""Newest rows that are kept under one key."""

Key = tuple[str, str]
"""Service, and the answer's id or the counts."""


class Told(msgspec.Struct, gc=False):
    """One span that may be a row."""

    index: int
    """Its place in the request; -1 for one of an earlier request."""
    service: str
    scope: str
    start_ns: int
    end_ns: int
    answer: str = ""
    """The answer's id."""
    counts: str = ""
    """Its counts or its failure, as text."""
    has_usage: bool = False
    absorbed: set[str] = msgspec.field(default_factory=set)
    """Instrumentations of which it has absorbed a span."""

    @property
    def is_beside(self) -> bool:
        """Whether the span is of such a framework, and has no id."""
        return not self.answer and self.scope.startswith(STAND_BESIDE)

    def found_by(self) -> list[Key]:
        """Return what the span is found by."""
        keys = [(self.service, f"answer {self.answer}")] if self.answer else []
        return [*keys, (self.service, f"counts {self.counts}")] if self.counts else keys

    def tells_of(self, other: Told) -> bool:
        """Return whether both tell of one call."""
        if self.scope == other.scope or self.scope in other.absorbed:
            return False
        if self.answer and other.answer:
            return (
                self.answer == other.answer
                and self.start_ns <= other.end_ns
                and other.start_ns <= self.end_ns
            )
        if self.is_beside == other.is_beside or self.counts != other.counts:
            return False
        outer, inner = (self, other) if self.is_beside else (other, self)
        return outer.start_ns <= inner.start_ns and inner.end_ns <= outer.end_ns


class Twins:
    """Recent rows."""

    def __init__(self, most: int = MOST) -> None:
        self._rows: OrderedDict[Key, list[Told]] = OrderedDict()
        self._most = most

    def absorbed(self, told: Sequence[Told], settled: Collection[int]) -> dict[int, int]:
        """Return which spans are no rows, and for each the one that tells of the call; -1 for an earlier one.

        ``settled`` are spans that were rows when they came before; they stay rows.
        """
        found: dict[int, int] = {}
        order = sorted(
            told, key=lambda one: (one.index not in settled, not one.has_usage, one.end_ns - one.start_ns)
        )
        for one in order:
            match = None if one.index in settled else self._match(one)
            if match is not None:
                match.absorbed.add(one.scope)
                found[one.index] = match.index
                continue
            for key in one.found_by():
                rows = self._rows.setdefault(key, [])
                rows.append(one)
                del rows[:-KEPT]
                self._rows.move_to_end(key)
        for one in told:
            one.index = -1
        while len(self._rows) > self._most:
            self._rows.popitem(last=False)
        return found

    def _match(self, one: Told) -> Told | None:
        rows = (row for key in one.found_by() for row in self._rows.get(key, ()))
        return next((row for row in rows if one.tells_of(row)), None)
