"""Calls as they arrive.

Invariant: a call is printed once, even if it becomes visible up to OVERLAP after calls that were received
later: segments are inserted concurrently, and an insert may be retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from llmledgerd.query.filters import CallsNarrowing
from llmledgerd.query.results import Call
from llmledgerd.reader import LLMTraceReader, Scope

OVERLAP: Final = timedelta(seconds=30)
POLL_SECONDS: Final = 1.0
PAGE: Final = 1000

Key = tuple[UUID, int]


class Seen:
    """Set of printed calls. Pure."""

    def __init__(self, calls: list[Call]) -> None:
        self._at: dict[Key, datetime] = {}
        self.newest = max((call.ingested_at for call in calls), default=None)
        self.fresh(calls)

    def fresh(self, calls: list[Call]) -> list[Call]:
        """Return the new calls, oldest first, and remember them."""
        found = []
        for call in sorted(calls, key=lambda call: (call.created_at, call.batch_id, call.batch_row)):
            key = (call.batch_id, call.batch_row)
            if key not in self._at:
                self._at[key] = call.ingested_at
                found.append(call)
        self.newest = max([*(call.ingested_at for call in found), *filter(None, [self.newest])], default=None)
        if self.newest is not None:  # older ones will not be queried again
            oldest = self.newest - 2 * OVERLAP
            self._at = {key: at for key, at in self._at.items() if at > oldest}
        return found


async def follow(
    reader: LLMTraceReader,
    scope: Scope,
    known: list[Call],
    *,
    is_error: bool | None,
    narrowed: CallsNarrowing,
) -> AsyncIterator[list[Call]]:
    """Yield calls received after the ``known`` ones, endlessly."""
    seen = Seen(known)
    start = datetime.now(UTC)
    while True:
        await asyncio.sleep(POLL_SECONDS)
        asked: CallsNarrowing = {**narrowed, "received_after": (seen.newest or start) - OVERLAP}
        calls: list[Call] = []
        cursor = None
        while True:
            page = await reader.list_calls(scope, limit=PAGE, cursor=cursor, is_error=is_error, **asked)
            calls += page.calls
            cursor = page.cursor
            if cursor is None:
                break
        fresh = [call for call in seen.fresh(calls) if call.ingested_at > start - OVERLAP]
        if fresh:
            yield fresh
