"""Sealed segments on their way into one store: a queue with slots.

Invariant: a segment is written off for the store, in the order of segments, only when each of its
lines is a row there, a dead letter on the disk, or a counted loss. Each store in force has a shipper
of its own, with threads, slots and a retry loop of its own, so that no store waits for another.
"""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import islice

from llmledgerd.delivery.batch import Batch
from llmledgerd.delivery.batch_delivery import BatchDelivery
from llmledgerd.delivery.faults import INTERNAL_ERROR, described
from llmledgerd.delivery.options import Runtime, ShipperOptions
from llmledgerd.delivery.segment_reader import SegmentReader
from llmledgerd.delivery.settlement import Settlement
from llmledgerd.delivery.store_context import StoreContext
from llmledgerd.errors import let_go
from llmledgerd.spool import Segment

KEPT_WAITING_SECONDS = 1.0
"""How long a segment keeps its encoded rows while it waits for another: most inserts take less."""


class Shipper:
    """Takes the sealed segments that one store waits for from the spool, some at a time."""

    def __init__(self, runtime: Runtime, options: ShipperOptions) -> None:
        self._context = StoreContext(runtime, options)
        self._reader = SegmentReader(self._context)
        self._settlement = Settlement(self._context)
        self._slots = asyncio.Semaphore(runtime.config.inserts_in_flight)
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self.name = options.name
        self.faults = self._context.faults
        self.recurring = self._context.recurring
        self.retry_loop = self._context.retry_loop

    def wake(self) -> None:
        """Look for a newly sealed segment."""
        self._wake.set()

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    async def run(self) -> None:
        """Ship until cancelled."""
        while True:
            await self._slots.acquire()
            # Chosen and marked in one step, or it could be evicted while a slot is waited for.
            segment = self._next_waiting()
            if segment is None:
                self._slots.release()
                self._wake.clear()
                await self._wake.wait()
                continue
            before = list(self._tasks.values())
            task = asyncio.create_task(self._ship(segment, before[-1] if before else None))
            self._tasks[segment.number] = task
            task.add_done_callback(partial(self._finished, segment.number))

    def _next_waiting(self) -> Segment | None:
        passed = self.faults.waiting.union(self._tasks)
        for segment in list(islice(self._context.queue.values(), len(passed) + 1)):
            if segment.number not in passed:  # in turn: one that is held is waited for
                return None if segment.number in self._context.options.held else segment
        return None

    def has_in_flight(self, number: int) -> bool:
        return number in self._tasks

    async def idle(self) -> None:
        """Return when no sealed segment waits for the store."""
        while self._context.queue:
            self._progress.clear()
            await self._progress.wait()

    async def delete_replaced(self, *, now: bool = False) -> None:
        """Delete the abandoned rows that were collected, if the time has come or ``now``."""
        await self._settlement.delete_replaced(now=now)

    def close(self) -> None:
        """End the threads without waiting for an insert that is under way."""
        for task in self._tasks.values():
            task.cancel()
        self._context.close()

    def _finished(self, number: int, task: asyncio.Task[None]) -> None:
        self._slots.release()
        self._tasks.pop(number, None)
        self._wake.set()
        self._progress.set()
        if not task.cancelled() and (error := task.exception()):
            what = described(error)
            let_go(error)
            seconds = self.faults.of_segment(number, what)
            self.retry_loop.retries[INTERNAL_ERROR] += 1
            self.recurring.error(
                "segment delivery failed: internal error; retrying",
                store=self.name,
                segment=number,
                fault=what,
            )
            asyncio.get_running_loop().call_later(seconds, self._due, number)

    def _due(self, number: int) -> None:
        if number in self._context.queue:
            self.faults.due(number)
        else:  # it was evicted meanwhile
            self.faults.over(number)
        self._wake.set()

    async def _ship(self, segment: Segment, before: asyncio.Task[None] | None) -> None:
        self._context.hold_memory(segment)
        try:
            batch = await self._reader.read(segment)
            await self._wait_for_repeated(batch)
            await self._deliver(batch)
            # In order, because a begun call and its record may lie in neighboring segments.
            if before is not None:
                await asyncio.wait([before])
            await self._settlement.erase_again(batch)
            await self._settlement.withdraw_objects(batch)
            await self._settlement.settle(batch)
            self._context.end_trouble()
            self.faults.over(segment.number)
        finally:
            self._context.release_memory(segment)

    async def _wait_for_repeated(self, batch: Batch) -> None:
        """Wait until the segments before are settled: they may contain what a line repeats."""
        earlier = [task for number, task in self._tasks.items() if number < batch.segment.number]
        if not batch.repeats or not earlier:
            return
        _, slow = await asyncio.wait(earlier, timeout=KEPT_WAITING_SECONDS)
        if slow:
            self._context.release_blocks(batch)
            await asyncio.wait(slow)

    async def _deliver(self, batch: Batch) -> None:
        delivery = BatchDelivery(self._context, batch)
        await delivery.leave_out_repeats()
        await delivery.upload_objects()
        await delivery.deliver_rows()
        self._context.options.metrics.landed(batch.started_us, self._context.clock.now_us())
        await delivery.deliver_losses()
        if batch.rows or batch.losses:
            self.retry_loop.inserted()
