"""First stage of shipping: a segment is read and encoded as a batch.

Invariants:
- The store's clock was read lately, so that its TTL does not delete what is about to be stored.
- That a line becomes a dead letter because of an internal error is written to the spool first.
"""

from __future__ import annotations

from functools import partial

from llmledgerd.delivery.batch import Batch
from llmledgerd.delivery.faults import INTERNAL_ERROR
from llmledgerd.delivery.store_context import StoreContext
from llmledgerd.spool import RejectedRow, Segment
from llmledgerd.stores.receipt_window import Asked


class SegmentReader:
    """Reader of one store's segments."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._asked = Asked()

    async def read(self, segment: Segment) -> Batch:
        """Return the segment's batch, with the lines that raised as dead letters."""
        context = self._context
        await self._ask_the_time(segment)
        window = self._asked.window(context.clock.monotonic())
        known = context.rejected_rows(segment)
        failed = {row: detail for row, (reason, detail) in known.items() if reason == INTERNAL_ERROR}

        def prepare() -> Batch:
            with context.room_for(segment):
                return context.options.preparer.prepare(segment, context.spool.read, window, failed)

        batch = await context.until_prepared(prepare, partial(context.release_memory, segment))
        context.hold_memory(segment)
        await self._record_faults(batch)
        return batch

    async def _ask_the_time(self, segment: Segment) -> None:
        """Read the store's clock when the last reading is too old or this machine's clock has jumped."""
        context, clock = self._context, self._context.clock
        if not self._asked.is_due(clock.monotonic(), clock.jumps):
            return
        told = await context.until_answered(context.store.clock, partial(context.release_memory, segment))
        if context.options.is_witness:
            context.spool.state.snapshot.agreed_us = clock.heard(told.now_us)
        is_believed = clock.believes(told.now_us)
        self._asked.heard(told, clock.monotonic(), clock.jumps, is_believed=is_believed)

    async def _record_faults(self, batch: Batch) -> None:
        """Write to the spool which lines become dead letters because of an internal error."""
        if not batch.faults:
            return
        context, number = self._context, batch.segment.number
        rows = [
            RejectedRow(number, row, INTERNAL_ERROR, what, context.name) for row, what in batch.faults.items()
        ]
        await context.committer.until_written(lambda: context.spool.reject_rows(rows, context.clock.now_us()))
        for row in rows:
            context.faults.of_line(row.detail)
            context.recurring.error(
                "line moved to the dead-letter queue: internal error",
                store=context.name,
                segment=number,
                fault=row.detail,
            )
