"""Memory budget of query responses, each and in total.

Invariants:
- The size of a response is known before it is built: rows are counted in the store, payloads by their sizes.
- All responses together hold at most TOGETHER_BYTES until they are sent. One client has at most half of the
  bytes and of the slots, so that another client can always be served.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final

import msgspec

from llmledger.protocol import MAX_LINE_BYTES

ROWS_BYTES: Final = 16 << 20
"""Limit of a response without payloads. The last row may exceed it."""
PAYLOAD_BYTES: Final = 32 << 20
"""Limit of the payloads of a response; a single call may have more."""
LARGEST_BYTES: Final = ROWS_BYTES + MAX_LINE_BYTES
"""Limit of any response: a call with the payloads of the longest line."""
TOGETHER_BYTES: Final = 2 * LARGEST_BYTES
WAIT_SECONDS: Final = 30.0
"""Maximum wait for a slot before the query is refused with a request to retry."""


class Overloaded(Exception):
    """The server has too many queries already."""


class Share(msgspec.Struct):
    """Part of the budget that one response holds."""

    owner: Hashable
    size: int
    is_running: bool = True


def fitting(sizes: Sequence[int], most: int) -> int:
    """Return how many leading sizes fit within ``most``; the first always fits. Pure."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > most and count:
            return count
    return len(sizes)


class QueryAdmission:
    """Admission control of queries by slots and bytes. For one event loop."""

    def __init__(self, most: int, *, is_shared: bool) -> None:
        """At most ``most`` queries run at a time. Unless ``is_shared``, one client may use the whole budget."""
        self._most = most
        self._divided_by = 2 if is_shared else 1
        self._bytes: Counter[Hashable] = Counter()
        self._running: Counter[Hashable] = Counter()
        self._waiting: list[tuple[Share, asyncio.Future[None]]] = []

    @property
    def bytes(self) -> int:
        """Bytes held by responses that are being built or sent."""
        return self._bytes.total()

    async def begin(self, owner: Hashable, size: int) -> Share:
        """Return a share once a slot and bytes are free. Raises Overloaded after a timeout."""
        share = Share(owner, size)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((share, ready))
        self._admit()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await ready
        except BaseException as error:
            if (share, ready) in self._waiting:
                self._waiting.remove((share, ready))
            else:
                self.end(share)
            if isinstance(error, TimeoutError):
                raise Overloaded("timed out waiting for memory for the response") from None
            raise
        return share

    def made(self, share: Share, size: int) -> None:
        """Release the slot of a built response, and the reserved bytes beyond its ``size``."""
        self._running[share.owner] -= share.is_running
        self._bytes[share.owner] += size - share.size
        share.size, share.is_running = size, False
        self._admit()

    def end(self, share: Share) -> None:
        """Release the share of a response that was sent or failed."""
        self.made(share, 0)

    def _admit(self) -> None:
        for share, ready in list(self._waiting):
            if self._fits(share):
                self._waiting.remove((share, ready))
                self._running[share.owner] += 1
                self._bytes[share.owner] += share.size
                if not ready.done():
                    ready.set_result(None)

    def _fits(self, share: Share) -> bool:
        running, size = self._running, self._bytes
        return (
            running.total() < self._most
            and running[share.owner] < self._most // self._divided_by
            and size.total() + share.size <= TOGETHER_BYTES
            and size[share.owner] + share.size <= TOGETHER_BYTES // self._divided_by
        )
