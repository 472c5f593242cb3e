"""Lines are called durable after their sync, in order, once; a failing disk only delays them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.errors import SpoolBroken
from llmledgerd.flow_control import Admission
from llmledgerd.spool import ONLY_STORE, Entry, EntryKind, Files, Segment, SessionState, Spool
from llmledgerd.spool.committer import MOST_HELLOS, PADDED, CommitHooks, Committer, Run, merged, seal_in
from llmledgerd.spool.files import FileSystem
from tests.helpers.crashing_files import CrashingFiles

SESSION = b"\x01" * 16
SECOND_US = 1_000_000


class StoppedClock(Clock):
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.us = 1_700_000_000_000_000

    def now_us(self) -> int:
        return self.us


class Setup:
    """A committer over a spool, and what it called back."""

    def __init__(self, files: FileSystem, config: Config) -> None:
        self.spool = Spool(files)
        self.spool.recover()
        self.clock = StoppedClock()
        self.admission = Admission(1 << 20)
        self.durable: list[Entry] = []
        self.sealed = 0
        self.in_spool: list[int] = []
        """How many lines the spool had, at each time that some were called durable."""
        self.changed = asyncio.Event()
        self.committer = Committer(
            self.spool,
            config,
            self.admission,
            self.clock,
        )
        self.committer.connect(CommitHooks(on_durable=self._on_durable, on_sealed=self._on_sealed))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def add(self, first: int, lines: int, *, session: bytes = SESSION) -> None:
        pieces: list[bytes | bytearray] = [b'{"line":%d}\n' % (first + index) for index in range(lines)]
        size = sum(map(len, pieces))
        self.committer.add(Run(Entry(EntryKind.LINES, session, first, lines, size), pieces))

    def _on_durable(self, entries: list[Entry]) -> None:
        self.durable += entries
        self.in_spool.append(self.spool.waiting(ONLY_STORE))
        self.changed.set()

    def _on_sealed(self) -> None:
        self.sealed += 1
        self.changed.set()


@asynccontextmanager
async def running(files: FileSystem, **settings: object) -> AsyncIterator[Setup]:
    config = Config(**{"group_interval_ms": 0.0, "batch_max_age_seconds": 3600.0, **settings})  # type: ignore[arg-type]  # Config checks nothing here
    setup = Setup(files, config)
    task = asyncio.create_task(setup.committer.run())
    try:
        yield setup
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        setup.committer.close()
        setup.spool.close()


async def test_lines_are_called_durable_in_order_after_they_are_in_the_spool(tmp_path: Path) -> None:
    async with running(Files(tmp_path)) as setup:
        for first in range(1, 50, 3):
            setup.add(first, 3)
        await setup.committer.flush()
        assert [entry.first for entry in setup.durable] == list(range(1, 50, 3))
        assert setup.in_spool[-1] == 51
        assert setup.admission.pending == 0
    again = Spool(Files(tmp_path))
    assert again.recover() == []
    assert again.state.snapshot.sessions[SESSION].durable == 51


async def test_what_arrives_together_is_one_group(tmp_path: Path) -> None:
    async with running(Files(tmp_path)) as setup:
        for _ in range(100):
            setup.add(0, 1, session=b"")
        await setup.committer.flush()
        assert len(setup.in_spool) == 1
        assert setup.spool.open is not None
        (group,) = setup.spool.read(setup.spool.open)
        assert [entry.lines for entry in group.group.entries] == [100]


async def test_a_full_segment_is_sealed(tmp_path: Path) -> None:
    async with running(Files(tmp_path), batch_max_rows=10) as setup:
        for first in range(1, 37, 4):
            setup.add(first, 4)
        await setup.committer.flush()
        await setup.until(lambda: setup.sealed == 4)
        # A run is not split between segments, and none passes its limit for that.
        assert [segment.rows for segment in setup.spool.segments.values()] == [8, 8, 8, 8]
        assert setup.spool.waiting(ONLY_STORE) == 36


async def test_a_segment_is_sealed_when_it_is_old_enough(tmp_path: Path) -> None:
    async with running(Files(tmp_path), batch_max_age_seconds=0.01) as setup:
        setup.add(1, 1)
        await setup.committer.flush()
        assert setup.sealed == 0
        setup.clock.us += SECOND_US
        await setup.until(lambda: setup.sealed == 1)
        assert len(setup.spool.segments) == 1


async def test_a_hello_alone_is_written_down(tmp_path: Path) -> None:
    async with running(Files(tmp_path)) as setup:
        setup.committer.hello(SESSION, SessionState(4, setup.clock.us, "service"))
        await setup.until(lambda: bool(setup.in_spool))
    again = Spool(Files(tmp_path))
    again.recover()
    assert again.state.snapshot.sessions[SESSION].durable == 4


async def test_a_failing_disk_delays_lines_and_loses_none() -> None:
    files = CrashingFiles(Random(1))
    async with running(files) as setup:
        setup.add(1, 2)
        await setup.committer.flush()
        for operation in ("write", "sync"):
            files.fail(operation)
        setup.add(3, 2)
        await setup.until(lambda: bool(setup.committer.broken))
        assert [entry.first for entry in setup.durable] == [1]
        await setup.committer.flush()
        assert [entry.first for entry in setup.durable] == [1, 3]
        assert setup.committer.broken == ""
        assert setup.sealed > 0, "the segment that failed can be shipped"
    files.power_fails()
    again = Spool(files)
    again.recover()
    lines = b"".join(bytes(g.body or b"") for s in again.segments.values() for g in again.read(s))
    assert lines == b'{"line":1}\n{"line":2}\n{"line":3}\n{"line":4}\n'


async def test_a_seal_that_fails_is_tried_again_and_then_all_is_well() -> None:
    files = CrashingFiles(Random(1))
    async with running(files) as setup:
        setup.add(1, 1)
        await setup.committer.flush()
        for _ in range(2):  # once more with the reserve
            files.fail("create")
        await setup.committer.seal_if_due(now=True)
        assert setup.committer.broken
        setup.clock.us += 7200 * SECOND_US
        await setup.until(lambda: setup.sealed == 1)
        assert setup.committer.broken == ""


async def test_a_seal_is_made_with_the_reserve_where_the_disk_is_full() -> None:
    files = CrashingFiles(Random(1))
    async with running(files, batch_max_age_seconds=0.01) as setup:
        setup.spool.reserve()
        setup.add(1, 1)
        await setup.committer.flush()
        files.capacity = sum(map(len, files.image().values()))
        setup.clock.us += SECOND_US
        await setup.until(lambda: setup.sealed == 1)
        assert setup.committer.broken == ""
        assert len(files.image()["reserve"]) > 0, "what is left of it is taken back"


async def test_hellos_wait_for_the_disk_and_not_in_memory() -> None:
    files = CrashingFiles(Random(1))
    async with running(files) as setup:
        files.read_only = True
        for number in range(MOST_HELLOS + 1):
            setup.committer.hello(number.to_bytes(16), SessionState(0, 1))
        await setup.until(lambda: bool(setup.committer.broken))
        for number in range(MOST_HELLOS):
            setup.committer.hello(number.to_bytes(16), SessionState(0, 1))
        waiting = asyncio.create_task(setup.committer.until_hello_fits())
        await asyncio.sleep(0)
        assert not waiting.done()
        files.heal()
        async with asyncio.timeout(10):
            await waiting


async def test_what_changes_the_spool_may_raise_to_its_caller(tmp_path: Path) -> None:
    def broken() -> None:
        raise SpoolBroken("no setup")

    async with running(Files(tmp_path)) as setup:
        with pytest.raises(SpoolBroken, match="no setup"):
            await setup.committer.on_writer(broken)


def segment(rows: int, line_bytes: int, first_us: int) -> Segment:
    return Segment(number=1, batch="", rows=rows, line_bytes=line_bytes, first_us=first_us)


def test_a_segment_is_due_by_rows_bytes_or_age() -> None:
    config = Config(batch_max_rows=10, batch_max_bytes=100, batch_max_age_seconds=2.0)
    assert seal_in(segment(9, 99, 0), config, SECOND_US) == 1.0
    assert seal_in(segment(10, 1, 0), config, 0) <= 0
    assert seal_in(segment(1, 100, 0), config, 0) <= 0
    assert seal_in(segment(1, 1, 0), config, 2 * SECOND_US) <= 0
    padded = segment(1, 1, 0)
    padded.header_bytes, padded.size = 1000, 1000 + PADDED * 100
    assert seal_in(padded, config, 0) <= 0, "of what is no line there may be no end"


def test_a_clock_that_was_set_back_does_not_keep_a_segment_open() -> None:
    config = Config(batch_max_age_seconds=2.0)
    assert seal_in(segment(1, 1, 3600 * SECOND_US), config, 0) <= 0


def test_neighbors_of_one_sender_are_joined() -> None:
    one_way = [Entry(EntryKind.LINES, b"", 0, 1, 10) for _ in range(3)]
    assert merged(one_way) == [Entry(EntryKind.LINES, b"", 0, 3, 30)]
    runs = [Entry(EntryKind.LINES, SESSION, 1, 2, 10), Entry(EntryKind.LINES, SESSION, 3, 1, 5)]
    assert merged(runs) == [Entry(EntryKind.LINES, SESSION, 1, 3, 15)]
    assert runs[0].lines == 2, "what was given is not changed"


@pytest.mark.parametrize(
    "other",
    [
        Entry(EntryKind.LINES, SESSION, 4, 1, 5),
        Entry(EntryKind.LINES, b"", 0, 1, 5),
        Entry(EntryKind.OWN, SESSION, 3, 1, 5),
        Entry(EntryKind.OVERSIZE, SESSION, 3, 1, 5, 999),
        Entry(EntryKind.LINES, SESSION, 3, 1, 5, 0, True),
    ],
)
def test_runs_that_differ_in_sender_place_or_kind_stay_apart(other: Entry) -> None:
    first = Entry(EntryKind.LINES, SESSION, 1, 2, 10)
    assert merged([first, other]) == [first, other]


def test_oversize_lines_are_never_joined() -> None:
    lines = [Entry(EntryKind.OVERSIZE, b"", 0, 1, 10, size) for size in (100, 200)]
    assert merged(lines) == lines
