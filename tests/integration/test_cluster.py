"""The cluster's form of the tables: every statement is the engine's SQL, and one host alone works.

The embedded engine has no Evictor: replication, quorum, and what ``ON CLUSTER`` does on other hosts are
parsed here and not run. Distributed tables are run, over one shard.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from llmledgerd.errors import ConfigError
from llmledgerd.query.erasure import Erasure
from llmledgerd.query.prompt_results import CacheMiss, CacheMisses
from llmledgerd.query.repricing import Reprice
from llmledgerd.query.requests import GetCacheMisses, ListCacheMisses
from llmledgerd.records import schema
from llmledgerd.records.pricing import Price, Pricer
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.erasure import Eraser
from llmledgerd.stores.clickhouse.migrations import Migration, layout_of
from llmledgerd.stores.clickhouse.price_updates import Update
from llmledgerd.stores.clickhouse.price_updates import statements as statements_of
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from llmledgerd.stores.clickhouse.reprice import reprice
from llmledgerd.stores.clickhouse.rollup import Rollup
from llmledgerd.stores.clickhouse.sink import ClickHouseSink
from llmledgerd.stores.clickhouse.topology import placement
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine, running_engine, without_faults
from tests.helpers.exchanges import line
from tests.helpers.rollups import differences, doubted, mend
from tests.helpers.scene import INSERT
from tests.helpers.store_rows import add_traces, trace_rows
from tests.helpers.waiting import until
from tests.integration.test_rollup import OVER_US, calls

SHARDED = {"llm_traces", "llm_usage_hourly"}
LATER = {"mutations_sync": 0}
CLUSTER = layout_of(90, "{cluster}")


@pytest.fixture(scope="module")
def _host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    without_faults()
    with running_engine(tmp_path_factory.mktemp("cluster") / "data", cluster="everything") as engine:
        yield engine


@pytest.fixture
def host(_host: Engine) -> Iterator[Engine]:
    """Return an engine that is the only host of a cluster, with an empty database ``llm``."""
    _host.query("CREATE DATABASE llm")
    yield _host
    _host.release()
    _host.query("DROP DATABASE llm")


@pytest.fixture
def sharded(host: Engine) -> Iterator[Store]:
    """Return a store that was migrated to the cluster's form."""
    opened = Store(f"{host.address}/llm", timeout_seconds=30)
    try:
        migrations.apply(opened, layout_of(90, "everything"))
        yield opened
    finally:
        opened.close()


UPDATE = Update(
    str(uuid.UUID(int=1)),
    1,
    2,
    3,
    Price(Decimal("0.1"), "list_price", "", "m", "list", {"input": Decimal("0.1")}),
)


def statements() -> list[str]:
    """Return every statement that a cluster is ever sent with its name in it."""
    of_files = [statement for file in migrations.Migration.load() for statement in file.statements(CLUSTER)]
    place = placement("llm_traces", "Distributed('{cluster}', 'llm', 'llm_traces_local', cityHash64(x))")
    return [
        *of_files,
        CLUSTER.fill(migrations.RECORDS),
        CLUSTER.fill("ALTER TABLE llm_traces{local} {on_cluster} MODIFY {ttl}"),
        f"CREATE DATABASE IF NOT EXISTS `llm` {CLUSTER.on_cluster}",
        f"DELETE FROM {place.changed} WHERE id = 'x'",
        next(statements_of([UPDATE], place.changed))[0],
        "SYSTEM FLUSH ASYNC INSERT QUEUE",
    ]


def test_every_statement_for_a_cluster_is_the_engine_s_sql(store: Store) -> None:
    for statement in statements():
        parsed = store.query("SELECT formatQuery({text:String}) AS text", {"text": statement})[0]["text"]
        assert ("ON CLUSTER" in parsed) == ("{cluster}" in statement), statement


def test_every_table_of_the_files_is_made_on_the_cluster_and_replicated() -> None:
    made = [s for s in statements() if s.startswith("CREATE") and not s.startswith("CREATE DATABASE")]

    assert all("ON CLUSTER '{cluster}'" in statement for statement in made)
    own = [s for s in made if s.startswith("CREATE TABLE") and "ENGINE = Distributed" not in s]
    assert all("ENGINE = Replicated" in statement for statement in own)
    assert {s.split()[5] for s in own if "{uuid}/{shard}'" in s} == {f"{name}_local" for name in SHARDED}
    assert {s.split()[5] for s in made if "ENGINE = Distributed" in s} == SHARDED


