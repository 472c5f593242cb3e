"""A daemon less its sockets and its store: listener, committer, spool, preparer, as they are.

Invariant, and what the fuzzer is for: every line that a sender wrote becomes exactly one row, one dead
letter or one control line, a session's in their order and without a hole, whatever the lines are and
however they were cut; and received = stored + dead letters + lost + in the spool.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec

from llmledger.protocol import Unsupported
from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.delivery.preparer import Preparer, PreparerOptions
from llmledgerd.flow_control import Admission
from llmledgerd.ingest.framing import HEAD_BYTES, NEWLINE
from llmledgerd.ingest.handshake import HELLO_BYTES, read_hello
from llmledgerd.ingest.server import Listener
from llmledgerd.json_text import is_json
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS, LOSS_COLUMNS
from llmledgerd.spool import Files, Segment, Settled, Spool
from llmledgerd.spool.committer import CommitHooks, Committer
from llmledgerd.telemetry.status import store_counters
from tests.fuzz.wire import InSession, OneWay
from tests.helpers import admin

LIMIT = 6000
"""``max_line_bytes``: some lines are longer."""

CONFIG = Config(
    max_line_bytes=LIMIT,
    max_inflight_bytes=64 << 10,
    batch_max_rows=200,
    batch_max_age_seconds=3600.0,
    group_interval_ms=0.0,
)

BUILDER = RowBuilder(Pricer())


Kept = dict[bytes, tuple[int, list[bytes]]]
"""By session: the first line's number, and the lines."""


class Scene:
    """One spool, and everything before the store."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(Files(folder), fsync=False)
        Files(folder).root.mkdir(exist_ok=True)
        self.spool.recover()
        self.clock = Clock()
        admission = Admission(CONFIG.max_inflight_bytes, pending_limit=16 << 10)
        self.committer = Committer(self.spool, CONFIG, admission, self.clock)
        self.admission = admission
        self.listener = Listener(self.spool, self.committer, CONFIG, admission, self.clock)
        self.committer.connect(CommitHooks(on_durable=self.listener.durable))
        self.preparer = Preparer(
            BUILDER, _encoded, lambda: self.spool.state.snapshot.sessions, PreparerOptions(host="fuzz")
        )

    async def play(self, senders: Sequence[OneWay | InSession], dice: Random) -> None:
        """Let every sender write to the end, in a random order."""
        left = list(senders)
        for step in itertools.count(1):
            if not left:
                break
            sender = dice.choice(left)
            sender.step()
            if sender.is_done:
                left.remove(sender)
            if step % 64 == 0:
                await self.committer.flush()
            await asyncio.sleep(0)
        await self.committer.flush()
        await asyncio.sleep(0)
        assert self.listener.connections == 0
        assert self.admission.total == 0, "whoever has left holds nothing"

    async def settle(self) -> tuple[Kept, Counter[str]]:
        """Prepare and write off every segment; return the lines by session, and what became of them."""
        await self.committer.seal_if_due(now=True)
        kept: Kept = {}
        became: Counter[str] = Counter()
        for segment in list(self.spool.segments.values()):
            if segment.rows:
                self._collect(segment, kept)
                became += self._settle(segment)
        (counted,) = store_counters(self.spool).values()
        assert counted["in_spool"] == 0
        admin.assert_identity(counted)
        return kept, became

    def _collect(self, segment: Segment, kept: Kept) -> None:
        for read in self.spool.read(segment):
            assert read.body is not None
            body, at = bytes(read.body).split(NEWLINE), 0
            for entry in read.group.entries:
                first, lines = kept.setdefault(entry.session, (entry.first, []))
                assert not entry.session or entry.first == first + len(lines), "a hole, or a line twice"
                lines += body[at : at + entry.lines]
                at += entry.lines

    def _settle(self, segment: Segment) -> Counter[str]:
        batch = self.preparer.prepare(segment, self.spool.read)
        assert set(batch.rows).isdisjoint(batch.letters)
        assert len(batch.rows) + len(batch.letters) + batch.control + batch.lost == segment.rows
        counts = [loss[LOSS_COLUMNS.index("count")] for loss in batch.losses]
        assert all(count is None or count in range(1 << 64) for count in counts), "fits no column"
        self.spool.settle(
            Settled(
                segment=segment.number,
                stored=len(batch.rows),
                dead=len(batch.letters),
                lost=batch.lost,
                control=batch.control,
                ended=batch.ended,
            ),
            self.clock.now_us(),
        )
        reasons = Counter(letter.reason for letter in batch.letters.values())
        return Counter({"rows": len(batch.rows), "control": batch.control, "lost": batch.lost}) + reasons


class Fate(msgspec.Struct):
    """What has to become of the stream of one connection."""

    session: bytes
    """Empty for a one-way sender."""
    lines: list[bytes]
    """As they are kept: of a line over the limit its head."""


def fate(stream: bytes) -> Fate:
    """Return what has to be found in the spool of a stream, by SPEC and not by the listener."""
    first, newline, _ = stream.partition(NEWLINE)
    *lines, rest = stream.split(NEWLINE)
    hello = read_hello(first + newline if len(first) <= LIMIT else first[:HEAD_BYTES].ljust(HELLO_BYTES + 1))
    if hello is None:
        last = [rest] if is_json(rest) and len(rest) <= LIMIT else []
        return Fate(b"", [head(line) for line in lines + last])
    if not newline or isinstance(hello, Unsupported):
        return Fate(b"", [])
    return Fate(uuid.UUID(hello.hello.session).bytes, [head(line) for line in lines[1:]])


def head(line: bytes) -> bytes:
    """Return what is kept of a line."""
    return line if len(line) <= LIMIT else line[:HEAD_BYTES]


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """A scene whose committer runs; what ends it too early is raised."""
    made = Scene(folder)
    task, player = asyncio.create_task(made.committer.run()), asyncio.current_task()
    assert player is not None
    task.add_done_callback(player.cancel)  # nothing would be durable any more
    try:
        yield made
    finally:
        task.remove_done_callback(player.cancel)
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        made.committer.close()
        made.spool.close()
        if isinstance(ended, Exception):
            raise ended


def _encoded(rows: Sequence[tuple[object, ...]]) -> bytes:
    assert all(len(row) == len(COLUMNS) for row in rows)
    return msgspec.msgpack.encode(rows)
