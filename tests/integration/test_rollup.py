"""The hourly rollup agrees with the rows, or the hour is known to be in doubt; and doubt ends."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmledgerd.errors import LlmledgerdError
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.migrations import Layout
from llmledgerd.stores.clickhouse.rollup import Rollup
from llmledgerd.stores.kind import Reconciled
from tests.helpers.engine import Engine, without_faults
from tests.helpers.exchanges import line
from tests.helpers.rollups import differences, doubted, mend
from tests.helpers.scene import INSERT, Scene, running_scene
from tests.helpers.store_rows import add_traces, trace_rows
from tests.helpers.waiting import until

HOUR_US = 3_600_000_000
NOW_US = time.time_ns() // 1000
OVER_US = NOW_US - 3 * HOUR_US
"""In an hour that is over, since the hour under way is not rebuilt."""

LONGEST_INSERT_SECONDS = 1.0
"""How long an insert of these tests may take from the table's commit to the rollup's."""


def calls(count: int, *, seed: int = 1, hours: int = 6) -> list[dict[str, object]]:
    """Return rows that differ in everything that the rollup splits by or sums."""
    dice = random.Random(seed)
    return [
        {
            "organization_id": dice.choice(["a", "b"]),
            "project_id": dice.choice(["", "p"]),
            "agent_id": dice.choice(["smith", "jones"]),
            "provider": dice.choice(["openai", "anthropic"]),
            "model": dice.choice(["m1", "m2"]),
            "call_type": dice.choice(["agent_step", "embedding"]),
            "billing_plan_type": dice.choice(["", "basic"]),
            "is_byok": dice.randrange(2),
            "prompt_tokens": dice.randrange(2**32),
            "completion_tokens": dice.randrange(1000),
            "total_tokens": dice.randrange(2**32),
            "cached_input_tokens": dice.choice([None, 0, 7]),
            "cache_write_tokens": dice.choice([None, 0, 9]),
            "reasoning_tokens": dice.choice([None, 0, 11]),
            "cost_usd": dice.choice([None, Decimal("0.000000001"), Decimal("999999999.999999999")]),
            "request_size_bytes": dice.randrange(2**40),
            "response_size_bytes": dice.randrange(2**40),
            "is_error": dice.randrange(2),
            "outcome": dice.choice(["ok", "error", "cancelled"]),
            "usage_source": dice.choice(["reported", "partial", "unknown"]),
            "latency_ms": dice.choice([0, int(dice.lognormvariate(6.5, 1.5))]),
            "time_to_first_token_ms": dice.choice([None, 0, int(dice.lognormvariate(5.5, 1.5))]),
            "created_at": NOW_US - dice.randrange(hours * HOUR_US),
        }
        for _ in range(count)
    ]


def sums(store: Store) -> tuple[int, int]:
    """Return how many requests the rollup and the table have."""
    rollup = store.query("SELECT sum(requests) AS n FROM llm_usage_hourly")[0]["n"]
    return int(rollup), int(store.query("SELECT count() AS n FROM llm_traces")[0]["n"])


def test_sums_are_exact_and_quantiles_within_one_percent(store: Store) -> None:
    for seed in range(3):
        add_traces(store, calls(2_000, seed=seed))

    assert differences(store) == []
    assert sums(store) == (6_000, 6_000)
    assert not doubted(store)


def test_a_repeated_insert_counts_once(store: Store) -> None:
    columns, rows = trace_rows(store, calls(50))
    store.insert("llm_traces", columns, rows, token="t")
    store.insert("llm_traces", columns, rows, token="t")

    assert sums(store) == (50, 50)
    assert differences(store) == []


def test_a_rollup_that_misses_rows_is_noticed_and_rebuilt(store: Store) -> None:
    add_traces(store, [{"id": "a", "created_at": OVER_US}])
    store.run("TRUNCATE TABLE llm_usage_hourly")
    add_traces(store, [{"id": "b", "created_at": OVER_US}])
    Rollup(store).doubt_rows("a_test", "1", {})

    mend(store)

    assert sums(store) == (2, 2)
    assert differences(store) == []


def test_a_rollup_that_has_rows_twice_is_noticed_and_rebuilt(store: Store) -> None:
    add_traces(store, [{"id": "a", "created_at": OVER_US}])
    store.run("INSERT INTO llm_usage_hourly SELECT * FROM llm_usage_hourly")
    Rollup(store).doubt_rows("a_test", "1", {})
    assert sums(store) == (2, 1)

    mend(store)

    assert differences(store) == []


def test_rows_that_were_changed_are_noticed_and_summed_anew(store: Store) -> None:
    add_traces(store, [{"id": "a", "created_at": OVER_US, "cost_usd": Decimal(1)}])
    add_traces(store, [{"id": "gone", "created_at": OVER_US, "cost_usd": Decimal(1)}])
    Rollup(store).doubt_rows("a_test", "1", {})
    store.run("ALTER TABLE llm_traces UPDATE cost_usd = 2 WHERE id = 'a'", settings={"mutations_sync": 2})
    store.run("DELETE FROM llm_traces WHERE id = 'gone'")

    mend(store)

    assert differences(store) == []
    assert store.query("SELECT sum(cost_usd) AS usd FROM llm_usage_hourly") == [{"usd": Decimal(2)}]


def test_an_hour_that_agrees_is_relied_on_again_without_being_touched(store: Store) -> None:
    add_traces(store, calls(20))
    Rollup(store).doubt_rows("a_test", "1", {})

    done = Rollup(store).reconcile(quiet_seconds=0)

    assert len(done.agreed) >= 5
    assert done.rebuilt == []
    mend(store)


def test_an_hour_that_is_not_over_is_neither_compared_nor_rebuilt(store: Store) -> None:
    in_half_an_hour = time.time_ns() // 1000 + HOUR_US // 2  # the hour of a time that passed may be over
    add_traces(store, [{"created_at": in_half_an_hour}])
    store.run("TRUNCATE TABLE llm_usage_hourly")
    Rollup(store).doubt_rows("a_test", "1", {})

    assert Rollup(store).reconcile(quiet_seconds=0) == Reconciled()
    assert doubted(store) == 1


def test_of_many_menders_one_compares_an_hour_and_the_others_ask_one_question(store: Store) -> None:
    add_traces(store, [{"created_at": OVER_US}])
    store.run("TRUNCATE TABLE llm_usage_hourly")
    store.run(
        "INSERT INTO llm_usage_doubts (hour, at, reason)"
        " SELECT toStartOfHour(created_at), now64(6, 'UTC') - toIntervalHour(2), 'a_test' FROM llm_traces"
    )
    counted = [_Counting(store) for _ in range(20)]
    menders = [Rollup(one) for one in counted]

    for _ in range(3):
        for mender in menders:
            mender.reconcile(quiet_seconds=600)

    asked = [statement for one in counted for statement in one.statements]
    assert sum("fingerprint" in statement and "HAVING" in statement for statement in asked) == 1
    assert sum(statement.startswith("INSERT INTO llm_usage_hourly") for statement in asked) == 1


def test_a_mender_without_doubts_and_inserts_asks_nothing_after_its_first_look(store: Store) -> None:
    counted, now = _Counting(store), [0.0]
    mender = Rollup(counted, now=lambda: now[0])
    for _ in range(5):
        mender.reconcile()
        assert mender.doubted_hours() == 0
        now[0] += 3600
    assert len(counted.statements) == 1

    counted.inserts += 1
    for _ in range(60):
        now[0] += 60
        mender.reconcile()
    assert len(counted.statements) == 2


def test_a_young_doubt_is_left_alone(store: Store) -> None:
    add_traces(store, [{"created_at": OVER_US}])
    store.run("TRUNCATE TABLE llm_usage_hourly")
    Rollup(store).doubt_rows("a_test", "1", {})

    done = Rollup(store).reconcile()

    assert (done.agreed, done.rebuilt, doubted(store)) == ([], [], 1)


def test_a_rebuilt_hour_stays_in_doubt_until_it_has_been_compared(store: Store) -> None:
    add_traces(store, [{"created_at": OVER_US}])
    store.run("TRUNCATE TABLE llm_usage_hourly")
    Rollup(store).doubt_rows("a_test", "1", {})

    assert len(Rollup(store).reconcile(quiet_seconds=0).rebuilt) == 1
    assert doubted(store) == 1
    assert len(Rollup(store).reconcile(quiet_seconds=0).agreed) == 1


def test_a_crash_between_deleting_and_inserting_an_hour_heals(store: Store) -> None:
    add_traces(store, calls(50, hours=1))
    add_traces(store, [{"created_at": OVER_US}])
    store.run("INSERT INTO llm_usage_hourly SELECT * FROM llm_usage_hourly")
    rollup = Rollup(store)
    rollup.doubt_rows("a_test", f"created_at <= fromUnixTimestamp64Micro({OVER_US})", {})
    dying = Rollup(_DiesAfter(store, "DELETE FROM llm_usage_hourly"))
    with pytest.raises(_Died):
        dying.reconcile(quiet_seconds=0)
    assert doubted(store) == 1

    mend(store)

    over = datetime.fromtimestamp(OVER_US / 1e6, UTC).replace(minute=0, second=0, microsecond=0)
    found = store.query(
        "SELECT sum(requests) AS n FROM llm_usage_hourly WHERE hour = {h:DateTime}", {"h": over}
    )
    assert found == [{"n": 1}]


def test_of_several_that_mend_at_once_at_most_one_rebuilds_an_hour(store: Store) -> None:
    add_traces(store, [{"created_at": OVER_US}])
    store.run("TRUNCATE TABLE llm_usage_hourly")
    store.run(
        "INSERT INTO llm_usage_doubts (hour, at, reason)"
        " SELECT toStartOfHour(created_at), now64(6, 'UTC') - toIntervalHour(1), 'a_test' FROM llm_traces"
    )
    start = threading.Barrier(4)
    rebuilt: list[int] = []

    def one() -> None:
        start.wait()
        rebuilt.extend(Rollup(store).reconcile(quiet_seconds=1800).rebuilt)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(rebuilt) <= 1, "where all stepped back, it is rebuilt later"
    assert sums(store) == (len(rebuilt), 1)


@pytest.mark.chaos
def test_inserts_into_an_hour_that_is_being_rebuilt_are_neither_lost_nor_doubled(store: Store) -> None:
    add_traces(store, [{"created_at": OVER_US + n} for n in range(100)])
    store.run("TRUNCATE TABLE llm_usage_hourly")
    rollup = Rollup(store)
    rollup.doubt_rows("a_test", "1", {})
    over = threading.Event()

    def insert() -> None:
        while not over.is_set():
            add_traces(store, [{"created_at": OVER_US}] * 10)

    def settled() -> bool:
        rollup.reconcile(quiet_seconds=LONGEST_INSERT_SECONDS)
        return not doubted(store)

    writer = threading.Thread(target=insert)
    writer.start()
    try:
        until(lambda: rollup.reconcile(quiet_seconds=LONGEST_INSERT_SECONDS).rebuilt)
        until(lambda: rollup.reconcile(quiet_seconds=LONGEST_INSERT_SECONDS) != Reconciled())
    finally:
        over.set()
        writer.join()

    until(settled)
    assert differences(store) == []


def test_rows_from_before_the_view_are_answered_for_after_migrating(server: Store) -> None:
    for table in ("llm_usage_hourly_view", "llm_usage_hourly", "llm_usage_doubts", "llmledger_migrations"):
        server.run(f"DROP TABLE {table} SYNC")
    add_traces(server, calls(100))
    add_traces(server, [{"created_at": OVER_US - 40 * 24 * HOUR_US}])

    migrations.apply(server, Layout(ttl_days=90))
    add_traces(server, calls(100, seed=2))
    assert doubted(server) > 6
    moved = "ALTER TABLE llm_usage_doubts UPDATE at = at WHERE 1"
    server.run(moved, settings={"mutations_sync": 2})
    Rollup(server).reconcile(quiet_seconds=0)
    Rollup(server).reconcile(quiet_seconds=0)

    over = "hour < toStartOfHour(now('UTC'))"
    left = server.query(f"SELECT count() AS n FROM llm_usage_doubts WHERE {over}")
    assert left == [{"n": 0}]


def test_hours_of_which_rows_may_have_expired_are_never_rebuilt(store: Store) -> None:
    long_ago = NOW_US - 89 * 24 * HOUR_US
    add_traces(store, [{"id": "old", "created_at": long_ago, "ingested_at": NOW_US}])
    rollup = Rollup(store)
    rollup.doubt_rows("a_test", "1", {})
    store.run("TRUNCATE TABLE llm_traces")

    mend(store)

    assert sums(store) == (1, 0)


# By way of a daemon.


@pytest.fixture
def scene(engine: Engine, server_url: str, tmp_path: Path) -> Iterator[Scene]:
    without_faults()
    with running_scene(engine, server_url, tmp_path, settings={"orphan_grace_seconds": 0.3}) as running:
        yield running


def over() -> str:
    """Return a time of call in an hour that is over, for records."""
    return (datetime.now(UTC) - timedelta(hours=3)).isoformat()


def send(scene: Scene, name: str, count: int) -> None:
    lines = [line(f"{name}-{n}", n, timestamp=over()) for n in range(count)]
    scene.daemon.send_one_way(b"".join(lines))


def test_an_insert_whose_answer_was_lost_puts_its_hour_in_doubt_and_counts_once(scene: Scene) -> None:
    scene.engine.fault("commit_then_cut", only=INSERT)
    send(scene, "a", 30)
    scene.settled(30)
    scene.bitten("commit_then_cut")

    assert doubted(scene.table) == 1
    assert differences(scene.table) == []
    mend(scene.table)
    assert differences(scene.table) == []


def test_a_view_that_fails_after_the_table_s_commit_is_made_up_for(scene: Scene) -> None:
    scene.table.run("ALTER TABLE llm_usage_hourly ADD CONSTRAINT never CHECK requests = 0")
    send(scene, "a", 30)
    status = scene.settled(30)
    assert (status["stored"], status["dead_letters"]) == (30, 0)
    assert sums(scene.table) == (0, 30)
    scene.table.run("ALTER TABLE llm_usage_hourly DROP CONSTRAINT never")
    assert doubted(scene.table) == 1

    mend(scene.table)

    assert differences(scene.table) == []


def test_records_wait_for_a_rollup_that_is_away(scene: Scene) -> None:
    send(scene, "before", 1)
    scene.settled(1)
    scene.table.run("RENAME TABLE llm_usage_hourly TO elsewhere")
    send(scene, "a", 30)
    until(lambda: "llm_usage_hourly" in scene.status()["store"], limit=20)
    scene.table.run("RENAME TABLE elsewhere TO llm_usage_hourly")
    scene.settled(31)

    mend(scene.table)

    assert sums(scene.table) == (31, 31)
    assert differences(scene.table) == []


def test_an_abandoned_row_that_is_replaced_leaves_the_rollup_too(scene: Scene) -> None:
    begin = f'{{"protocol_version":4,"begin":{{"provider_trace_id":"late","timestamp":"{over()}"}}}}\n'
    scene.daemon.send_one_way(begin.encode())
    until(lambda: scene.outcomes() == {"late": "abandoned"}, limit=20)
    scene.daemon.send_one_way(line("late", 1, timestamp=over()))
    until(lambda: not scene.table.query("SELECT 1 FROM llm_traces WHERE outcome = 'abandoned'"), limit=20)
    scene.settled(2)

    mend(scene.table)

    assert sums(scene.table) == (1, 1)
    assert differences(scene.table) == []


class _Died(LlmledgerdError):
    pass


class _Counting(Store):
    """A store that keeps the statements that it is sent."""

    def __init__(self, store: Store) -> None:
        self.__dict__ = dict(store.__dict__)
        self.statements: list[str] = []

    def run(self, statement: str, *values: object, **named: object) -> None:
        self.statements.append(statement)
        super().run(statement, *values, **named)  # type: ignore[arg-type]  # passed on as they came

    def query(self, sql: str, *values: object, **named: object) -> list[dict[str, Any]]:
        self.statements.append(sql)
        return super().query(sql, *values, **named)  # type: ignore[arg-type]  # as above


class _DiesAfter(Store):
    """A store whose user dies after a statement that begins so."""

    def __init__(self, store: Store, statement: str) -> None:
        self.__dict__ = store.__dict__
        self._last = statement

    def run(self, statement: str, *values: object, **named: object) -> None:
        super().run(statement, *values, **named)  # type: ignore[arg-type]  # passed on as they came
        if statement.startswith(self._last):
            raise _Died
