"""Second stage of shipping: the delivery of one batch into one store.

Invariant: at the end every row of the batch is in the store or is a dead letter, and every loss is in
the store. Each answer of the store is met by waiting, asking or halving (``attempts.Delivery``), never
by dropping.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from llmledgerd.delivery.attempts import Ask, Delivery, Insert, Reject, Wait
from llmledgerd.delivery.batch import Batch, rejected_letter
from llmledgerd.delivery.store_context import StoreContext
from llmledgerd.errors import AnswerIncomplete, BatchRejected, StoreBusy, let_go
from llmledgerd.records import twice_told
from llmledgerd.records.repeats import started_between
from llmledgerd.records.schema import COLUMNS, LOSS_COLUMNS, LOSSES, TRACES
from llmledgerd.records.twice_told import Told
from llmledgerd.spool import RejectedRow
from llmledgerd.spool.dead_letters import DeadLetter
from llmledgerd.stores.base import Buffer

Blocks = Callable[[list[int]], Awaitable[Sequence[Buffer]]]


class BatchDelivery:
    """Delivery of one batch: repeats left out, objects uploaded, rows and losses inserted."""

    def __init__(self, context: StoreContext, batch: Batch) -> None:
        self._context = context
        self._batch = batch
        self._segment = batch.segment

    async def leave_out_repeats(self) -> None:
        """Take out the lines that are stored already, as rows of another batch than this one."""
        batch, context = self._batch, self._context
        if not batch.repeats:
            return
        from_us, to_us = started_between(batch.repeats.values())
        asked = {repeat.call for repeat in batch.repeats.values()}
        present = await context.until_answered(
            lambda: context.store.calls_present(asked, from_us, to_us, besides=self._segment.batch),
            partial(context.release_blocks, batch),
        )
        gone = {row for row, repeat in batch.repeats.items() if repeat.call in present}
        self._leave_out(gone)
        batch.control += len(gone)
        await self._leave_out_recorded({row: span for row, span in batch.spans.items() if row not in gone})

    async def _leave_out_recorded(self, spans: dict[int, Told]) -> None:
        """Take out the rows made of OTLP whose calls a hook has recorded, in this batch or before."""
        batch, context = self._batch, self._context
        gone = twice_told.recorded(spans.items(), batch.recorded)
        rest = {row: span for row, span in spans.items() if row not in gone}
        if rest:
            found = await context.until_answered(
                lambda: context.store.records_of(list(rest.values()), besides=self._segment.batch),
                partial(context.release_blocks, batch),
            )
            gone |= twice_told.recorded(rest.items(), found)
        self._leave_out(gone)
        batch.control += len(gone)

    async def upload_objects(self) -> None:
        """Store what rows point at before any of them is inserted; retry as with the store."""
        batch, context, uploader = self._batch, self._context, self._context.options.uploader
        while uploader is not None and not batch.uploads.done:
            try:
                if await uploader.upload(batch.uploads, self._segment.batch, batch.rows):
                    batch.blocks = None  # rows were given other names than they were encoded with
            except StoreBusy as error:
                context.release_blocks(batch)
                await context.retry_loop.wait(error)

    async def deliver_rows(self) -> None:
        """Insert the rows; return when each one is stored or a dead letter."""
        batch, context = self._batch, self._context
        for row, (reason, detail) in context.rejected_rows(self._segment).items():
            await self._move_to_dead_letters(row, reason, detail)
        delivery = Delivery(self._segment.batch, batch.rows, uncertain=self._may_have_landed)
        await self._deliver(delivery, TRACES, COLUMNS, self._row_blocks)
        if delivery.found:  # a view behind the table may have failed after the table's commit
            rollup = context.options.rollup
            await context.until_answered(
                lambda: rollup.doubt_batch(self._segment.batch, batch.from_us, batch.to_us)
            )

    async def deliver_losses(self) -> None:
        """Insert the losses; return when each one is stored or was rejected alone."""
        losses = range(len(self._batch.losses))
        delivery = Delivery(self._segment.batch, losses, uncertain=self._may_have_landed)
        await self._deliver(delivery, LOSSES, LOSS_COLUMNS, self._loss_blocks)

    @property
    def _may_have_landed(self) -> bool:
        return self._segment.recovered or self._context.faults.has_met(self._segment.number)

    async def _row_blocks(self, rows: list[int]) -> Sequence[Buffer]:
        if self._batch.blocks is not None and rows == self._batch.rows:
            return self._batch.blocks
        self._context.hold_memory(self._segment)
        return await self._context.until_prepared(partial(self._encoded_again, rows))

    def _encoded_again(self, rows: list[int]) -> Sequence[Buffer]:
        context = self._context
        with context.room_for(self._segment):
            groups = context.spool.read(self._segment)
            return context.options.preparer.encode_some(groups, self._batch, rows).blocks

    async def _loss_blocks(self, rows: list[int]) -> Sequence[Buffer]:
        chosen = [self._batch.losses[row] for row in rows]
        encode = partial(self._context.store.encode, LOSSES, LOSS_COLUMNS, chosen)
        return [await self._context.until_answered(encode)]

    async def _deliver(self, delivery: Delivery, table: str, columns: Sequence[str], blocks: Blocks) -> None:
        context = self._context
        incomplete = AnswerIncomplete(set(), "the store was not asked yet")
        while (step := delivery.next()) is not None:
            match step:
                case Ask():
                    try:
                        delivery.landed(await self._landed(table))
                    except AnswerIncomplete as answer:
                        incomplete = answer
                        delivery.landed(answer.rows, is_whole=False)
                case Wait():
                    context.release_blocks(self._batch)
                    await context.retry_loop.wait(incomplete)
                    delivery.waited()
                case Reject():
                    await self._reject(step, table)
                    delivery.row_rejected()
                case Insert():
                    body = await blocks(step.rows)
                    size = sum(map(len, body))
                    insert = partial(context.store.insert_blocks, table, columns, body, step.token)
                    began = context.clock.monotonic()
                    refusal = await self._attempt(delivery, insert)
                    del body, insert
                    if isinstance(refusal, StoreBusy):
                        context.release_blocks(self._batch)
                        await context.retry_loop.wait(refusal)
                    elif refusal is None and table == TRACES:
                        seconds = context.clock.monotonic() - began
                        context.options.metrics.inserted(seconds, len(step.rows), size)

    async def _attempt(
        self, delivery: Delivery, insert: Callable[[], set[int]]
    ) -> StoreBusy | BatchRejected | None:
        """Insert once; return why the store did not take it."""
        loop, context = asyncio.get_running_loop(), self._context
        try:
            self._batch.repeated |= await loop.run_in_executor(context.storing, insert)
        except StoreBusy as error:
            delivery.busy(error)
            let_go(error)
            return StoreBusy(error.kind, str(error))  # without the traceback, which holds the blocks
        except BatchRejected as error:
            context.retry_loop.retries["rejected"] += 1
            delivery.rejected(error)
            let_go(error)
            return error
        delivery.inserted()
        context.retry_loop.inserted()
        return None

    async def _landed(self, table: str) -> set[int]:
        """Return the rows that are stored. Raises AnswerIncomplete."""
        batch, context = self._batch, self._context
        return await context.until_answered(
            lambda: context.store.landed_rows(table, self._segment.batch, batch.from_us, batch.to_us),
            partial(context.release_blocks, batch),
        )

    async def _reject(self, step: Reject, table: str) -> None:
        """Write to the spool that a row is a dead letter, then make the letter."""
        context = self._context
        if table != TRACES:  # a loss is ours: it has no sender's bytes to keep
            context.recurring.error(
                "store rejected a row of llm_trace_losses",
                store=context.name,
                code=step.code,
                error=step.message,
            )
            return
        reason, detail = "refused_by_store", f"{step.code}: {step.message[:500]}"
        row = RejectedRow(self._segment.number, step.row, reason, detail, context.name)
        await context.committer.until_written(lambda: context.spool.reject_row(row, context.clock.now_us()))
        await self._move_to_dead_letters(step.row, reason, detail)

    async def _move_to_dead_letters(self, row: int, reason: str, detail: str) -> None:
        """Move a row of the batch to its dead letters, which the settlement puts on the disk."""
        batch, context = self._batch, self._context

        def letter() -> DeadLetter:
            return rejected_letter(
                batch, context.spool.read(self._segment), row, reason, detail, context.name
            )

        if row in batch.rows:
            batch.refused_here[row] = await context.until_prepared(letter)
            self._leave_out({row})

    def _leave_out(self, rows: set[int]) -> None:
        if rows:
            self._batch.rows = [row for row in self._batch.rows if row not in rows]
            self._batch.blocks = None
