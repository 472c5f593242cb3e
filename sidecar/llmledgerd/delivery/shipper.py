"""Sealed segments on their way into one store.

Invariant: a segment is written off for the store, in the order of segments, only when each of its
lines is a row there, a dead letter on the disk, or a counted loss. Whatever the store does is
answered by waiting, asking or halving (``retry.Delivery``), never by dropping. Each store in force
has a shipper of its own, with threads, slots and patience of its own, so that none waits for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from llmledgerd.backoff import Backoff
from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.delivery.attempts import Ask, Condemn, Delivery, Insert
from llmledgerd.delivery.batch import Batch, Preparer, condemned
from llmledgerd.delivery.erasing_files import concerns
from llmledgerd.delivery.faults import INTERNAL_ERROR, Faults, described
from llmledgerd.delivery.retry_loop import Patience
from llmledgerd.errors import BatchRejected, LlmledgerdError, SpoolBroken, StoreBusy
from llmledgerd.flow_control import Admission
from llmledgerd.log import Recurring
from llmledgerd.payloads.uploads import Uploads
from llmledgerd.query.erasure import Erasure
from llmledgerd.records.repeats import started_between
from llmledgerd.records.schema import COLUMNS, LOSS_COLUMNS, LOSSES, TRACES
from llmledgerd.spool import Condemned, Segment, Settled, Spool, dead_letters
from llmledgerd.spool.committer import Committer
from llmledgerd.spool.dead_letters import DeadLetter
from llmledgerd.spool.own_lines import RefusedLine
from llmledgerd.stores.base import Buffer, Destination, Doubts
from llmledgerd.stores.receipt_window import Asked
from llmledgerd.system.watchdog import Watchdog, WatchedThreads
from llmledgerd.telemetry.metrics import StoreMetrics

KEPT_WAITING_SECONDS = 1.0
"""How long a segment keeps its encoded rows while it waits for another: most inserts take less."""

T = TypeVar("T")
Upload = Callable[[Uploads, str, Sequence[int]], Awaitable[bool]]
"""``payloads.uploading.Uploader.upload``."""
Blocks = Callable[[list[int]], Awaitable[Sequence[Buffer]]]


class Shipper:
    """Takes the sealed segments that one store waits for from the spool, some at a time."""

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        store: Destination,
        rollup: Doubts,
        preparer: Preparer,
        config: Config,
        admission: Admission,
        clock: Clock,
        watchdog: Watchdog,
        *,
        name: str,
        held: Container[int],
        on_refused: Callable[[RefusedLine], None],
        on_settled: Callable[[], None],
        metrics: StoreMetrics,
        is_witness: bool = False,
        upload: Upload | None = None,
        erasures: Callable[[], tuple[Erasure, ...]] = tuple,
        erase: Callable[[Erasure], None] = lambda erasure: None,
    ) -> None:
        """``held`` are segments that somebody else does something to; ``upload`` stores what rows need in
        object storage, and is there where any row needs it. A ``is_witness`` store says what the time is.
        ``erasures`` are in force, and ``erase`` does one in this store.
        """
        self._erasures = erasures
        self._erase = erase
        self._erased_again: set[Erasure] = set()
        """Of what an earlier process may have inserted."""
        self.name = name
        self._spool = spool
        self._committer = committer
        self._store = store
        self._rollup = rollup
        self._preparer = preparer
        self._config = config
        self._admission = admission
        self._clock = clock
        self._on_refused = on_refused
        self._on_settled = on_settled
        self._metrics = metrics
        self._asked = Asked()
        self._is_witness = is_witness
        self._upload = upload
        # One thread prepares, so that the others keep the store busy while the GIL is taken.
        self._preparing = WatchedThreads(1, f"prepare {name}", watchdog, config.hung_after_seconds)
        self._storing = WatchedThreads(
            config.inserts_in_flight, f"store {name}", watchdog, config.call_seconds
        )
        self._slots = asyncio.Semaphore(config.inserts_in_flight)
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._held = held
        backoff = partial(Backoff, first=config.retry_first_seconds, cap=config.retry_cap_seconds)
        self.faults = Faults(backoff)
        self.recurring = Recurring()
        self.patience = Patience(name, backoff(), self.recurring, lambda: len(self._queue))

    def wake(self) -> None:
        """There may be a newly sealed segment."""
        self._wake.set()

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    async def run(self) -> None:
        """Ship until cancelled."""
        while True:
            await self._slots.acquire()
            # Chosen and marked in one step, or somebody drops it while a slot is waited for.
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
        for segment in list(islice(self._queue.values(), len(passed) + 1)):
            if segment.number not in passed:  # in turn: one that is held is waited for
                return None if segment.number in self._held else segment
        return None

    @property
    def _queue(self) -> dict[int, Segment]:
        return self._spool.queue(self.name)

    def has_in_flight(self, number: int) -> bool:
        return number in self._tasks

    async def idle(self) -> None:
        """Return when no sealed segment waits for the store."""
        while self._queue:
            self._progress.clear()
            await self._progress.wait()

    def close(self) -> None:
        """End the threads; an insert that is under way is waited for by nobody."""
        for task in self._tasks.values():
            task.cancel()
        self._preparing.shutdown(wait=False, cancel_futures=True)
        self._storing.shutdown(wait=False, cancel_futures=True)

    def _finished(self, number: int, task: asyncio.Task[None]) -> None:
        self._slots.release()
        self._tasks.pop(number, None)
        self._wake.set()
        self._progress.set()
        if not task.cancelled() and (error := task.exception()):
            what = described(error)
            seconds = self.faults.of_segment(number, what)
            self.patience.retries[INTERNAL_ERROR] += 1
            self.recurring.error(
                "a segment met a fault of ours and is tried again",
                store=self.name,
                segment=number,
                fault=what,
            )
            asyncio.get_running_loop().call_later(seconds, self._due, number)

    def _due(self, number: int) -> None:
        if number in self._queue:
            self.faults.due(number)
        else:  # it was dropped meanwhile
            self.faults.over(number)
        self._wake.set()

    async def _ship(self, segment: Segment, before: asyncio.Task[None] | None) -> None:
        self._hold(segment)
        try:
            batch = await self._prepared(segment)
            await self._await_what_it_repeats(batch)
            await self._leave_out_repeats(batch)
            await self._upload_objects(batch)
            await self._deliver_rows(batch)
            self._metrics.landed(batch.started_us, self._clock.now_us())
            await self._deliver_losses(batch)
            if batch.rows or batch.losses:
                self.patience.works()
            # In order, because a begun call and its record may lie in neighboring segments.
            if before is not None:
                await asyncio.wait([before])
            await self._erase_again(batch)
            await self._settle(batch)
            self.faults.over(segment.number)
        finally:
            self._let_go(segment)

    def _hold(self, segment: Segment) -> None:
        self._admission.ships((self.name, segment.number), segment.line_bytes)

    def _let_go(self, segment: Segment) -> None:
        self._admission.ships((self.name, segment.number), 0)

    def _let_blocks_go(self, batch: Batch) -> None:
        """Waiting costs no memory, which would keep the other stores' senders out: the spool has the lines."""
        batch.blocks = None
        self._let_go(batch.segment)

    async def _prepared(self, segment: Segment) -> Batch:
        await self._ask_the_time(segment)
        window = self._asked.window(self._clock.monotonic())
        known = self._condemned(segment)
        failed = {row: detail for row, (reason, detail) in known.items() if reason == INTERNAL_ERROR}

        def prepare() -> Batch:
            return self._preparer.prepare(segment, self._spool.read, window, failed)

        batch = await self.patience.until_it_works(self._preparing, prepare, partial(self._let_go, segment))
        self._hold(segment)
        await self._write_down(batch)
        return batch

    async def _ask_the_time(self, segment: Segment) -> None:
        """Hear from the store what its time is, lest its TTL deletes what is about to be stored."""
        if not self._asked.is_due(self._clock.monotonic(), self._clock.jumps):
            return
        told = await self.patience.until_it_works(
            self._storing, self._store.clock, partial(self._let_go, segment)
        )
        if self._is_witness:
            self._spool.state.snapshot.agreed_us = self._clock.heard(told.now_us)
        is_believed = self._clock.believes(told.now_us)
        self._asked.heard(told, self._clock.monotonic(), self._clock.jumps, is_believed=is_believed)

    async def _await_what_it_repeats(self, batch: Batch) -> None:
        """Return when the segments before are settled: what a line repeats may be on its way in them."""
        earlier = [task for number, task in self._tasks.items() if number < batch.segment.number]
        if not batch.repeats or not earlier:
            return
        _, slow = await asyncio.wait(earlier, timeout=KEPT_WAITING_SECONDS)
        if slow:
            self._let_blocks_go(batch)
            await asyncio.wait(slow)

    def _condemned(self, segment: Segment) -> dict[int, tuple[str, str]]:
        return self._spool.state.snapshot.stores[self.name].condemned.get(segment.number, {})

    async def _write_down(self, batch: Batch) -> None:
        """Decide, before anything is done about it, that the lines we fail at become dead letters."""
        if not batch.faults:
            return
        number = batch.segment.number
        rows = [Condemned(number, row, INTERNAL_ERROR, what, self.name) for row, what in batch.faults.items()]
        await self._committer.until_written(lambda: self._spool.condemn_all(rows, self._clock.now_us()))
        for row in rows:
            self.faults.of_line(row.detail)
            self.recurring.error(
                "a line met a fault of ours and becomes a dead letter",
                store=self.name,
                segment=number,
                fault=row.detail,
            )

    async def _leave_out_repeats(self, batch: Batch) -> None:
        """Take out the lines that are stored already, as rows of another batch than this one."""
        if not batch.repeats:
            return
        from_us, to_us = started_between(batch.repeats.values(), batch.to_us)
        asked = {repeat.call for repeat in batch.repeats.values()}
        present = await self.patience.until_it_works(
            self._storing,
            lambda: self._store.calls_present(asked, from_us, to_us, besides=batch.segment.batch),
            partial(self._let_blocks_go, batch),
        )
        gone = {row for row, repeat in batch.repeats.items() if repeat.call in present}
        self._leave_out(batch, gone)
        batch.control += len(gone)

    async def _upload_objects(self, batch: Batch) -> None:
        """No row may be inserted before what it points at is stored; wait for that as for the store."""
        while self._upload is not None and not batch.uploads.done:
            try:
                if await self._upload(batch.uploads, batch.segment.batch, batch.rows):
                    batch.blocks = None  # rows were given other names than they were encoded with
            except StoreBusy as error:
                self._let_blocks_go(batch)
                await self.patience.wait(error)

    async def _deliver_rows(self, batch: Batch) -> None:
        for row, (reason, detail) in self._condemned(batch.segment).items():
            await self._bury(batch, row, reason, detail)
        delivery = Delivery(batch.segment.batch, batch.rows, uncertain=self._may_have_landed(batch.segment))

        async def blocks(rows: list[int]) -> Sequence[Buffer]:
            if batch.blocks is not None and rows == batch.rows:
                return batch.blocks
            self._hold(batch.segment)
            return await self.patience.until_it_works(
                self._preparing, partial(self._encoded_again, batch, rows)
            )

        await self._deliver(delivery, TRACES, COLUMNS, blocks, batch)
        if delivery.found:  # a view behind the table may have failed after the table's commit
            await self.patience.until_it_works(
                self._storing,
                lambda: self._rollup.doubt_batch(batch.segment.batch, batch.from_us, batch.to_us),
            )

    def _may_have_landed(self, segment: Segment) -> bool:
        return segment.recovered or self.faults.has_met(segment.number)

    def _encoded_again(self, batch: Batch, rows: list[int]) -> Sequence[Buffer]:
        groups = self._spool.read(batch.segment)
        return self._preparer.encode_some(groups, batch, rows).blocks

    async def _deliver_losses(self, batch: Batch) -> None:
        delivery = Delivery(
            batch.segment.batch, range(len(batch.losses)), uncertain=self._may_have_landed(batch.segment)
        )

        async def blocks(rows: list[int]) -> Sequence[Buffer]:
            chosen = [batch.losses[row] for row in rows]
            encode = partial(self._store.encode, LOSSES, LOSS_COLUMNS, chosen)
            return [await self.patience.until_it_works(self._storing, encode)]

        await self._deliver(delivery, LOSSES, LOSS_COLUMNS, blocks, batch)

    async def _deliver(
        self, delivery: Delivery, table: str, columns: Sequence[str], blocks: Blocks, batch: Batch
    ) -> None:
        while (step := delivery.next()) is not None:
            match step:
                case Ask():
                    delivery.landed(await self._landed(table, batch))
                case Condemn():
                    await self._condemn(step, table, batch)
                    delivery.condemned()
                case Insert():
                    body = await blocks(step.rows)
                    size = sum(map(len, body))
                    insert = partial(self._store.insert_blocks, table, columns, body, step.token)
                    began = self._clock.monotonic()
                    refusal = await self._attempt(delivery, insert, batch)
                    del body, insert
                    if isinstance(refusal, StoreBusy):
                        self._let_blocks_go(batch)
                        await self.patience.wait(refusal)
                    elif refusal is None and table == TRACES:
                        self._metrics.inserted(self._clock.monotonic() - began, len(step.rows), size)

    async def _attempt(
        self, delivery: Delivery, insert: Callable[[], set[int]], batch: Batch
    ) -> StoreBusy | BatchRejected | None:
        """Insert once; return why the store did not take it."""
        try:
            batch.repeated |= await asyncio.get_running_loop().run_in_executor(self._storing, insert)
        except StoreBusy as error:
            delivery.busy(error)
            return StoreBusy(error.kind, str(error))  # without the traceback, which holds the blocks
        except BatchRejected as error:
            self.patience.retries["rejected"] += 1
            delivery.rejected(error)
            return error
        delivery.inserted()
        self.patience.works()
        return None

    async def _landed(self, table: str, batch: Batch) -> set[int]:
        segment = batch.segment
        return await self.patience.until_it_works(
            self._storing,
            lambda: self._store.landed_rows(table, segment.batch, batch.from_us, batch.to_us),
            partial(self._let_blocks_go, batch),
        )

    async def _condemn(self, step: Condemn, table: str, batch: Batch) -> None:
        if table != TRACES:  # a loss is ours: it has no sender's bytes to keep
            self.recurring.error(
                "store rejected a row of llm_trace_losses",
                store=self.name,
                code=step.code,
                error=step.message,
            )
            return
        reason, detail = "refused_by_store", f"{step.code}: {step.message[:500]}"
        row = Condemned(batch.segment.number, step.row, reason, detail, self.name)
        await self._committer.until_written(lambda: self._spool.condemn(row, self._clock.now_us()))
        await self._bury(batch, step.row, reason, detail)

    async def _bury(self, batch: Batch, row: int, reason: str, detail: str) -> None:
        def letter() -> DeadLetter:
            return condemned(batch, self._spool.read(batch.segment), row, reason, detail, self.name)

        if row in batch.rows:
            batch.refused_here[row] = await self.patience.until_it_works(self._preparing, letter)
            self._leave_out(batch, {row})

    def _leave_out(self, batch: Batch, rows: set[int]) -> None:
        if rows:
            batch.rows = [row for row in batch.rows if row not in rows]
            batch.blocks = None

    async def _settle(self, batch: Batch) -> None:
        await self._delete_replaced(batch)
        if not self._spool.state.has_been_stored(batch.segment.number):
            await self._write_letters(batch.segment.batch, batch.letters)
        await self._write_letters(f"{batch.segment.batch}-{self.name}", batch.refused_here)
        is_first = await self._committer.until_written(lambda: self._write_off(batch))
        if batch.lost:
            self.recurring.error(
                "lines lost: a part of the spool is damaged", store=self.name, times=batch.lost
            )
        letters = (*batch.letters.values(), *batch.refused_here.values())
        self._metrics.settled(batch.losses, [letter.reason for letter in letters])
        for line in batch.refused if is_first else ():
            self._on_refused(line)
        self._on_settled()

    async def _erase_again(self, batch: Batch) -> None:
        """Erase what may have landed of rows that were made before an erasure was in force."""
        for erasure in self._erasures():
            if erasure in (self._erased_again if batch.segment.recovered else batch.erasures):
                continue
            if batch.from_us > (erasure.until_us or batch.to_us):
                continue
            try:
                await self.patience.until_it_works(self._storing, partial(self._erase, erasure))
            except LlmledgerdError as error:  # time does not mend it, and the segment's rows are there
                self.recurring.error("an erasure is not done", store=self.name, error=str(error))
            self._erased_again.add(erasure)

    def _write_off(self, batch: Batch) -> bool:
        """Settle the segment for this store; return whether it is the first one that has.

        On the writer's thread, which alone may look at begun calls while they change.
        """
        state, number = self._spool.state, batch.segment.number
        is_first = not state.has_been_stored(number)
        settled = Settled(
            segment=number,
            store=self.name,
            stored=len(batch.rows) - len(batch.repeated),
            dead=len(batch.letters) + len(batch.refused_here),
            lost=batch.lost,
            control=batch.control + len(batch.repeated),
            reads=self._spool.is_next_to_read(batch.segment),
        )
        if settled.reads:
            snap = state.snapshot
            settled.opened, settled.ended = batch.opened, batch.ended
            settled.closed = [call for call in (*snap.begun, *snap.abandoned) if call in batch.ids]
        self._spool.settle(settled, self._clock.now_us())
        return is_first

    def _replaced(self, batch: Batch) -> list[str]:
        snap = self._spool.state.snapshot
        given_up = snap.abandoned
        late = [call for call in given_up if call in batch.ids] + snap.late.get(batch.segment.number, [])
        return late + [call for call in batch.abandoned if call not in given_up]

    async def _delete_replaced(self, batch: Batch) -> None:
        """Delete the abandoned rows of calls whose record has come, whichever came first."""
        replaced = await self._committer.on_writer(self._replaced, batch)
        if replaced:
            await self.patience.until_it_works(self._storing, lambda: self._rollup.doubt_abandoned(replaced))
            await self.patience.until_it_works(self._storing, lambda: self._store.delete_abandoned(replaced))

    async def _write_letters(self, name: str, by_row: dict[int, DeadLetter]) -> None:
        if not by_row:
            return
        letters = [by_row[row] for row in sorted(by_row)]
        erasures = self._erasures()
        letters = [one for one in letters if not any(concerns(erasure, one) for erasure in erasures)]
        if not letters:
            return
        reasons = sorted({letter.reason for letter in letters})
        self.recurring.warn("lines moved to the dead-letter queue", times=len(letters), reasons=reasons)

        def write() -> None:
            try:
                dead_letters.write(Path(self._config.spool_dir), name, letters)
            except OSError as error:
                raise SpoolBroken(f"dead letters: {error.strerror or error}") from error

        try:
            await asyncio.get_running_loop().run_in_executor(self._preparing, write)
        except SpoolBroken:  # nothing behind it is written off before: the reserve is for that as well
            await self._committer.until_written(write)
