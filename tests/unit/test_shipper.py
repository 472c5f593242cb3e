"""A segment that is given up is not shipped as well, however the two meet."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

from llmtraced.admission import Admission
from llmtraced.batch import Preparer
from llmtraced.clock import Clock
from llmtraced.committer import Committer
from llmtraced.config import Config
from llmtraced.cost import Pricer
from llmtraced.metrics import Metrics
from llmtraced.rows import RowBuilder
from llmtraced.shipper import Shipper
from llmtraced.spool import Entry, EntryKind, Files, Group, Spool
from tests.helpers.exchanges import line

LIMIT_SECONDS = 20.0


class SlowStore:
    """Takes a batch when it is allowed to, and finds nothing when it is asked."""

    def __init__(self) -> None:
        self.begun, self.allowed = threading.Event(), threading.Event()

    def encode(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
        return b"block"

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[bytes | bytearray], token: str
    ) -> None:
        self.begun.set()
        assert self.allowed.wait(LIMIT_SECONDS)

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        return set()

    def ids_present(self, ids: Sequence[str], from_us: int, to_us: int) -> set[str]:
        return set()

    def delete_abandoned(self, ids: Sequence[str]) -> None: ...

    def doubt_batch(self, batch_id: str, from_us: int, to_us: int) -> None: ...

    def doubt_abandoned(self, ids: Sequence[str]) -> None: ...


async def test_the_segment_next_in_turn_is_dropped_while_all_slots_are_taken(tmp_path: Path) -> None:
    config = Config(spool_dir=str(tmp_path), inserts_in_flight=1)
    spool, store, clock, admission = Spool(Files(tmp_path)), SlowStore(), Clock(), Admission(1 << 20)
    for number in range(3):
        body = line(f"call-{number}", number)
        entry = Entry(EntryKind.LINES, b"", 0, 1, len(body))
        spool.append(Group(clock.now_us(), 0, [entry]), [body], clock.now_us())
        spool.seal(clock.now_us())
    committer = Committer(spool, config, admission, clock, on_durable=lambda _: None, on_sealed=lambda: None)
    preparer = Preparer(RowBuilder(Pricer()), lambda rows: b"block", dict, "here")
    shipper = Shipper(
        spool,
        committer,
        store,
        store,
        preparer,
        config,
        admission,
        clock,
        on_refused=lambda _: None,
        on_settled=lambda: None,
        metrics=Metrics({}).store("clickhouse"),
    )
    running = asyncio.create_task(shipper.run())
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await asyncio.to_thread(store.begun.wait, LIMIT_SECONDS)
        assert await shipper.drop_oldest() == 1
        store.allowed.set()
        await shipper.idle()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    shipper.close()
    committer.close()
    spool.close()
    assert (spool.state.snapshot.stored, spool.state.snapshot.lost) == (2, 1)
