"""How much an answer may hold, and all answers together.

Invariants:
- What an answer takes is known before it is made: rows are counted in the store, payloads by their sizes.
- Answers together hold at most TOGETHER_BYTES, until each has been sent. One asker has at most half of the
  bytes and of the turns, so that there is always room for another.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final

import msgspec

from llmledger.protocol import MAX_LINE_BYTES

ROWS_BYTES: Final = 16 << 20
"""Of an answer without payloads. The last row may reach beyond it."""
PAYLOAD_BYTES: Final = 32 << 20
"""Of the payloads of an answer; one call alone may have more."""
LARGEST_BYTES: Final = ROWS_BYTES + MAX_LINE_BYTES
"""Of any answer: a call with the payloads of the longest line."""
TOGETHER_BYTES: Final = 2 * LARGEST_BYTES
WAIT_SECONDS: Final = 30.0
"""How long a question waits for its turn before it is told to come again."""


class Overloaded(Exception):
    """Too much is asked already."""


class Share(msgspec.Struct):
    """What one answer takes."""

    owner: Hashable
    size: int
    is_running: bool = True


def fitting(sizes: Sequence[int], most: int) -> int:
    """Return how many of the first fit together; the first always does. Pure."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > most and count:
            return count
    return len(sizes)


class Turns:
    """Who may ask the store now, and how many bytes of answers there are. For one event loop."""

    def __init__(self, most: int, *, is_shared: bool) -> None:
        """``most`` questions run at a time. Unless it ``is_shared`` there is one asker, who may have all."""
        self._most = most
        self._divided_by = 2 if is_shared else 1
        self._bytes: Counter[Hashable] = Counter()
        self._running: Counter[Hashable] = Counter()
        self._waiting: list[tuple[Share, asyncio.Future[None]]] = []

    @property
    def bytes(self) -> int:
        """What answers take that are made or sent."""
        return self._bytes.total()

    async def begin(self, owner: Hashable, size: int) -> Share:
        """Return a share once there is room for the answer, and a turn. Raises Overloaded after a while."""
        share = Share(owner, size)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((share, ready))
        self._let_in()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await ready
        except BaseException as error:
            if (share, ready) in self._waiting:
                self._waiting.remove((share, ready))
            else:
                self.end(share)
            if isinstance(error, TimeoutError):
                raise Overloaded("there was no room for the answer in time") from None
            raise
        return share

    def made(self, share: Share, size: int) -> None:
        """The answer is there and has this size: its turn is over, and what it does not need is free."""
        self._running[share.owner] -= share.is_running
        self._bytes[share.owner] += size - share.size
        share.size, share.is_running = size, False
        self._let_in()

    def end(self, share: Share) -> None:
        """The answer is sent, or there will be none."""
        self.made(share, 0)

    def _let_in(self) -> None:
        for share, ready in list(self._waiting):
            if self._has_room(share):
                self._waiting.remove((share, ready))
                self._running[share.owner] += 1
                self._bytes[share.owner] += share.size
                if not ready.done():
                    ready.set_result(None)

    def _has_room(self, share: Share) -> bool:
        running, size = self._running, self._bytes
        return (
            running.total() < self._most
            and running[share.owner] < self._most // self._divided_by
            and size.total() + share.size <= TOGETHER_BYTES
            and size[share.owner] + share.size <= TOGETHER_BYTES // self._divided_by
        )
