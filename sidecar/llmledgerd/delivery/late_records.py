"""When abandoned rows are deleted whose records have come after all. Pure.

Invariant: after a quiet time a row goes at once. Further ones are collected, because in ClickHouse each
deletion is a mutation, which makes a new part of every part of the partitions that it changes.
"""

from __future__ import annotations

from typing import Final

SECONDS: Final = 30.0
"""Minimum time between two deletions, and so the longest that a collected row stays beside its record."""

MOST: Final = 1000
"""Number of collected rows at which they are deleted before that."""


class LateRecords:
    """Decides when one store's abandoned rows are deleted. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._deleted_at: float | None = None

    def are_due(self, count: int, now: float) -> bool:
        """Return whether so many rows are to be deleted now."""
        is_quiet = self._deleted_at is None or now - self._deleted_at >= SECONDS
        return count >= MOST or (count > 0 and is_quiet)

    def deleted(self, now: float) -> None:
        self._deleted_at = now
