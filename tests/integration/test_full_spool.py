"""A spool that is full, and a store that is away: senders wait or the oldest goes, and all is counted."""

from __future__ import annotations

import base64
import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmledger import TraceClient
from llmledgerd.flow_control import PENDING_BYTES
from llmledgerd.spool.committer import GROUP_BYTES
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine, running_engine
from tests.helpers.exchanges import openai_chat
from tests.helpers.migrated_databases import copy_migrated
from tests.helpers.waiting import until

RECORD_BYTES = 20_000
SMALL = {
    "spool_max_bytes": 2 << 20,
    "batch_max_bytes": 256 << 10,
    "batch_max_age_seconds": 0.05,
    "orphan_grace_seconds": 3600,
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine of the test's own, which it kills, with the tables in it."""
    copy_migrated(tmp_path / "engine")
    with running_engine(tmp_path / "engine") as running:
        yield running


def status(daemon: RunningDaemon) -> dict[str, int]:
    return admin.status(daemon.folder / "admin.sock")


def fill(client: TraceClient, enough: Callable[[], bool], *, noise: bool = False) -> int:
    """Record until something has happened; return how many were taken.

    ``noise`` makes records that no compression makes much smaller.
    """
    dice, taken = random.Random(7), 0

    def some() -> bool:
        nonlocal taken
        for _ in range(20):
            fields = openai_chat(taken, size=100 if noise else RECORD_BYTES)
            if noise:
                fields["request"]["noise"] = base64.b85encode(dice.randbytes(RECORD_BYTES)).decode()
            taken += client.record(**fields)
        return enough()

    until(some)
    return taken


def test_senders_wait_for_a_full_spool_and_nothing_is_lost(engine: Engine, tmp_path: Path) -> None:
    with (
        contextlib.closing(Store(engine.url)) as store,
        RunningDaemon(tmp_path / "d", url=engine.url, settings=SMALL) as daemon,
    ):
        engine.kill()
        client = TraceClient(str(daemon.socket), buffer_max_bytes=4 << 20)
        # When the spool is full the kernel's buffer fills, and then the client's own.
        taken = fill(client, lambda: client.stats().lost.get("buffer_full", 0) > 0, noise=True)
        full = status(daemon)
        assert not full["ready"]
        code, why = admin.get(daemon.folder / "admin.sock", "/readyz")
        assert (code, "the spool is full" in why) == (503, True)
        assert full["spool_bytes"] < SMALL["spool_max_bytes"] + PENDING_BYTES + 2 * GROUP_BYTES
        engine.start()
        assert client.flush(60)
        until(lambda: status(daemon)["in_spool"] == 0)
        client.close()
        rows = store.query("SELECT count() AS n, uniqExact(id) AS ids FROM llm_traces")[0]
        assert rows == {"n": taken, "ids": taken}
        lost = client.stats().lost["buffer_full"]
        until(lambda: store.query("SELECT sum(count) AS n FROM llm_trace_losses")[0]["n"] == lost)


@pytest.mark.chaos
def test_by_choice_the_oldest_is_dropped_and_counted(engine: Engine, tmp_path: Path) -> None:
    settings = {**SMALL, "on_full": "drop_oldest"}
    with (
        contextlib.closing(Store(engine.url)) as store,
        RunningDaemon(tmp_path / "d", url=engine.url, settings=settings) as daemon,
    ):
        engine.kill()
        client = TraceClient(str(daemon.socket))
        taken = fill(client, lambda: status(daemon)["lost"] > 0, noise=True)
        assert client.flush(60)
        engine.start()
        until(lambda: status(daemon)["in_spool"] == 0)
        client.close()
        until(lambda: status(daemon)["connections"] == 0 and status(daemon)["in_spool"] == 0)
        after = status(daemon)
        assert after["stored"] + after["lost"] == taken
        rows = store.query(
            "SELECT sum(count) AS n, any(stage) AS stage, any(reason) AS reason FROM llm_trace_losses"
        )
        assert rows == [{"n": after["lost"], "stage": "spool", "reason": "spool_full"}]


@pytest.mark.chaos
def test_segments_that_wait_are_compressed_and_come_back_whole(engine: Engine, tmp_path: Path) -> None:
    settings = {**SMALL, "spool_max_bytes": 1 << 30}
    with (
        contextlib.closing(Store(engine.url)) as store,
        RunningDaemon(tmp_path / "d", url=engine.url, settings=settings) as daemon,
    ):
        engine.kill()
        client = TraceClient(str(daemon.socket))
        taken = fill(client, lambda: status(daemon)["spool_segments"] > 8)
        assert client.flush(60)
        before = status(daemon)["spool_bytes"]
        until(lambda: status(daemon)["spool_bytes"] < before / 2)
        daemon.kill()
        daemon.start()
        engine.start()
        until(lambda: status(daemon)["in_spool"] == 0)
        rows = store.query("SELECT count() AS n, sum(prompt_tokens) AS tokens FROM llm_traces")[0]
        assert rows == {"n": taken, "tokens": sum(range(taken))}
        client.close()
