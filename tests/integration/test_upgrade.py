"""New daemon on older tables and older daemon on newer ones, from the first release on.

Invariant: a file under ``ddl/`` that was applied never changes, and a later file only adds; ``APPLIED`` holds
the checksums. Tables of an earlier version are those of the first files alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.records import schema
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.migrations import Migration, layout_of
from llmledgerd.stores.ddl import SqlFile
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.rollups import differences, mend
from tests.helpers.store_rows import add_traces
from tests.helpers.waiting import until

APPLIED = {
    "clickhouse": {
        "0001_llm_traces": "af3ebfbef15e6ec54ba7a9b1a10ea7204b620cc20312f7dc8edaec2cc9368690",
        "0002_llm_trace_losses": "abaadb24a5734b4547bb9af458a66b4091ebd7c004cd9c90b4ec82610b325098",
        "0003_llm_traces_recomputed": "0819b3835a70fa2b9775e6db58ab8fca4c164b27fbddb3c75f3e630fbd3799ea",
        "0004_llm_usage_hourly": "ebe430940299e065d837003ecd09befb934bd52d1485b84a10077bf51ee812ed",
        "0005_llm_price_changes": "fd012daafd1686da9d4ebfc66d5172fb9611f0551e296b9df9ae2143887f1cf7",
        "0006_llm_tool_calls": "e25c24c0831b485a3c5f78ef2cef387caa7df43fbbff8123f393b370bb82eec4",
    },
    "postgres": {
        "0001_provider_traces": "8359d72f62bd0979964c9d3475936d51f03de577b68036f7ade75598e8aa60c0",
        "0002_llm_trace_losses": "1cf3415a43efa10c83d124bd9aab06cc1f0c98db4e18f0e4bc08d0048a7816c7",
    },
}
"""Checksums of the released files, as stores record them. A new file is added here; none is changed."""

EARLIER = 2
"""How many files made the tables of the earlier version: rows and losses, without the rollup."""

ALL = ["before", *(f"call-{number}" for number in range(5))]
HOURS_AGO_US = time.time_ns() // 1000 - 5 * 3600 * 1_000_000
"""An hour that is over can be rebuilt; the present one cannot."""

SETTINGS = {"ttl_days": 0}

LATER = Migration(
    "0901_later",
    "ALTER TABLE llm_traces ADD COLUMN IF NOT EXISTS color LowCardinality(String) DEFAULT 'red' AFTER id;\n"
    "ALTER TABLE llm_trace_losses ADD COLUMN IF NOT EXISTS weight Nullable(UInt64) FIRST;\n"
    "CREATE TABLE IF NOT EXISTS llm_later (x UInt8) ENGINE = {engine} ORDER BY x;\n",
)


@pytest.fixture
def empty_server(empty_url: str) -> Iterator[Store]:
    opened = Store(empty_url, timeout_seconds=30)
    yield opened
    opened.close()


def earlier_tables(store: Store) -> None:
    """Make the tables of an earlier version, with one row."""
    migrations.apply(store, layout_of(0), Migration.load()[:EARLIER])
    add_traces(store, [{"id": "before", "organization_id": "org-0", "created_at": HOURS_AGO_US}])


def send(daemon: RunningDaemon) -> None:
    daemon.send_one_way(b"".join(line(f"call-{number}", number) for number in range(5)))


def wait_stored(daemon: RunningDaemon) -> None:
    until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == 5)


def ids(store: Store) -> list[str]:
    return [row["id"] for row in store.query("SELECT id FROM llm_traces ORDER BY id")]


@pytest.mark.parametrize("kind", APPLIED)
def test_no_file_that_was_ever_applied_has_changed(kind: str) -> None:
    files = migrations.Migration.load() if kind == "clickhouse" else SqlFile.load(kind)
    assert {file.name: file.checksum() for file in files} == APPLIED[kind]


def test_a_new_daemon_migrates_an_older_embedded_store_by_itself(tmp_path: Path) -> None:
    url = f"chdb://{tmp_path / 'clickhouse'}"
    store = Store(url)
    earlier_tables(store)
    store.close()

    with RunningDaemon(tmp_path, settings=SETTINGS) as daemon:
        send(daemon)
        wait_stored(daemon)
        assert daemon.terminate() == 0

    store = Store(url)
    assert migrations.pending(store) == []
    assert ids(store) == ALL
    store.close()


def test_a_new_daemon_waits_for_an_older_server_to_be_migrated_and_then_stores_what_waited(
    empty_server: Store, empty_url: str, tmp_path: Path
) -> None:
    earlier_tables(empty_server)
    with RunningDaemon(tmp_path, url=empty_url, settings=SETTINGS) as daemon:
        send(daemon)
        until(lambda: "run `llmledgerd migrate`" in str(admin.status(tmp_path / "admin.sock")["store"]))
        assert ids(empty_server) == ["before"]

        done = migrations.apply(empty_server, layout_of(0))

        assert done == [f"applied {file.name}" for file in Migration.load()[EARLIER:]]
        wait_stored(daemon)
    assert ids(empty_server) == ALL
    mend(empty_server)
    assert differences(empty_server) == []


def test_a_daemon_works_on_tables_that_a_later_one_made(
    server: Store, server_url: str, tmp_path: Path
) -> None:
    migrations.apply(server, layout_of(90), [LATER])

    with RunningDaemon(tmp_path, url=server_url) as daemon:
        send(daemon)
        wait_stored(daemon)

    assert migrations.pending(server) == []
    assert (
        tuple(name for name in server.columns("llm_traces") if name != "color") == schema.CLICKHOUSE_COLUMNS
    )
    assert server.query("SELECT color, count() AS n FROM llm_traces GROUP BY color") == [
        {"color": "red", "n": 5}
    ]
    assert differences(server) == []
