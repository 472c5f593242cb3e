"""Two stores at load: each away for a while, each killed in the middle, the daemon too.

``LLMLEDGER_TWO_STORES_SECONDS`` says how long each phase takes, ``LLMLEDGER_TWO_STORES_RATE`` how many
records are handed over each second. Run with ``-s`` it prints what became of each phase.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pytest

from llmledger import TraceClient
from tests.helpers.engine import running_engine
from tests.helpers.exchanges import openai_chat
from tests.helpers.postgres import PostgresServer, fresh_postgres_database, running_postgres
from tests.helpers.two_stores import TwoStores, running_two_stores
from tests.helpers.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

SECONDS = float(os.environ.get("LLMLEDGER_TWO_STORES_SECONDS", "4"))
RATE = int(os.environ.get("LLMLEDGER_TWO_STORES_RATE", "800"))
RECORD_BYTES = 1500
UNAFFECTED = 0.8
"""The least that the other store may have stored of what came, beside one that is away."""


SETTINGS = {"batch_max_age_seconds": 0.25, "insert_timeout_seconds": 10}


class Load:
    """Hands over records at a steady rate, through whatever happens."""

    def __init__(self, two: TwoStores) -> None:
        self._client = TraceClient(str(two.daemon.socket), buffer_max_bytes=256 << 20)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.taken = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if error is None:
            assert self._client.flush(60)
        self._client.close()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stopping.wait(0.02):
            while self.taken < RATE * (time.monotonic() - began):
                fields = openai_chat(self.taken, size=RECORD_BYTES)
                assert self._client.record(provider_trace_id=f"a-{self.taken}", **fields)
                self.taken += 1


class Phase(msgspec.Struct):
    """What happened in one stretch of time: lines received, and stored in each store."""

    name: str
    received: int
    stored: dict[str, int]

    def share(self, store: str) -> float:
        return self.stored[store] / self.received


def phase(two: TwoStores, name: str, during: Callable[[], None] = lambda: None) -> Phase:
    """Let the load go on for some seconds, and count."""
    before = two.status()
    during()
    time.sleep(SECONDS)  # the phase is this length of time; nothing is asserted of it
    after = two.status()
    stored = {
        new["name"]: new["stored"] - old["stored"]
        for old, new in zip(before["stores"], after["stores"], strict=True)
    }
    done = Phase(name, after["received"] - before["received"], stored)
    print(
        f"{name:34}{done.received:8,} received{stored['clickhouse']:9,} clickhouse{stored['postgres']:9,} postgres"
    )
    return done


@contextmanager
def away(stop: Callable[[], None], start: Callable[[], None]) -> Iterator[None]:
    stop()
    try:
        yield
    finally:
        start()


def known_away(two: TwoStores, store: str) -> None:
    """Wait until the daemon has met the absence: what was committed before it is counted by then."""
    until(lambda: two.of(store)["trouble"], what=f"{store} to be missed")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[TwoStores]:
    with (
        running_engine(tmp_path / "engine") as engine,
        running_postgres() as server,
        fresh_postgres_database(server.address) as url,
        running_two_stores(engine, server, (engine.url, url), tmp_path / "d", **SETTINGS) as running,
    ):
        yield running


def frozen_then_killed(server: PostgresServer) -> None:
    """Silence it while inserts are under way, so that their outcome is unknown, and kill it then."""
    server.freeze()
    server.kill()


def test_each_store_has_each_record_once_whatever_is_killed_and_neither_slows_the_other(
    two: TwoStores,
) -> None:
    engine, server = two.engine, two.server
    with Load(two) as load:
        until(lambda: two.of("postgres")["stored"] > 0)
        both = phase(two, "both there")
        with away(server.kill, server.start):
            known_away(two, "postgres")
            without_postgres = phase(two, "postgres away")
        caught_up = phase(two, "postgres back, catching up")
        with away(engine.kill, engine.start):
            known_away(two, "clickhouse")
            without_clickhouse = phase(two, "clickhouse away")
        phase(two, "clickhouse back, catching up")
        for _ in range(3):
            with away(lambda: frozen_then_killed(server), server.start):
                pass
            with away(engine.kill, engine.start):
                pass
            two.daemon.kill()
            two.daemon.start()
        phase(two, "each killed three times")
    everything = {f"a-{number}": 1 for number in range(load.taken)}
    for store in ("clickhouse", "postgres"):
        two.settled(store, load.taken, limit=240)
        assert two.ids(store) == everything
        assert two.of(store)["stored"] == load.taken
    until(lambda: two.status()["spool_segments"] == 0)
    assert without_postgres.stored["postgres"] == without_clickhouse.stored["clickhouse"] == 0
    assert without_postgres.share("clickhouse") > UNAFFECTED * both.share("clickhouse")
    assert caught_up.share("clickhouse") > UNAFFECTED * both.share("clickhouse")
    assert without_clickhouse.share("postgres") > UNAFFECTED * both.share("postgres")
