"""Sealed segments on their way into the store, and out of the spool.

Invariant: a segment is written off, in the order of segments, only when each of its lines is a
row, a dead letter on the disk, or a counted loss. Whatever the store does is answered by waiting,
asking or halving (``retry.Delivery``), never by dropping.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from llmtraced import dead_letters
from llmtraced.admission import Admission
from llmtraced.batch import LOSS_COLUMNS, Batch, Preparer, RefusedLine, condemned, own_lines
from llmtraced.clock import Clock
from llmtraced.committer import Committer, Run
from llmtraced.config import Config
from llmtraced.dead_letters import DeadLetter
from llmtraced.destination import Destination, Doubts
from llmtraced.errors import BatchRejected, SpoolBroken, StoreBusy
from llmtraced.log import Recurring
from llmtraced.metrics import StoreMetrics
from llmtraced.payloads.uploads import Uploads
from llmtraced.retry import Ask, Backoff, Condemn, Delivery, Insert
from llmtraced.rows import COLUMNS
from llmtraced.spool import Condemned, Entry, EntryKind, Segment, Settled, Spool
from llmtraced.watchdog import Watchdog, WatchedThreads

TRACES = "llm_traces"
LOSSES = "llm_trace_losses"
DAY_US = 86_400_000_000

log = structlog.get_logger(__name__)
T = TypeVar("T")
Upload = Callable[[Uploads, str, Sequence[int]], Awaitable[bool]]
"""``payloads.uploading.Uploader.upload``."""
Blocks = Callable[[list[int]], Awaitable[Sequence[bytes | bytearray]]]


class Shipper:
    """Takes sealed segments from the spool, some at a time."""

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
        on_refused: Callable[[RefusedLine], None],
        on_settled: Callable[[], None],
        metrics: StoreMetrics,
        upload: Upload | None = None,
    ) -> None:
        """``upload`` stores what rows need in object storage; there is one where any row needs it."""
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
        self._upload = upload
        # One thread prepares, so that the others keep the store busy while the GIL is taken.
        self._preparing = WatchedThreads(1, "prepare", watchdog, config.hung_after_seconds)
        self._storing = WatchedThreads(config.inserts_in_flight, "store", watchdog, config.call_seconds)
        self._slots = asyncio.Semaphore(config.inserts_in_flight)
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._held: set[int] = set()  # segments that something else is being done to
        self._backoff = Backoff(first=config.retry_first_seconds, cap=config.retry_cap_seconds)
        self.recurring = Recurring()
        self.retries: Counter[str] = Counter()
        self.trouble = ""
        """What the store's last answer was, while it is not taking batches; empty while it is."""

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
        for number, segment in list(self._spool.segments.items()):
            if number not in self._tasks and number not in self._held:
                return segment
        return None

    async def drop_oldest(self) -> int | None:
        """Give up the oldest segment that is not on its way; return how many lines were lost.

        The daemon's own lines in it, such as the report of what was dropped before, go on to the
        newest segment first. None where there is no such segment.
        """
        segment = self._next_waiting()
        if segment is None:
            return None
        self._held.add(segment.number)
        try:
            own = await self._in(self._preparing, lambda: list(own_lines(self._spool.read(segment))))
            for line in own:
                self._committer.add(Run(Entry(EntryKind.OWN, b"", 0, 1, len(line)), [line]))
            await self._committer.flush()
            lost = segment.rows - len(own)
            given_up = Settled(segment=segment.number, lost=lost, control=len(own))
            await self._until_written(lambda: self._spool.settle(given_up, self._clock.now_us()))
        except SpoolBroken as error:
            self.recurring.warn("the oldest segment cannot be dropped", error=str(error))
            return None
        finally:
            self._held.discard(segment.number)
            self._wake.set()
        return lost

    async def compress_waiting(self) -> None:
        """While the store is away, make the segments that wait for it smaller, one after the other."""
        while self.trouble and (segment := self._first_uncompressed()) is not None:
            self._held.add(segment.number)
            try:
                await self._in(self._preparing, partial(self._spool.compress, segment))
            except SpoolBroken as error:
                self.recurring.warn("a waiting segment cannot be compressed", error=str(error))
                segment.compressed = True  # it stays as it is
            finally:
                self._held.discard(segment.number)
                self._wake.set()

    def _first_uncompressed(self) -> Segment | None:
        for number, segment in list(self._spool.segments.items()):
            if number not in self._tasks and number not in self._held and not segment.compressed:
                return segment
        return None

    async def idle(self) -> None:
        """Return when no sealed segment is left."""
        while self._spool.segments:
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
            self._held.add(number)  # else it would be taken up again at once, and fail again
            log.error("a segment stays in the spool until the next start", segment=number, exc_info=error)

    async def _ship(self, segment: Segment, before: asyncio.Task[None] | None) -> None:
        self._admission.shipping += segment.line_bytes
        try:
            batch = await self._prepared(segment)
            await self._leave_out_repeats(batch)
            await self._upload_objects(batch)
            await self._deliver_rows(batch)
            self._metrics.landed(batch.started_us, self._clock.now_us())
            await self._deliver_losses(batch)
            if batch.rows or batch.losses:
                self._works()
            # In order, because a begun call and its record may lie in neighbouring segments.
            if before is not None:
                await asyncio.wait([before])
            await self._settle(batch)
        finally:
            self._admission.shipping -= segment.line_bytes

    async def _prepared(self, segment: Segment) -> Batch:
        def prepare() -> Batch:
            return self._preparer.prepare(segment, self._spool.read)

        return await self._patiently(self._preparing, prepare)

    async def _leave_out_repeats(self, batch: Batch) -> None:
        """Take out the lines that a forgotten life of their session has stored already."""
        if not batch.repeats:
            return
        times = [at for _, at in batch.repeats.values()]
        asked = [call for call, _ in batch.repeats.values()]
        present = await self._patiently(
            self._storing, lambda: self._store.ids_present(asked, min(times) - DAY_US, max(times) + DAY_US)
        )
        own = await self._landed(TRACES, batch)  # they may be present because of this very segment
        gone = {row for row, (call, _) in batch.repeats.items() if call in present and row not in own}
        self._leave_out(batch, gone)
        batch.control += len(gone)

    async def _upload_objects(self, batch: Batch) -> None:
        """No row may be inserted before what it points at is stored; wait for that as for the store."""
        while self._upload is not None and not batch.uploads.done:
            try:
                if await self._upload(batch.uploads, batch.segment.batch, batch.rows):
                    batch.blocks = None  # rows were given other names than they were encoded with
            except StoreBusy as error:
                await self._wait(error)

    async def _deliver_rows(self, batch: Batch) -> None:
        known = self._spool.state.snapshot.condemned.get(batch.segment.number, {})
        for row, (reason, detail) in known.items():
            await self._bury(batch, row, reason, detail)
        delivery = Delivery(batch.segment.batch, batch.rows, uncertain=batch.segment.recovered)

        async def blocks(rows: list[int]) -> Sequence[bytes | bytearray]:
            if batch.blocks is not None and rows == batch.rows:
                return batch.blocks
            return await self._patiently(self._preparing, partial(self._encoded_again, batch, rows))

        await self._deliver(delivery, TRACES, COLUMNS, blocks, batch)
        if delivery.found:  # a view behind the table may have failed after the table's commit
            await self._patiently(
                self._storing,
                lambda: self._rollup.doubt_batch(batch.segment.batch, batch.from_us, batch.to_us),
            )

    def _encoded_again(self, batch: Batch, rows: list[int]) -> Sequence[bytes | bytearray]:
        groups = self._spool.read(batch.segment)
        return self._preparer.encode_some(groups, batch, rows).blocks

    async def _deliver_losses(self, batch: Batch) -> None:
        delivery = Delivery(batch.segment.batch, range(len(batch.losses)), uncertain=batch.segment.recovered)

        async def blocks(rows: list[int]) -> Sequence[bytes | bytearray]:
            chosen = [batch.losses[row] for row in rows]
            encode = partial(self._store.encode, LOSSES, LOSS_COLUMNS, chosen)
            return [await self._patiently(self._storing, encode)]

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
                    del body
                    began = self._clock.monotonic()
                    if not await self._attempt(delivery, insert):
                        batch.blocks = None  # waiting costs no memory: the spool has the lines
                    elif table == TRACES:
                        self._metrics.inserted(self._clock.monotonic() - began, len(step.rows), size)

    async def _attempt(self, delivery: Delivery, insert: Callable[[], None]) -> bool:
        try:
            await self._in(self._storing, insert)
        except StoreBusy as error:
            delivery.busy(error)
            await self._wait(error)
            return False
        except BatchRejected as error:
            self.retries["rejected"] += 1
            delivery.rejected(error)
            return False
        delivery.inserted()
        self._works()
        return True

    async def _landed(self, table: str, batch: Batch) -> set[int]:
        segment = batch.segment
        return await self._patiently(
            self._storing,
            lambda: self._store.landed_rows(table, segment.batch, batch.from_us, batch.to_us),
        )

    async def _condemn(self, step: Condemn, table: str, batch: Batch) -> None:
        if table != TRACES:  # a loss is ours: it has no sender's bytes to keep
            self.recurring.error("the store refuses a row of the losses", code=step.code, error=step.message)
            return
        reason, detail = "refused_by_store", f"{step.code}: {step.message[:500]}"
        row = Condemned(batch.segment.number, step.row, reason, detail)
        await self._until_written(lambda: self._spool.condemn(row, self._clock.now_us()))
        await self._bury(batch, step.row, reason, detail)

    async def _bury(self, batch: Batch, row: int, reason: str, detail: str) -> None:
        def letter() -> DeadLetter:
            return condemned(batch, self._spool.read(batch.segment), row, reason, detail)

        if row in batch.rows:
            batch.letters[row] = await self._patiently(self._preparing, letter)
            self._leave_out(batch, {row})

    def _leave_out(self, batch: Batch, rows: set[int]) -> None:
        if rows:
            batch.rows = [row for row in batch.rows if row not in rows]
            batch.blocks = None

    async def _settle(self, batch: Batch) -> None:
        await self._delete_replaced(batch)
        await self._write_letters(batch)
        await self._until_written(lambda: self._write_off(batch))
        if batch.lost:
            self.recurring.error("lines were lost with a damaged part of the spool", times=batch.lost)
        self._metrics.settled(batch.losses, [letter.reason for letter in batch.letters.values()])
        for line in batch.refused:
            self._on_refused(line)
        self._on_settled()

    def _write_off(self, batch: Batch) -> None:
        """On the writer's thread, which alone may look at begun calls while they change."""
        snap = self._spool.state.snapshot
        settled = Settled(
            segment=batch.segment.number,
            stored=len(batch.rows),
            dead=len(batch.letters),
            lost=batch.lost,
            control=batch.control,
            opened=batch.opened,
            closed=[call for call in (*snap.begun, *snap.abandoned) if call in batch.ids],
            ended=batch.ended,
        )
        self._spool.settle(settled, self._clock.now_us())

    def _replaced(self, batch: Batch) -> list[str]:
        given_up = self._spool.state.snapshot.abandoned
        late = [call for call in given_up if call in batch.ids]
        return late + [call for call in batch.abandoned if call not in given_up]

    async def _delete_replaced(self, batch: Batch) -> None:
        """Delete the abandoned rows of calls whose record has come, whichever came first."""
        replaced = await self._committer.on_writer(self._replaced, batch)
        if replaced:
            await self._patiently(self._storing, lambda: self._rollup.doubt_abandoned(replaced))
            await self._patiently(self._storing, lambda: self._store.delete_abandoned(replaced))

    async def _write_letters(self, batch: Batch) -> None:
        if not batch.letters:
            return
        letters = [batch.letters[row] for row in sorted(batch.letters)]
        reasons = sorted({letter.reason for letter in letters})
        self.recurring.warn("lines became dead letters", times=len(letters), reasons=reasons)

        def write() -> None:
            try:
                dead_letters.write(Path(self._config.spool_dir), batch.segment.batch, letters)
            except OSError as error:
                raise SpoolBroken(f"dead letters: {error.strerror or error}") from error

        await self._patiently(self._preparing, write)

    async def _until_written(self, action: Callable[[], None]) -> None:
        """Change the spool, giving up its reserve if that is what it takes."""
        backoff = Backoff(first=0.1, cap=5.0)
        while True:
            try:
                await self._committer.on_writer(action)
            except SpoolBroken as error:
                self.recurring.warn("a finished segment cannot be written off yet", error=str(error))
                await self._committer.on_writer(self._spool.give_up_reserve)
                await asyncio.sleep(backoff.failed())
            else:
                return

    async def _patiently(self, pool: ThreadPoolExecutor, action: Callable[[], T]) -> T:
        """Run a harmless action in a thread, again and again until it works."""
        while True:
            try:
                result = await self._in(pool, action)
            except (StoreBusy, SpoolBroken) as error:
                await self._wait(error)
            except BatchRejected as error:  # a query that no server ought to refuse
                await self._wait(StoreBusy("other", str(error)))
            else:
                return result

    async def _in(self, pool: ThreadPoolExecutor, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, action)

    async def _wait(self, error: StoreBusy | SpoolBroken) -> None:
        kind = error.kind if isinstance(error, StoreBusy) else "spool"
        self.retries[kind] += 1
        self.trouble = f"{kind}: {error}"
        delay = self._backoff.failed()
        waiting = len(self._spool.segments)
        self.recurring.warn("not stored yet, trying again", kind=kind, error=str(error), segments=waiting)
        await asyncio.sleep(delay)

    def _works(self) -> None:
        """The store took rows. That it answers a question is no sign of it: a full one does so too."""
        if self.trouble:
            self.recurring.info("the store takes batches again")
        self.trouble = ""
        self._backoff.succeeded()