def test_a_statement_for_shards_is_left_out_on_one_server() -> None:
    migration = Migration("0901_a", "CREATE TABLE a{local} (x UInt8);\n{sharded} CREATE TABLE a (x UInt8);\n")

    assert migration.statements(layout_of(0)) == ["CREATE TABLE a (x UInt8)"]
    assert migration.statements(CLUSTER) == ["CREATE TABLE a_local (x UInt8)", "CREATE TABLE a (x UInt8)"]


def test_migrating_makes_the_tables_of_the_cluster_once(sharded: Store) -> None:
    assert tuple(sharded.columns("llm_traces")) == schema.CLICKHOUSE_COLUMNS
    assert tuple(sharded.columns("llm_traces_local")) == schema.CLICKHOUSE_COLUMNS
    assert sharded.placement("llm_traces").changed == "llm_traces_local ON CLUSTER 'everything'"
    assert migrations.ttl_days(sharded) == 90
    assert migrations.apply(sharded, layout_of(90, "everything")) == []
    assert migrations.apply(sharded, layout_of(7, "everything")) == [
        "changed the TTL of llm_traces from 90 to 7 days"
    ]


def test_tables_of_one_form_are_never_migrated_to_the_other(sharded: Store, server: Store) -> None:
    with pytest.raises(ConfigError, match="cluster everything; set `cluster`"):
        migrations.apply(sharded, layout_of(90))
    with pytest.raises(ConfigError, match="those of one server"):
        migrations.apply(server, layout_of(90, "everything"))


def test_an_embedded_store_is_no_member_of_a_cluster(tmp_path: Path) -> None:
    store = Store(f"chdb://{tmp_path / 'clickhouse'}")
    with pytest.raises(ConfigError, match="embedded"):
        migrations.apply(store, layout_of(0, "everything"))
    store.close()


def test_a_repeat_of_an_insert_is_ignored_through_the_distributed_table(sharded: Store) -> None:
    columns, values = trace_rows(sharded, [{"id": "a"}, {"id": "b"}])
    for _ in range(2):
        sharded.insert("llm_traces", columns, values, "one")

    assert sharded.query("SELECT count() AS n FROM llm_traces") == [{"n": 2}]
    assert differences(sharded) == []


def test_every_replica_is_asked_without_a_statement_on_the_cluster(sharded: Store, host: Engine) -> None:
    add_traces(sharded, [{"id": "a", "created_at": OVER_US}])
    before = host.bitten()

    assert ClickHouseSink(sharded).calls_present(
        [("", "a"), ("", "b")], OVER_US - 1, OVER_US + 1, besides=str(uuid.uuid4())
    ) == {("", "a")}

    after = host.bitten()
    assert (after["SYNC REPLICA"], after["ON CLUSTER"]) == (before["SYNC REPLICA"], before["ON CLUSTER"])


def test_rows_are_erased_on_the_cluster_by_a_change_that_is_waited_for_by_asking(
    sharded: Store, host: Engine
) -> None:
    add_traces(sharded, [{"id": "a", "organization_id": "acme"}, {"id": "b", "organization_id": "other"}])
    before = host.bitten()["ON CLUSTER"]

    eraser = Eraser(sharded)
    assert eraser.erase(Erasure(organization_id="acme", rows=True)).calls == 1

    assert sharded.query("SELECT id FROM llm_traces") == [{"id": "b"}]
    assert eraser.detached() == []
    assert host.bitten()["ON CLUSTER"] > before


def test_only_the_partitions_with_abandoned_rows_are_changed(store: Store) -> None:
    week_us = 7 * 86_400_000_000
    for weeks in range(3):
        add_traces(store, [{"id": f"kept-{weeks}", "ingested_at": OVER_US - weeks * week_us}])
    add_traces(store, [{"id": "late", "outcome": "abandoned", "ingested_at": OVER_US - week_us}])
    sink = ClickHouseSink(store)

    sink.delete_abandoned([("", "nobody")])
    assert (
        store.query(
            "SELECT 1 FROM system.mutations WHERE database = currentDatabase() AND table = 'llm_traces'"
        )
        == []
    )
    sink.delete_abandoned([("", "late")])

    assert store.query("SELECT count() AS n FROM llm_traces WHERE id = 'late'") == [{"n": 0}]
    (mutation,) = store.query(
        "SELECT command FROM system.mutations WHERE database = currentDatabase() AND table = 'llm_traces'"
    )
    assert "IN PARTITION ID" in mutation["command"]


