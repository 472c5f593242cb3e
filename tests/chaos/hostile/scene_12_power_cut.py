"""Rows that were acknowledged and whose segment is gone survive a power cut after their parts were merged.

The engine's system calls are recorded. After the merge, when its sources are deleted, it is killed, and
every file of a table that was not synced since it was last written loses its bytes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from llmledgerd.stores.clickhouse.client import Store
from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.exchanges import line
from tests.helpers.session import Session
from tests.helpers.traced import lose_unsynced, recorded
from tests.helpers.waiting import until

SEGMENTS = 12
EACH = 5
TABLES = ("llm_traces", "llm_trace_losses", "llm_usage_hourly")
HASTE = "old_parts_lifetime = 1, cleanup_delay_period = 1, cleanup_delay_period_random_add = 0, max_cleanup_delay_period = 1"
"""So that sources go soon; in the field that takes eight minutes, or in the embedded engine seconds."""
CLEANUP_SECONDS = 40.0


def run(stage: Stage) -> str:
    engine = stage.engine()
    store_folder = stage.folder / "engine"
    record = stage.folder / "calls"
    with contextlib.closing(Store(engine.url)) as table:
        for name in TABLES:
            table.run(f"ALTER TABLE {name} MODIFY SETTING {HASTE}")
    with recorded(engine.pid, record):
        with stage.daemon(url=engine.url) as daemon:
            for number in range(SEGMENTS):
                send(daemon.socket, number)
                until(lambda number=number: stored(daemon.folder) == (number + 1) * EACH)  # type: ignore[misc]  # a lambda with a default
            assert daemon.terminate() == 0
            assert daemon.log()[-1].get("lines_left_in_spool") == 0
        for name in TABLES:
            engine.query(f"OPTIMIZE TABLE default.{name} FINAL")
        before = counts(engine.query)
        sources = "SELECT count() FROM system.parts WHERE NOT active AND database = 'default' AND table = 'llm_traces'"
        until(lambda: engine.query(sources) == "0", limit=CLEANUP_SECONDS, what="the sources to be deleted")
        until(
            lambda: not unlisted(engine.query),
            limit=CLEANUP_SECONDS,
            what="the sources' files to be unlinked",
        )
        engine.kill()
    lost = lose_unsynced(store_folder / "store", record)
    engine.start()
    after = counts(engine.query)
    assert after == before, f"rows of {TABLES}: {after} of {before}; {len(lost)} files lost their bytes"
    assert after[0] == SEGMENTS * EACH
    return f"rows of {TABLES} after the cut: {after}; {len(lost)} files were not synced"


def send(socket: Path, number: int) -> None:
    with Session(socket) as session:
        session.hello()
        report = b'{"protocol_version":4,"dropped":{"buffer_full":1}}\n'
        session.send([line(f"call-{number}-{index}", index) for index in range(EACH)] + [report])
        session.wait_durable(EACH + 1)


def stored(folder: Path) -> int:
    return int(json.loads(admin.get(folder / "admin.sock", "/v1/status")[1])["stored"])


def counts(query: Callable[[str], str]) -> list[int]:
    """Return the rows of each table; of the rollup, the requests that it has."""
    counted = {"llm_usage_hourly": "sum(requests)"}
    return [int(query(f"SELECT {counted.get(name, 'count()')} FROM default.{name}")) for name in TABLES]


def unlisted(query: Callable[[str], str]) -> set[str]:
    """Return the folders of parts of the table that are still on disk, and that the engine has no longer."""
    of_table = "database = 'default'"
    folder = query(f"SELECT data_paths[1] FROM system.tables WHERE {of_table} AND name = 'llm_traces'")
    listed = query(f"SELECT name FROM system.parts WHERE {of_table} AND table = 'llm_traces'").split()
    folders = {path.name for path in Path(folder).iterdir() if path.is_dir()}
    return folders - {"detached", "deduplication_logs", *listed}
