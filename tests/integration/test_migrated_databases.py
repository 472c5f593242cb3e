"""The tests' own store: a database that one test has used is as new for the next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.engine import Engine
from tests.helpers.migrated_databases import LAYOUT, MigratedDatabases

COUNTS = (
    "SELECT (SELECT count() FROM llm_traces) AS traces, (SELECT count() FROM llm_usage_hourly) AS hours,"
    " (SELECT count() FROM llm_trace_losses) AS losses"
)
TABLES = "SELECT groupArray(name) AS names FROM (SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name)"
TRACE = (
    "INSERT INTO llm_traces (id, created_at, ingested_at) SETTINGS insert_deduplication_token = 'same'"
    " VALUES ('a', now64(6), now64(6))"
)
CHANGES = (
    "ALTER TABLE llm_traces ADD COLUMN other UInt8",
    "ALTER TABLE llm_traces DELETE WHERE 1 SETTINGS mutations_sync = 2",
    "CREATE TABLE another (x UInt8) ENGINE = MergeTree ORDER BY x",
)


@pytest.fixture
def databases(engine: Engine) -> Iterator[MigratedDatabases]:
    made = MigratedDatabases(engine)
    yield made
    made.close()


def test_rows_and_their_tokens_are_gone_from_a_database_that_is_lent_again(
    databases: MigratedDatabases,
) -> None:
    lent = []
    for _ in range(3):
        with databases.lent() as url, contextlib.closing(Store(url)) as store:
            lent.append(url)
            assert set(store.query(COUNTS)[0].values()) == {0}
            store.insert("llm_trace_losses", ("stage", "count"), [("a", 1)], token="same")
            store.run(TRACE)
            assert set(store.query(COUNTS)[0].values()) == {1}
    assert len(set(lent)) == 1


def test_a_second_database_is_as_if_it_had_been_migrated(databases: MigratedDatabases) -> None:
    with databases.lent() as first, databases.lent() as second:
        described = []
        for url in (first, second):
            with contextlib.closing(Store(url)) as store:
                tables = [
                    store.query(f"SHOW CREATE TABLE {name}") for name in store.query(TABLES)[0]["names"]
                ]
                described.append(str(tables).replace(url.rpartition("/")[2], ""))
                described.append(str(store.query("SELECT * FROM llmledger_migrations ORDER BY ALL")))
                assert migrations.apply(store, LAYOUT) == []
    assert first != second
    assert described[:2] == described[2:]
    assert "MATERIALIZED VIEW" in described[0]


@pytest.mark.parametrize("change", CHANGES)
def test_a_database_with_a_change_of_its_own_is_not_lent_again(
    databases: MigratedDatabases, change: str
) -> None:
    with databases.lent() as first, contextlib.closing(Store(first)) as store:
        store.run(change)
    with databases.lent() as second:
        assert second != first
