"""What becomes of a segment when its store refuses it, when it is given up, and when we fail."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.delivery import late_records
from llmledgerd.delivery.eviction import Evicted, Evictor
from llmledgerd.delivery.options import Runtime, ShipperOptions
from llmledgerd.delivery.preparer import Preparer, PreparerOptions
from llmledgerd.delivery.row_blocks import Encode
from llmledgerd.delivery.shipper import Shipper
from llmledgerd.errors import StoreBusy
from llmledgerd.flow_control import Admission
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.repeats import Call, name_of
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import LOSSES
from llmledgerd.records.twice_told import Told
from llmledgerd.spool import (
    ONLY_STORE,
    Entry,
    EntryKind,
    Files,
    Group,
    Progress,
    ReadGroup,
    Segment,
    Spool,
    dead_letters,
)
from llmledgerd.spool.committer import Committer
from llmledgerd.stores.base import Buffer
from llmledgerd.stores.receipt_window import StoreClock
from llmledgerd.system.watchdog import Watchdog
from llmledgerd.telemetry.metrics import Metrics
from tests.helpers.exchanges import line

LIMIT_SECONDS = 20.0


class SlowStore:
    """Takes a batch when it is allowed to, and finds nothing when it is asked."""

    def __init__(self) -> None:
        self.begun, self.allowed = threading.Event(), threading.Event()

    def encode(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
        return b"block"

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        self.begun.set()
        assert self.allowed.wait(LIMIT_SECONDS)
        return set()

    def clock(self) -> StoreClock:
        return StoreClock(time.time_ns() // 1000)

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        return set()

    def calls_present(self, calls: Collection[Call], from_us: int, to_us: int, *, besides: str) -> set[Call]:
        return set()

    def calls_abandoned(self, calls: Collection[Call], from_us: int, to_us: int) -> set[Call]:
        return set()

    def records_of(self, spans: Collection[Told], *, besides: str) -> list[Told]:
        return []

    def delete_abandoned(self, calls: Sequence[Call]) -> None: ...

    def doubt_batch(self, batch_id: str, from_us: int, to_us: int) -> None: ...

    def doubt_abandoned(self, ids: Sequence[str]) -> None: ...


class Setup:
    """A shipper over a spool with so many sealed segments, of one line each if nothing else is said."""

    def __init__(
        self,
        folder: Path,
        store: SlowStore,
        *,
        segments: int,
        lines: int = 1,
        bodies: Sequence[bytes] = (),
        repeats: bool = False,
        encode: Encode = lambda rows: b"block",
        **settings: object,
    ) -> None:
        """Without a segment it goes on with what the folder has."""
        config = Config(spool_dir=str(folder), **settings)  # type: ignore[arg-type]  # Config checks nothing here
        clock, admission = Clock(), Admission(1 << 20)
        self.spool = Spool(Files(folder))
        self.builder = RowBuilder(Pricer())
        if not segments:
            self.spool.recover()
        for number in range(segments):
            body = (
                bodies[number]
                if bodies
                else b"".join(line(f"call-{number + one}", number) for one in range(lines))
            )
            entry = Entry(EntryKind.LINES, b"", 0, lines, len(body), repeats=repeats)
            self.spool.append(Group(clock.now_us(), 0, [entry]), [body], clock.now_us())
            self.spool.seal(clock.now_us())
        self.committer = Committer(self.spool, config, admission, clock)
        self.evictor = Evictor(self.spool, self.committer, clock)
        runtime = Runtime(
            spool=self.spool,
            committer=self.committer,
            config=config,
            admission=admission,
            clock=clock,
            watchdog=Watchdog(),
        )
        options = ShipperOptions(
            name=ONLY_STORE,
            store=store,
            rollup=store,
            preparer=Preparer(self.builder, encode, dict, PreparerOptions(host="here")),
            metrics=Metrics({}).store(ONLY_STORE),
            held=self.evictor.held,
            on_refused=lambda _: None,
            on_settled=lambda: None,
        )
        self.shipper = Shipper(runtime, options)
        self.evictor.connect([self.shipper])

    @property
    def progress(self) -> Progress:
        return self.spool.state.snapshot.stores[ONLY_STORE]

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.shipper.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        self.shipper.close()
        self.evictor.close()
        self.committer.close()
        self.spool.close()


class FullStore(SlowStore):
    """Answers questions, and refuses the first inserts."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals
        self.trouble: Callable[[], str] = str
        self.seen: list[str] = []
        """What was known of it at each insert."""

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        self.seen.append(self.trouble())
        if len(self.seen) <= self.refusals:
            raise StoreBusy("too_many_parts", "merges are behind")
        return set()


async def test_a_store_that_answers_questions_is_not_taken_for_one_that_takes_rows(tmp_path: Path) -> None:
    store = FullStore(refusals=4)
    setup = Setup(tmp_path, store, segments=1, retry_first_seconds=0.001)
    store.trouble = lambda: setup.shipper.retry_loop.trouble
    async with asyncio.timeout(LIMIT_SECONDS), setup:
        await setup.shipper.idle()
    assert store.seen == ["", *["too_many_parts: merges are behind"] * 4]
    assert setup.shipper.retry_loop.trouble == ""
    assert setup.shipper.retry_loop.retries == {"too_many_parts": 4}
    assert setup.progress.stored == 1


