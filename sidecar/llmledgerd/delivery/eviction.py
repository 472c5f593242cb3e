"""Compress and evict backlogged segments while a store is unavailable.

Invariant: a segment is not shipped while it is being compressed or evicted, and not compressed or
evicted while it is in flight. An evicted segment is lost only to the stores that still waited for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import msgspec

from llmledgerd.clock import Clock
from llmledgerd.delivery.segment_lines import own_lines
from llmledgerd.delivery.shipper import Shipper
from llmledgerd.errors import SpoolBroken
from llmledgerd.log import Recurring
from llmledgerd.spool import Group, Segment, Settled, Spool
from llmledgerd.spool.committer import Committer
from llmledgerd.spool.own_lines import OwnLine

T = TypeVar("T")


class Evicted(msgspec.Struct, frozen=True):
    """An evicted segment: its lines, and the stores that still waited for it."""

    lines: int
    stores: list[str]


class Evictor:
    """Compresses and evicts segments that no shipper has in flight."""

    def __init__(self, spool: Spool, committer: Committer, clock: Clock) -> None:
        self._spool = spool
        self._committer = committer
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keep")
        self.recurring = Recurring()
        self._shippers: Sequence[Shipper] = ()
        self.held: set[int] = set()
        """Segments that are being compressed or evicted."""

    def connect(self, shippers: Sequence[Shipper]) -> None:
        """Respect the segments in flight in these shippers, one for every store in force."""
        self._shippers = shippers

    async def drop_oldest(self, *, the_only_copy: bool) -> Evicted | None:
        """Evict the oldest segment that is not in flight; None where there is no such segment.

        Unless ``the_only_copy`` may be lost, it has to be a segment that some store has. The daemon's own lines
        in it, such as the report of what was dropped before, go on to the newest segment first.
        """
        segment = self._oldest(lambda found: the_only_copy or self._spool.state.has_been_stored(found.number))
        if segment is None:
            return None
        return await self._exclusively(segment, self._evict, "the oldest segment cannot be dropped")

    async def compress(self) -> None:
        """Compress the segments that wait only for unavailable stores, one after the other."""
        while (unavailable := self._unavailable()) and (
            segment := self._oldest(partial(self._waits_for, unavailable))
        ) is not None:
            done = await self._exclusively(segment, self._compress, "a waiting segment cannot be compressed")
            if done is None:
                segment.compressed = True  # it stays as it is

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _oldest(self, wanted: Callable[[Segment], bool]) -> Segment | None:
        for number, segment in list(self._spool.segments.items()):
            in_flight = any(shipper.has_in_flight(number) for shipper in self._shippers)
            if number not in self.held and not in_flight and wanted(segment):
                return segment
        return None

    def _unavailable(self) -> set[str]:
        return {shipper.name for shipper in self._shippers if shipper.retry_loop.trouble}

    def _waits_for(self, unavailable: set[str], segment: Segment) -> bool:
        return not segment.compressed and unavailable.issuperset(self._spool.state.wanting(segment.number))

    async def _exclusively(
        self, segment: Segment, action: Callable[[Segment], Awaitable[T]], failure: str
    ) -> T | None:
        """Run an action on a segment that is not shipped meanwhile; None where the disk fails."""
        self.held.add(segment.number)
        try:
            return await action(segment)
        except SpoolBroken as error:
            self.recurring.warn(failure, error=str(error))
            return None
        finally:
            self.held.discard(segment.number)
            for shipper in self._shippers:
                shipper.wake()

    async def _compress(self, segment: Segment) -> bool:
        compress = partial(self._spool.compress, segment)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, compress)
        except SpoolBroken:  # the compressed copy needs free space first
            return await self._committer.freeing(compress)

    async def _evict(self, segment: Segment) -> Evicted:
        own = await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: list(own_lines(self._spool.read(segment)))
        )
        stores = self._spool.state.wanting(segment.number)
        moved = list(_for_stores(own, stores, self._spool.stores))
        if moved:  # at once and not with the next group, which a full disk would keep waiting
            group = Group(self._clock.now_us(), 0, []).of_own(moved)
            await self._committer.freeing(lambda: self._spool.append(group, moved, group.received_us))
        lines = segment.rows - len(own)
        for store in stores:
            evicted = Settled(segment=segment.number, store=store, lost=lines, control=len(own), reads=False)
            await self._committer.freeing(partial(self._spool.settle, evicted, self._clock.now_us()))
        return Evicted(lines, stores)


def _for_stores(own: Iterable[bytes], stores: Sequence[str], every: Sequence[str]) -> Iterator[bytes]:
    """Yield the daemon's own lines for those stores that have not had them."""
    for line in own:
        if len(stores) == len(every):
            yield line
            continue
        found = msgspec.json.decode(line, type=OwnLine)
        for store in stores:
            if found.store in ("", store):
                yield msgspec.json.encode(msgspec.structs.replace(found, store=store)) + b"\n"