def test_abandoned_rows_are_deleted_on_every_shard(sharded: Store, host: Engine) -> None:
    add_traces(sharded, [{"id": "a", "outcome": "abandoned"}, {"id": "a"}])
    before = host.bitten()["ON CLUSTER"]

    ClickHouseSink(sharded).delete_abandoned([("", "a")])

    left = [{"id": "a", "outcome": ""}]  # no statement waits for the replicas
    until(lambda: sharded.query("SELECT id, outcome FROM llm_traces") == left)
    assert host.bitten()["ON CLUSTER"] == before + 1


def test_the_rollup_of_a_cluster_is_doubted_rebuilt_and_agrees(sharded: Store) -> None:
    add_traces(sharded, calls(200))
    sharded.run("DELETE FROM llm_usage_hourly_local WHERE hour < toStartOfHour(now())")
    assert differences(sharded)

    Rollup(sharded).doubt_rows("lost", "1", {})
    mend(sharded)

    assert differences(sharded) == []


def test_an_hour_is_not_relied_on_while_a_replica_has_a_change_before_it(sharded: Store) -> None:
    add_traces(sharded, calls(20))
    Rollup(sharded).doubt_rows("found", "1", {})
    hours = doubted(sharded)
    sharded.run("ALTER TABLE llm_traces_local UPDATE url = toString(throwIf(1)) WHERE 1", settings=LATER)

    assert Rollup(sharded).reconcile(quiet_seconds=0).agreed == []
    assert doubted(sharded) == hours

    sharded.run("KILL MUTATION WHERE table = 'llm_traces_local'")
    mend(sharded)


def test_costs_of_a_cluster_are_changed_on_every_shard_and_recorded(sharded: Store, host: Engine) -> None:
    rows = [
        {"id": f"{number}", "provider": "openai", "model": "gpt-4o", "created_at": OVER_US + number,
         "usage_json": b'{"prompt_tokens":1000,"completion_tokens":100}', "usage_source": "reported"}
        for number in range(3)
    ]  # fmt: skip
    add_traces(sharded, rows)
    before = host.bitten()["ON CLUSTER"]
    wanted = Reprice(from_us=OVER_US, to_us=OVER_US + 10)

    done = reprice(sharded, Pricer(), wanted, "somebody@somewhere")

    assert (done.total, done.changed) == (3, 3)
    assert host.bitten()["ON CLUSTER"] == before + 1
    assert sharded.query("SELECT cost_usd AS cost, count() AS n FROM llm_traces GROUP BY cost") == [
        {"cost": Decimal("0.0035"), "n": 3}
    ]
    assert sharded.query("SELECT state, calls FROM llm_price_changes ORDER BY at") == [
        {"state": "begun", "calls": 3},
        {"state": "done", "calls": 3},
    ]
    mend(sharded)
    assert differences(sharded) == []
    assert reprice(sharded, Pricer(), wanted, "somebody@somewhere").changed == 0


def test_cache_misses_are_found_through_the_distributed_table(sharded: Store) -> None:
    left = {
        "organization_id": "acme", "created_at": OVER_US, "prompt_tokens": 6000, "cached_input_tokens": 0,
        "priced_model": "m", "request_model": "m", "cache_left_state": "exact", "cache_left_tokens": 5000,
        "cache_left_seconds": 9000,
    }  # fmt: skip
    gap = {"id": "next", "turn_hash": 11, "parent_turn_hash": 10, "cache_gap": 5000, "tools_hash": 1}
    add_traces(sharded, [{**left, "id": "before", "turn_hash": 10}, {**left, **gap}])
    answers = StoreAnswers(sharded)

    (call,) = cast("list[CacheMiss]", answers.answer("acme", ListCacheMisses(limit=10)))
    (group,) = cast("list[CacheMisses]", answers.answer("acme", GetCacheMisses(limit=10)))

    assert (call.id, call.parent_id, call.cause) == ("next", "before", "tools_changed")
    assert (group.worst_id, group.calls, group.lost_tokens) == ("next", 1, call.lost_tokens)


def test_a_daemon_lands_rows_in_a_cluster_that_was_migrated_by_its_name(
    sharded: Store, host: Engine, tmp_path: Path
) -> None:
    host.fault("commit_then_cut", only=INSERT)
    with RunningDaemon(tmp_path, url=f"{host.address}/llm") as daemon:
        daemon.send_one_way(b"".join(line(f"call-{number}", number) for number in range(20)))
        until(lambda: admin.status(tmp_path / "admin.sock")["stored"] == 20)
        assert daemon.terminate() == 0

    assert host.bitten()["commit_then_cut"] == 1
    assert sharded.query("SELECT uniqExact(id) AS n, count() AS m FROM llm_traces") == [{"n": 20, "m": 20}]