class Block(bytearray):
    """A block of which one can tell whether it is still in memory."""


class CyclicStore(FullStore):
    """Refuses as drivers do: the error is a variable of the call that raises it, and the cause of another."""

    def __init__(self) -> None:
        super().__init__(refusals=3)
        self.given: list[weakref.ref[Buffer]] = []
        self.left: list[int] = []
        """How many blocks of earlier attempts were in memory at each insert."""

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        self.left.append(sum(block() is not None for block in self.given))
        self.given += map(weakref.ref, blocks)
        try:
            self._send(blocks)
        except OSError as error:
            found = StoreBusy("network", str(error))
            raise found from error
        return set()

    def _send(self, blocks: Sequence[Buffer]) -> None:
        if len(self.left) <= self.refusals:
            failed = OSError("cut")
            raise failed


async def test_no_block_of_a_refused_insert_stays_in_memory_until_the_next_garbage_collection(
    tmp_path: Path,
) -> None:
    store = CyclicStore()
    setup = Setup(tmp_path, store, segments=1, encode=lambda rows: Block(b"block"), retry_first_seconds=0.001)
    gc.disable()
    try:
        async with asyncio.timeout(LIMIT_SECONDS), setup:
            await setup.shipper.idle()
    finally:
        gc.enable()
    assert store.left == [0, 0, 0, 0]
    assert setup.progress.stored == 1


async def test_a_segment_that_meets_a_fault_is_said_and_tried_again_while_others_go_on(
    tmp_path: Path,
) -> None:
    store = SlowStore()
    setup = Setup(tmp_path, store, segments=2, retry_first_seconds=0.001, retry_cap_seconds=0.01)
    tried: list[int] = []
    store.allowed.set()
    is_mended = False

    def read(segment: Segment) -> Iterator[ReadGroup]:
        tried.append(segment.number)
        if segment.number == 1 and not is_mended:
            raise ZeroDivisionError("a payload's words")
        return Spool.read(setup.spool, segment)

    setup.spool.read = read  # type: ignore[method-assign]  # a fault that no input is known to cause
    async with asyncio.timeout(LIMIT_SECONDS), setup:
        while 2 in setup.spool.segments or tried.count(1) < 3:
            await asyncio.sleep(0)
        said = setup.shipper.faults.summary
        assert "segment 1" in said
        assert "ZeroDivisionError in delivery/test_shipper.py" in said
        assert "words" not in said
        assert setup.shipper.retry_loop.retries["internal_error"] >= 2
        is_mended = True
        await setup.shipper.idle()
    assert setup.shipper.faults.summary == ""
    assert (setup.progress.stored, setup.progress.dead) == (2, 0)


class ForgetfulStore(SlowStore):
    """Stores what it is given and then raises what nobody foresaw; it knows what it has."""

    def __init__(self) -> None:
        super().__init__()
        self.inserts: list[str] = []

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        self.inserts.append(table)
        raise KeyError("of the driver's")

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        return {0} if self.inserts else set()


async def test_a_store_that_raises_is_asked_before_it_is_given_the_rows_again(tmp_path: Path) -> None:
    store = ForgetfulStore()
    setup = Setup(tmp_path, store, segments=1, retry_first_seconds=0.001)
    async with asyncio.timeout(LIMIT_SECONDS), setup:
        await setup.shipper.idle()
    assert store.inserts == ["llm_traces"]
    assert setup.progress.stored == 1


async def test_a_line_that_raises_stays_a_dead_letter_after_a_restart_that_would_not_fail(
    tmp_path: Path,
) -> None:
    store = SlowStore()
    setup = Setup(tmp_path, store, segments=1, lines=2)
    build = setup.builder.steps

    def steps(record: Any, **given: Any) -> Any:
        if record.provider_trace_id == "call-0":
            raise ZeroDivisionError("a payload's words")
        return build(record, **given)

    setup.builder.steps = steps  # type: ignore[method-assign]  # a fault that no input is known to cause
    async with asyncio.timeout(LIMIT_SECONDS), setup:
        assert await asyncio.to_thread(store.begun.wait, LIMIT_SECONDS)
        assert "1 lines since the start became dead letters" in setup.shipper.faults.summary
        assert "words" not in setup.shipper.faults.summary
    store.allowed.set()

    again = Setup(tmp_path, store, segments=0)
    async with asyncio.timeout(LIMIT_SECONDS), again:
        await again.shipper.idle()
    assert (again.progress.stored, again.progress.dead) == (1, 1)
    (letter,) = dead_letters.read(tmp_path)
    assert (letter.reason, letter.store) == ("internal_error", ONLY_STORE)
    assert "ZeroDivisionError" in letter.detail
    assert "words" not in letter.detail
    assert dead_letters.line_of(letter) == line("call-0", 0)[:-1]


