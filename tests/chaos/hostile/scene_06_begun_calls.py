"""Begun calls and sessions have a bound in memory and in every header, whatever is sent.

Each flood has a daemon of its own, whose store is beside it, so that its memory is the daemon's alone.
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator

from llmledgerd.stores.clickhouse.client import Store
from tests.chaos.hostile.floods import at_once, begin, greeted, hello, one_line, say_hello_and_go
from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.exchanges import line
from tests.helpers.session import Session
from tests.helpers.waiting import until

LIMIT_SECONDS = 900.0
"""Three floods, each with a daemon and a store that start anew."""
MEBIBYTE = 1 << 20
GROWTH_BYTES = 320 * MEBIBYTE
"""Of the daemon's memory, at the highest: what lines under way may take, and what is remembered."""
HEADER_BYTES = 16 * MEBIBYTE
"""The reserve."""

LARGE_BEGINS = 30
BEGINS = int(os.environ.get("HOSTILE_BEGINS", "60000"))
HELLOS = 29_713
SESSIONS = int(os.environ.get("HOSTILE_SESSIONS", "20000"))
SETTINGS = {"orphan_grace_seconds": 3600, "batch_max_age_seconds": 0.5}

Flood = Callable[[RunningDaemon], int]
"""Returns how many rows it makes."""


def large_begins(daemon: RunningDaemon) -> int:
    with Session(daemon.socket) as session:
        session.hello()
        for number in range(LARGE_BEGINS):
            session.send([begin(f"large-{number}", url="https://api/" + "x" * (4 * MEBIBYTE))])
        session.wait_durable(LARGE_BEGINS)
    return 0


def begins(daemon: RunningDaemon) -> int:
    def some() -> Iterator[bytes]:
        for _ in range(BEGINS):
            yield begin(
                str(uuid.uuid4()),
                org_id="org-1234",
                agent_id=str(uuid.uuid4()),
                provider="openai",
                model="gpt-4o-mini",
                url="https://api.openai.com/v1/chat/completions",
            )

    with Session(daemon.socket) as session:
        session.hello()
        for part in _parts(some()):
            session.send(part)
        session.wait_durable(BEGINS)
    return 0


def hellos(daemon: RunningDaemon) -> int:
    def one(number: int) -> bytes:
        return hello(str(uuid.uuid4()), service=f"{number:05d}" + "s" * 7900)

    say_hello_and_go(daemon.socket, map(one, range(HELLOS)))
    greeted(daemon.socket, one(HELLOS))
    return 0


def sessions(daemon: RunningDaemon) -> int:
    at_once(SESSIONS, lambda number: one_line(daemon.socket, line(f"s-{number}", number)))
    return SESSIONS


FLOODS: tuple[Flood, ...] = (large_begins, begins, hellos, sessions)


def run(stage: Stage) -> str:
    engine = stage.engine()
    chosen = os.environ.get("HOSTILE_FLOODS", "").split() or [flood.__name__ for flood in FLOODS]
    return "; ".join(_measured(stage, engine, flood) for flood in FLOODS if flood.__name__ in chosen)


def _measured(stage: Stage, engine: Engine, flood: Flood) -> str:
    store = Store(engine.url)
    daemon = RunningDaemon(stage.folder / flood.__name__, url=engine.url, settings=SETTINGS)
    with daemon:
        socket = daemon.folder / "admin.sock"
        idle = daemon.peak_memory_bytes()
        before = _rows(store)
        rows = flood(daemon)
        until(lambda: not admin.status(socket)["in_spool"], limit=90)
        daemon.send_one_way(line(f"after-{flood.__name__}", 1))  # the next segment has all in its header
        until(lambda: _rows(store) == before + rows + 1, limit=30)
        until(lambda: not admin.status(socket)["in_spool"] and len(daemon.segments()) == 1, limit=30)
        header = daemon.segments()[-1].stat().st_size
        grown = daemon.peak_memory_bytes() - idle
        status = admin.status(socket)
    store.close()
    said = (
        f"{flood.__name__}: +{grown // MEBIBYTE} MiB at the peak, header {header:,} bytes,"
        f" {status['begun_calls']:,} calls and {status['sessions']:,} sessions remembered"
    )
    assert grown <= GROWTH_BYTES, said
    assert header <= HEADER_BYTES, said
    return said


def _rows(store: Store) -> int:
    return int(store.query("SELECT count() AS n FROM llm_traces")[0]["n"])


def _parts(items: Iterator[bytes]) -> Iterator[list[bytes]]:
    while part := list(itertools.islice(items, 500)):
        yield part
