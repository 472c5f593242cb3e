"""State that the stages of one store's shipping share: threads, retry loop, faults, and memory in use.

Invariant: threads, retry loop and faults belong to one store, so that no store waits for another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, TypeVar

from llmledgerd.delivery.batch import Batch
from llmledgerd.delivery.faults import Faults
from llmledgerd.delivery.options import Runtime, ShipperOptions
from llmledgerd.delivery.retry_loop import RetryLoop
from llmledgerd.log import Recurring
from llmledgerd.spool import Segment
from llmledgerd.system.watchdog import WatchedThreads

T = TypeVar("T")

LARGE_SEGMENT: Final = 16 << 20
"""Bytes of lines; a segment is sealed at half as many (``batch_max_bytes``), unless one line is that large."""


class StoreContext:
    """Shared state of one store's shipper, segment reader, deliveries and settlement."""

    def __init__(self, runtime: Runtime, options: ShipperOptions) -> None:
        config = runtime.config
        self.runtime = runtime
        self.options = options
        self.name = options.name
        self.store = options.store
        self.spool = runtime.spool
        self.committer = runtime.committer
        self.clock = runtime.clock
        # One thread prepares, so that the others keep the store busy while the GIL is taken.
        self.preparing = WatchedThreads(
            1, f"prepare {self.name}", runtime.watchdog, config.hung_after_seconds
        )
        self.storing = WatchedThreads(
            config.inserts_in_flight, f"store {self.name}", runtime.watchdog, config.call_seconds
        )
        self.faults = Faults(runtime.store_retries.backoff)
        self.recurring = Recurring()
        self.retry_loop = RetryLoop(
            self.name, runtime.store_retries.backoff(), self.recurring, lambda: len(self.queue)
        )

    @property
    def queue(self) -> dict[int, Segment]:
        """Sealed segments that wait for this store, by number."""
        return self.spool.queue(self.name)

    async def until_prepared(self, action: Callable[[], T], on_wait: Callable[[], None] = lambda: None) -> T:
        """Run a harmless action on the preparing thread until it succeeds."""
        return await self.retry_loop.until_done(self.preparing, action, on_wait)

    async def until_answered(self, action: Callable[[], T], on_wait: Callable[[], None] = lambda: None) -> T:
        """Run a harmless action on one of the store's threads until it succeeds."""
        return await self.retry_loop.until_done(self.storing, action, on_wait)

    def room_for(self, segment: Segment) -> AbstractContextManager[object]:
        """Return what a thread enters to prepare a segment: large ones are prepared by one store at a time.

        No store waits for another's server by that, and preparation is work of the interpreter, of which one
        thread runs at a time anyway.
        """
        return self.runtime.large_segments if segment.line_bytes >= LARGE_SEGMENT else nullcontext()

    def hold_memory(self, segment: Segment) -> None:
        """Count the segment's lines towards the daemon's memory limit."""
        self.runtime.admission.ships((self.name, segment.number), segment.line_bytes)

    def release_memory(self, segment: Segment) -> None:
        """Stop counting the segment's lines towards the memory limit."""
        self.runtime.admission.ships((self.name, segment.number), 0)

    def release_blocks(self, batch: Batch) -> None:
        """Free a batch's encoded rows before a wait; they are encoded again from the spool.

        Otherwise one unavailable store would use up the memory limit of the other stores' senders.
        """
        batch.blocks = None
        self.release_memory(batch.segment)

    def end_trouble(self) -> None:
        """End the trouble of a store that has just answered and for which nothing waits: no insert will."""
        if not self.queue:
            self.retry_loop.inserted()

    def rejected_rows(self, segment: Segment) -> dict[int, tuple[str, str]]:
        """Return reason and detail of the segment's rows that are dead letters of this store, by row."""
        return self.spool.state.snapshot.stores[self.name].rejected.get(segment.number, {})

    def close(self) -> None:
        """End the threads without waiting for calls that are under way."""
        self.preparing.shutdown(wait=False, cancel_futures=True)
        self.storing.shutdown(wait=False, cancel_futures=True)