async def test_the_segment_next_in_turn_is_dropped_while_all_slots_are_taken(tmp_path: Path) -> None:
    store = SlowStore()
    setup = Setup(tmp_path, store, segments=3, inserts_in_flight=1)
    async with asyncio.timeout(LIMIT_SECONDS), setup:
        assert await asyncio.to_thread(store.begun.wait, LIMIT_SECONDS)
        assert await setup.evictor.drop_oldest(the_only_copy=True) == Evicted(1, [ONLY_STORE])
        store.allowed.set()
        await setup.shipper.idle()
    assert (setup.progress.stored, setup.progress.lost) == (2, 1)


class AskedStore(SlowStore):
    """Has what was inserted, and remembers when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: Callable[[], int] = int
        self.asked: list[int] = []
        """How many rows were settled at each question."""
        self.besides: list[str] = []
        self.inserts = 0

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        done = super().insert_blocks(table, columns, blocks, token)
        self.inserts += 1
        return done

    def calls_present(self, calls: Collection[Call], from_us: int, to_us: int, *, besides: str) -> set[Call]:
        self.asked.append(self.stored())
        self.besides.append(besides)
        return set(calls) if self.inserts else set()


async def test_a_segment_with_repeats_is_asked_about_when_those_before_it_are_settled(tmp_path: Path) -> None:
    store = AskedStore()
    same = [line("call", 1)] * 3
    setup = Setup(tmp_path, store, segments=3, bodies=same, repeats=True, inserts_in_flight=3)
    store.stored = lambda: setup.progress.stored
    batches = [segment.batch for segment in setup.spool.segments.values()]
    async with asyncio.timeout(LIMIT_SECONDS), setup:
        assert await asyncio.to_thread(store.begun.wait, LIMIT_SECONDS)
        while setup.shipper.in_flight < len(same):
            await asyncio.sleep(0)
        store.allowed.set()
        await setup.shipper.idle()
    assert store.asked == [0, 1, 1]
    assert store.besides == batches
    assert (setup.progress.stored, setup.progress.control) == (1, 2)


class Flaky(AskedStore):
    """Does not answer its second question at first."""

    def calls_present(self, calls: Collection[Call], from_us: int, to_us: int, *, besides: str) -> set[Call]:
        present = super().calls_present(calls, from_us, to_us, besides=besides)
        if len(self.asked) == 2:
            raise StoreBusy("timeout", "no answer")
        return present


async def test_a_segment_of_repeats_alone_leaves_no_trouble_behind_it(tmp_path: Path) -> None:
    store = Flaky()
    store.allowed.set()
    setup = Setup(
        tmp_path, store, segments=2, bodies=[line("call", 1)] * 2, repeats=True, retry_first_seconds=0.001
    )
    async with asyncio.timeout(LIMIT_SECONDS), setup:
        await setup.shipper.idle()
        while setup.shipper.in_flight:
            await asyncio.sleep(0)
    assert setup.shipper.retry_loop.retries == {"timeout": 1}
    assert setup.shipper.retry_loop.trouble == ""


class Inserts(SlowStore):
    """Remembers what was waiting at each insert."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Callable[[], int] = int
        self.seen: list[tuple[str, int]] = []

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        self.seen.append((table, self.waiting()))
        return set()


async def test_the_losses_of_a_segment_are_stored_before_it_is_written_off(tmp_path: Path) -> None:
    store = Inserts()
    report = b'{"protocol_version":4,"dropped":{"buffer_full":3}}\n'
    setup = Setup(tmp_path, store, segments=1, bodies=[report])
    store.waiting = lambda: len(setup.spool.segments)
    async with asyncio.timeout(LIMIT_SECONDS), setup:
        await setup.shipper.idle()
    assert store.seen == [(LOSSES, 1)]


class Deleting(SlowStore):
    """Remembers which abandoned rows each deletion names."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed.set()
        self.deletions: list[list[Call]] = []
        self.failures = 0

    def delete_abandoned(self, calls: Sequence[Call]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreBusy("network", "away")
        self.deletions.append(list(calls))


async def test_rows_of_many_late_records_go_in_two_deletions_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Deleting()
    setup = Setup(tmp_path, store, segments=6)
    calls = [("org-1", f"call-{number}") for number in range(5)] + [("", "call-5")]  # which named none
    for call in calls:
        setup.spool.state.snapshot.abandoned[name_of(call)] = 1
    async with asyncio.timeout(LIMIT_SECONDS), setup:
        await setup.shipper.idle()
        await setup.shipper.delete_replaced()
    assert store.deletions == [calls[:1]]
    assert setup.progress.replaced == calls[1:]

    monkeypatch.setattr(late_records, "SECONDS", 0.0)
    again, store.failures = Setup(tmp_path, store, segments=0, retry_first_seconds=0.001), 2
    async with asyncio.timeout(LIMIT_SECONDS), again:
        await again.shipper.delete_replaced()
        await again.shipper.delete_replaced()
    assert store.deletions == [calls[:1], calls[1:]]
    assert again.shipper.retry_loop.retries == {"network": 2}
    assert again.shipper.retry_loop.trouble == ""
