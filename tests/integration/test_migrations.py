"""The tables come out right from nothing, from half-way, twice, and with another TTL."""

from __future__ import annotations

import pytest

from llmledgerd.errors import ConfigError, StoreBusy
from llmledgerd.records import schema
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.migrations import Layout, Migration
from tests.helpers.engine import Engine


def engine_of(store: Store, table: str = "llm_traces") -> str:
    found = store.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    )
    return str(found[0]["engine_full"])


def test_migrating_an_empty_store_makes_every_table(store: Store) -> None:
    assert tuple(store.columns("llm_traces")) == schema.CLICKHOUSE_COLUMNS
    assert store.columns("llm_traces")["id"] == "String"
    assert store.columns("llm_trace_losses")["count"] == "Nullable(UInt64)"
    assert migrations.pending(store) == []
    assert (
        migrations.check(store, {"llm_traces": schema.CLICKHOUSE_COLUMNS, "llm_trace_losses": ["reason"]})
        == []
    )


def test_the_answer_to_an_insert_means_on_disk_and_repeats_are_ignored(store: Store) -> None:
    for table in ("llm_traces", "llm_trace_losses"):
        settings = engine_of(store, table)
        assert "fsync_after_insert = 1" in settings
        assert "fsync_part_directory = 1" in settings
        assert "non_replicated_deduplication_window = 1000" in settings


def test_no_table_loses_rows_to_a_power_failure_by_an_insert_a_merge_or_a_fetch(store: Store) -> None:
    """A table that a later file makes without these settings is named here."""
    assert migrations.unsynced(store) == []
    tables = store.query(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
        " AND engine LIKE '%MergeTree'"
    )
    assert len(tables) >= 5
    for table in tables:
        assert "old_parts_lifetime = 480" in table["engine_full"], table["name"]
        for setting, value in migrations.SYNCED.items():
            assert f"{setting} = {value}" in table["engine_full"], table["name"]


def test_checking_names_the_tables_that_a_power_failure_may_take_rows_from(server: Store) -> None:
    made = (
        "CREATE TABLE IF NOT EXISTS llm_careless (x UInt8) ENGINE = {engine} ORDER BY x SETTINGS {settings};"
    )
    settings = ", ".join(
        f"{name} = {value}" for name, value in migrations.SYNCED.items() if "merge" not in name
    )
    migrations.apply(server, Layout(), [Migration("0901_careless", made.replace("{settings}", settings))])

    (said,) = migrations.unsynced(server)

    assert "llm_careless" in said
    assert "min_rows_to_fsync_after_merge" in said
    assert "fsync_after_insert" not in said


def test_migrating_again_does_nothing(store: Store) -> None:
    assert migrations.apply(store, Layout(ttl_days=90)) == []


def test_a_file_that_was_half_applied_is_applied_again(server: Store) -> None:
    half = Migration(
        "0901_two_tables", "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = {engine} ORDER BY x;\nOOPS;\n"
    )
    whole = Migration(
        "0901_two_tables",
        "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = {engine} ORDER BY x;\n"
        "-- a comment; with a semicolon\n"
        "CREATE TABLE IF NOT EXISTS b (x UInt8) ENGINE = {engine} ORDER BY x;\n",
    )
    with pytest.raises(StoreBusy):
        migrations.apply(server, Layout(ttl_days=90), [half])

    assert migrations.apply(server, Layout(ttl_days=90), [whole]) == ["applied 0901_two_tables"]
    assert server.columns("a")
    assert server.columns("b")


def test_a_file_that_changed_after_it_was_applied_is_refused(server: Store) -> None:
    before = Migration("0901_a", "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = {engine} ORDER BY x;")
    reworded = Migration(
        "0901_a", "-- new\nCREATE TABLE IF NOT EXISTS a\n (x UInt8) ENGINE = {engine} ORDER BY x;"
    )
    changed = Migration("0901_a", "CREATE TABLE IF NOT EXISTS a (x UInt16) ENGINE = {engine} ORDER BY x;")
    migrations.apply(server, Layout(ttl_days=90), [before])

    assert migrations.pending(server, [reworded]) == []
    with pytest.raises(ConfigError, match="0901_a"):
        migrations.pending(server, [changed])


@pytest.mark.parametrize("days", [7, 0, 400])
def test_migrate_changes_the_time_to_live_and_says_so(store: Store, days: int) -> None:
    assert "toIntervalDay(90)" in engine_of(store)

    done = migrations.apply(store, Layout(ttl_days=days))

    assert done == [f"changed the TTL of llm_traces from 90 to {days or 'no'} days"]
    assert ("TTL" in engine_of(store)) == bool(days)
    assert migrations.apply(store, Layout(ttl_days=days)) == []


def test_checking_says_which_table_and_which_columns_are_missing(server: Store) -> None:
    found = migrations.check(server, {"llm_traces": ["id", "color", "smell"], "llm_pictures": ["id"]})

    assert found == [
        "the table llm_traces lacks color, smell; run `llmledgerd migrate`",
        "missing table llm_pictures; run `llmledgerd migrate`",
    ]


def test_a_database_that_is_missing_is_created(engine: Engine) -> None:
    store = Store(f"{engine.address}/made_by_migrate")
    try:
        with pytest.raises(StoreBusy) as caught:
            store.version()
        assert caught.value.kind == "missing_table"

        migrations.apply(store, Layout())

        assert store.columns("llm_traces")
    finally:
        store.close()
        engine.query("DROP DATABASE made_by_migrate")
