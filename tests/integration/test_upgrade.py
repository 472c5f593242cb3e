"""New on old and old on new: a spool that waited, the first daemon's tables, and tables of a later one.

``first-spool`` is what a daemon left behind when it was killed before its store was there: four
records of versions 1 to 4, one more that is whole, a line that is no JSON, a begun call without its
record, and three records that their sender dropped. ``first-schema`` is the SQL of the first version's
tables. Both are frozen: nothing writes them anew.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.records import schema
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.migrations import Migration, layout_of
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.rollups import differences, mend
from tests.helpers.store_rows import add_traces
from tests.helpers.waiting import until

FIXTURES = Path(__file__).parents[1] / "fixtures"
FIRST = [Migration(file.stem, file.read_text()) for file in sorted((FIXTURES / "first-schema").glob("*.sql"))]
APPLIED = {
    "0001_llm_traces": "37a22b7b178be5fe3b8ed7adb60ebeae4fe6368311fe2e669de180d9c5b33837",
    "0002_llm_trace_losses": "8e36652b4e65ce628a15005dd2a7e475241ac9e4d04cba613af09f9ea1203a79",
    "0003_usage_recomputed": "4145782f7838049303dc3ceea452ade81d08fef17667ba328afb34782d9c3e10",
    "0004_rollup": "cb88eb9b0fa95a245aa238803ccdb4ad376ce344bfd7a6fce1a04c7a06f765af",
    "0005_synced_merges": "def35ce1133d1b73eb0fa5e7a125ca06a3ef90fd56377d448d3653c4d5da0b33",
}
"""What stores have recorded of files that were applied; a new file is added here, and none is changed."""

SETTINGS = {"ttl_days": 0, "orphan_grace_seconds": 0.2}


def first_columns() -> list[str]:
    """Return the columns that the first daemon names in its inserts, as its own SQL has them."""
    return re.findall(r"^    ([a-z_]+) +[A-Z]\w*(?:\(| |,)", FIRST[0].template, re.MULTILINE)


def first_tables(store: Store) -> None:
    """Make the tables as the first version did."""
    migrations.apply(store, layout_of(0), FIRST)


def use_first_spool(folder: Path) -> None:
    shutil.copytree(FIXTURES / "first-spool", folder / "spool")


@pytest.fixture
def old_server(server_url: str) -> Iterator[Store]:
    opened = Store(server_url, timeout_seconds=30)
    first_tables(opened)
    yield opened
    opened.close()


def stored(daemon: RunningDaemon) -> dict[str, object]:
    """Wait until the first spool has gone where it belongs, and return the daemon's counters."""

    def done() -> dict[str, object]:
        status = admin.status(daemon.folder / "admin.sock")
        return status if status["stored"] == 6 and not status["in_spool"] else {}

    return until(done, what=f"the old spool: {admin.status(daemon.folder / 'admin.sock')}")


def the_first_spool_is_in(store: Store) -> None:
    """Check that every line of the first spool is where it belongs."""
    found = store.query("SELECT id, prompt_tokens, outcome FROM llm_traces ORDER BY id")
    assert [(row["id"], row["prompt_tokens"], row["outcome"]) for row in found] == [
        ("begun-1", 0, "abandoned"),
        *[(f"old-{number}", 10 + number, "ok") for number in range(1, 6)],
    ]
    losses = store.query("SELECT stage, reason, count FROM llm_trace_losses ORDER BY stage, reason")
    assert {"stage": "client", "reason": "buffer_full", "count": 3} in losses


def test_no_file_that_was_ever_applied_has_changed() -> None:
    assert {file.name: file.checksum() for file in migrations.Migration.load()} == APPLIED


def test_a_new_daemon_migrates_an_old_embedded_store_by_itself_and_lands_an_old_spool(tmp_path: Path) -> None:
    url = f"chdb://{tmp_path / 'clickhouse'}"
    store = Store(url)
    first_tables(store)
    add_traces(store, [{"id": "before", "organization_id": "org-0"}])
    store.close()
    use_first_spool(tmp_path)

    with RunningDaemon(tmp_path, settings=SETTINGS) as daemon:
        assert stored(daemon)["dead_letters"] == 1
        assert daemon.terminate() == 0

    store = Store(url)
    assert migrations.pending(store) == []
    assert store.query("SELECT organization_id FROM llm_traces WHERE id = 'before'") == [
        {"organization_id": "org-0"}
    ]
    store.run("DELETE FROM llm_traces WHERE id = 'before'")
    the_first_spool_is_in(store)
    store.close()


def test_a_new_daemon_waits_for_an_old_server_to_be_migrated_and_then_lands_an_old_spool(
    old_server: Store, server_url: str, tmp_path: Path
) -> None:
    use_first_spool(tmp_path)
    with RunningDaemon(tmp_path, url=server_url, settings=SETTINGS) as daemon:
        until(lambda: "run `llmledgerd migrate`" in str(admin.status(tmp_path / "admin.sock")["store"]))
        assert old_server.query("SELECT count() AS n FROM llm_traces") == [{"n": 0}]

        done = migrations.apply(old_server, layout_of(0))

        assert done == [
            "applied 0003_usage_recomputed",
            "applied 0004_rollup",
            "applied 0005_synced_merges",
        ]
        stored(daemon)
    the_first_spool_is_in(old_server)
    mend(old_server)
    assert differences(old_server) == []


def test_the_first_daemon_s_insert_works_on_the_present_tables(server: Store) -> None:
    columns = first_columns()
    assert len(columns) == 57
    now = time.time_ns() // 1000
    given = {
        "id": "old",
        "batch_id": str(uuid.uuid4()),
        "agent_tags": [],
        "created_at": now,
        "ingested_at": now,
    }
    blank = {name: "" if "String" in kind else 0 for name, kind in server.columns("llm_traces").items()}
    payloads = dict.fromkeys(schema.BYTES_COLUMNS, b"")
    row = tuple({**blank, **payloads, **given}[name] for name in columns)

    server.insert("llm_traces", columns, [row], "t")

    assert server.query("SELECT id FROM llm_traces") == [{"id": "old"}]


def test_the_present_daemon_works_on_tables_that_a_later_one_made(
    server: Store, server_url: str, tmp_path: Path
) -> None:
    later = Migration(
        "0901_later",
        "ALTER TABLE llm_traces ADD COLUMN IF NOT EXISTS color LowCardinality(String) DEFAULT 'red' AFTER id;\n"
        "ALTER TABLE llm_trace_losses ADD COLUMN IF NOT EXISTS weight Nullable(UInt64) FIRST;\n"
        "CREATE TABLE IF NOT EXISTS llm_later (x UInt8) ENGINE = {engine} ORDER BY x;\n",
    )
    migrations.apply(server, layout_of(90), [later])

    with RunningDaemon(tmp_path, url=server_url) as daemon:
        daemon.send_one_way(b"".join(line(f"call-{number}", number) for number in range(5)))
        until(lambda: admin.status(tmp_path / "admin.sock")["stored"] == 5)

    assert migrations.pending(server) == []
    assert server.query("SELECT color, count() AS n FROM llm_traces GROUP BY color") == [
        {"color": "red", "n": 5}
    ]
    assert differences(server) == []
