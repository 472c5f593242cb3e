"""Last stage of shipping: the settlement of a delivered batch.

Invariant: a segment is written off for the store after the abandoned rows that it replaces are deleted, or
written down for a later deletion, and its dead letters are on the disk. Erasures in force are executed first.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from llmledgerd.delivery.batch import Batch
from llmledgerd.delivery.erasing_files import concerns
from llmledgerd.delivery.late_records import LateRecords
from llmledgerd.delivery.store_context import StoreContext
from llmledgerd.errors import LlmledgerdError, SpoolBroken, StoreBusy
from llmledgerd.payloads.uploads import Uploads
from llmledgerd.query.erasure import Erasure
from llmledgerd.records.repeats import Call, answered_by, name_of, started_between
from llmledgerd.spool import Settled, dead_letters
from llmledgerd.spool.dead_letters import DeadLetter


class Settlement:
    """Settlement of one store's batches, in the order of their segments."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._erased_again: set[Erasure] = set()
        """Executed for rows that an earlier process may have inserted."""
        self._late = LateRecords()
        self._deleting = asyncio.Lock()
        self._deleted = 0
        """How many calls of ``Progress.replaced`` have lost their rows, from the first on; the next segment says so."""

    async def erase_again(self, batch: Batch) -> None:
        """Erase what may have landed of rows that were made before an erasure was in force."""
        context = self._context
        for erasure in context.options.erasures():
            if erasure in (self._erased_again if batch.segment.recovered else batch.erasures):
                continue
            if batch.from_us > (erasure.until_us or batch.to_us):
                continue
            try:
                await context.until_answered(partial(context.options.erase, erasure))
            except LlmledgerdError as error:  # a retry would not help, and the segment's rows are there
                context.recurring.error("erasure incomplete", store=context.name, error=str(error))
            self._erased_again.add(erasure)

    async def withdraw_objects(self, batch: Batch) -> None:
        """Delete the objects that attempts to store erased lines have uploaded, and to which no row refers.

        The row was refused, or its attempt ended before the insert. Retried as with the store.
        """
        context, uploader = self._context, self._context.options.uploader
        erasures = [
            one for one in context.options.erasures() if batch.from_us <= (one.until_us or batch.to_us)
        ]
        if uploader is None or not erasures:
            return
        uploads = await context.until_prepared(partial(self._erased_objects, batch, erasures))
        while uploads.objects:
            try:
                await uploader.withdraw(uploads, batch.segment.batch)
            except StoreBusy as error:
                await context.retry_loop.wait(error)

    def _erased_objects(self, batch: Batch, erasures: list[Erasure]) -> Uploads:
        context = self._context
        with context.room_for(batch.segment):
            return context.options.preparer.erased_objects(context.spool.read(batch.segment), batch, erasures)

    async def settle(self, batch: Batch) -> None:
        """Delete replaced rows or remember them, write the dead letters, and write the segment off."""
        context, options = self._context, self._context.options
        forgotten = await self._forgotten(batch)
        async with self._deleting:
            late = await context.committer.on_writer(self._replaced, batch)
            replaced = await self._delete_due(sorted({*late, *forgotten}))
            if not context.spool.state.has_been_stored(batch.segment.number):
                await self._write_letters(batch.segment.batch, batch.letters)
            await self._write_letters(f"{batch.segment.batch}-{context.name}", batch.refused_here)
            is_first = await context.committer.until_written(lambda: self._write_off(batch, replaced))
            self._deleted = 0
        if batch.lost:
            context.recurring.error(
                "lines lost: a part of the spool is damaged", store=context.name, times=batch.lost
            )
        letters = (*batch.letters.values(), *batch.refused_here.values())
        options.metrics.settled(batch.losses, [letter.reason for letter in letters])
        for line in batch.refused if is_first else ():
            options.on_refused(line)
        options.on_settled()

    async def delete_replaced(self, *, now: bool = False) -> None:
        """Delete the rows that were collected, if the time has come or ``now``."""
        async with self._deleting:
            await self._delete_due([], at_once=now)

    def _write_off(self, batch: Batch, replaced: list[Call]) -> bool:
        """Settle the segment for this store; return whether it is the first one that has.

        Runs on the writer's thread, the only one that may read begun calls while they change.
        """
        spool, number = self._context.spool, batch.segment.number
        is_first = not spool.state.has_been_stored(number)
        settled = Settled(
            segment=number,
            store=self._context.name,
            stored=len(batch.rows) - len(batch.repeated),
            dead=len(batch.letters) + len(batch.refused_here),
            lost=batch.lost,
            control=batch.control + len(batch.repeated),
            reads=spool.is_next_to_read(batch.segment),
            replaced=replaced,
            deleted=self._deleted,
        )
        if settled.reads:
            snap = spool.state.snapshot
            settled.opened, settled.ended = batch.opened, batch.ended
            settled.closed = batch.closed((*snap.begun, *snap.abandoned))
        spool.settle(settled, self._context.clock.now_us())
        return is_first

    def _replaced(self, batch: Batch) -> list[Call]:
        """Return the calls whose abandoned rows go because of this batch."""
        snap = self._context.spool.state.snapshot
        given_up = snap.abandoned
        late = {*batch.closed(given_up), *snap.late.get(batch.segment.number, ())}
        declared = (
            batch.repeats[row].call
            for name, row in batch.abandoned.items()
            if name not in given_up and row in batch.repeats
        )
        recorded = (
            one for call in (batch.calls if late else ()) for one in answered_by(call) if name_of(one) in late
        )
        return sorted({*recorded, *declared})

    async def _forgotten(self, batch: Batch) -> set[Call]:
        """Return the calls with an abandoned row that nobody remembers: their records were away for long."""
        if not batch.overdue:
            return set()
        context = self._context
        asked = {one for record in batch.overdue for one in answered_by(record.call)}
        between = started_between(batch.overdue)
        return await context.until_answered(lambda: context.store.calls_abandoned(asked, *between))

    async def _delete_due(self, further: list[Call], *, at_once: bool = False) -> list[Call]:
        """Delete the collected rows and those of further calls; return the calls that are yet to be collected."""
        context = self._context
        collected = await context.committer.on_writer(self._collected)
        calls, now = collected[self._deleted :] + further, context.clock.monotonic()
        if not calls or not (at_once or self._late.are_due(len(calls), now)):
            return further
        ids = [name for _, name in calls]
        await context.until_answered(lambda: context.options.rollup.doubt_abandoned(ids))
        await context.until_answered(lambda: context.store.delete_abandoned(calls))
        self._late.deleted(now)
        self._deleted = len(collected)
        context.end_trouble()
        return []

    def _collected(self) -> list[Call]:
        return list(self._context.spool.state.snapshot.stores[self._context.name].replaced)

    async def _write_letters(self, name: str, by_row: dict[int, DeadLetter]) -> None:
        if not by_row:
            return
        context = self._context
        letters = [by_row[row] for row in sorted(by_row)]
        erasures = context.options.erasures()
        letters = [one for one in letters if not any(concerns(erasure, one) for erasure in erasures)]
        if not letters:
            return
        reasons = sorted({letter.reason for letter in letters})
        context.recurring.warn("lines moved to the dead-letter queue", times=len(letters), reasons=reasons)

        def write() -> None:
            try:
                dead_letters.write(Path(context.runtime.config.spool_dir), name, letters)
            except OSError as error:
                raise SpoolBroken(f"dead letters: {error.strerror or error}") from error

        try:
            await asyncio.get_running_loop().run_in_executor(context.preparing, write)
        except SpoolBroken:  # nothing behind it is written off before: the reserve is for that as well
            await context.committer.until_written(write)
