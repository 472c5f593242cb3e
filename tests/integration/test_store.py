"""The store keeps its promises on the real engine, and says truly what became of a batch when it cannot."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmledgerd.errors import BatchRejected, ConfigError, OutcomeUnknown, StoreBusy
from llmledgerd.records.timestamps import NEVER_US
from llmledgerd.stores.clickhouse import requirements, sink
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.error_codes import IMPOSSIBLE, REFUSED, UNCERTAIN
from llmledgerd.stores.clickhouse.sink import ClickHouseSink
from tests.helpers.engine import Engine, running_engine, without_faults
from tests.helpers.store_rows import add_traces, trace_rows

LOSS = (
    "at",
    "host",
    "service",
    "session",
    "stage",
    "reason",
    "count",
    "batch_id",
    "batch_row",
    "ingested_at",
)


def losses(batch: str, numbers: range) -> list[tuple[object, ...]]:
    """Return small rows of llm_trace_losses, numbered within one batch."""
    now = time.time_ns() // 1000
    return [(now, "h", "s", "", "client", "buffer_full", n, batch, n, now + n) for n in numbers]


def stored(store: Store) -> int:
    return int(store.query("SELECT count() AS n FROM llm_trace_losses")[0]["n"])


def insert(store: Store, batch: str, numbers: range, token: str = "") -> None:
    store.insert("llm_trace_losses", LOSS, losses(batch, numbers), token or f"{batch}:{numbers}")


@pytest.fixture
def batch() -> str:
    return str(uuid.uuid4())


def test_values_come_back_as_they_were_given(store: Store) -> None:
    given = {
        "id": "it's\\ \n\t odd",
        "agent_tags": ["a'b", ""],
        "request_json": b'{"bytes":"\xff\xfe\x00"}',
        "cached_input_tokens": 0,
        "cache_write_tokens": None,
        "total_tokens": 2**32 - 1,
        "cost_usd": Decimal("0.000000001"),
        "model": "gpt-\u00fc\U0001f600",
        "created_at": 1_600_000_000_123_456,
    }
    add_traces(store, [given, {}])

    rows = store.query(
        f"SELECT {', '.join(given)} FROM llm_traces WHERE id = {{id:String}}",
        {"id": given["id"]},
        raw=["request_json"],
    )

    assert len(rows) == 1
    at = rows[0].pop("created_at")
    assert at.tzinfo is not None
    assert round(at.timestamp() * 1_000_000) == given.pop("created_at")
    assert rows[0] == given


def test_times_before_1970_and_zero_survive(store: Store) -> None:
    add_traces(store, [{"id": "old", "created_at": -1_000_000}])

    rows = store.query("SELECT toUnixTimestamp64Micro(created_at) AS us FROM llm_traces WHERE id = 'old'")

    assert rows == [{"us": -1_000_000}]


def test_one_insert_is_one_part_and_one_commit(store: Store) -> None:
    columns, rows = trace_rows(store, [{"request_json": b"x" * 5_000}] * 2_000)
    store.insert("llm_traces", columns, rows, "one")

    parts = store.query(
        "SELECT rows FROM system.parts WHERE active AND table = 'llm_traces' AND database = currentDatabase()"
    )

    assert parts == [{"rows": 2_000}]


def test_a_repeat_under_the_same_token_is_ignored_although_its_rows_differ(store: Store, batch: str) -> None:
    insert(store, batch, range(3), token="t")
    insert(store, batch, range(100, 105), token="t")

    assert stored(store) == 3


def test_equal_rows_under_two_tokens_are_both_stored(store: Store, batch: str) -> None:
    rows = losses(batch, range(3))
    store.insert("llm_trace_losses", LOSS, rows, "one")
    store.insert("llm_trace_losses", LOSS, rows, "two")

    assert stored(store) == 6


def test_a_repeat_is_stored_again_once_the_window_has_passed(server: Store, batch: str) -> None:
    """Why the daemon asks first: the server forgets a token after the window's number of inserts."""
    server.run("ALTER TABLE llm_trace_losses MODIFY SETTING non_replicated_deduplication_window = 3")
    insert(server, batch, range(2), token="t")
    for other in range(4):
        insert(server, str(uuid.uuid4()), range(1), token=f"other {other}")
    insert(server, batch, range(2), token="t")

    assert stored(server) == 2 + 4 + 2
    assert ClickHouseSink(server).landed_rows("llm_trace_losses", batch, 0, 2**60) == {0, 1}


def test_a_repeat_is_not_added_to_a_view_s_target_either(store: Store, batch: str) -> None:
    store.run(
        "CREATE TABLE sums (reason String, n UInt64) ENGINE = SummingMergeTree ORDER BY reason"
        " SETTINGS non_replicated_deduplication_window = 1000"
    )
    store.run(
        "CREATE MATERIALIZED VIEW to_sums TO sums AS SELECT reason, count() AS n FROM llm_trace_losses GROUP BY reason"
    )
    for _ in range(3):
        insert(store, batch, range(5))

    assert store.query("SELECT sum(n) AS n FROM sums") == [{"n": 5}]


def test_the_table_tells_which_rows_of_a_batch_it_has(store: Store, batch: str) -> None:
    insert(store, batch, range(2, 5))
    insert(store, str(uuid.uuid4()), range(9))
    first, last = losses(batch, range(5))[0][-1], losses(batch, range(5))[-1][-1]
    assert isinstance(first, int)
    assert isinstance(last, int)

    assert ClickHouseSink(store).landed_rows("llm_trace_losses", batch, first - 10**9, last + 10**9) == {
        2,
        3,
        4,
    }
    assert ClickHouseSink(store).landed_rows("llm_trace_losses", batch, first + 10**9, last + 10**9) == set()


def test_asking_for_more_ids_than_a_url_holds_works(store: Store) -> None:
    add_traces(store, [{"id": "call-1"}, {"id": "it's 2"}, {"id": "gone", "outcome": "abandoned"}])
    ids = [*(f"unknown-{n}-{chr(39) * 110}" for n in range(2_500)), "call-1", "it's 2", "gone"]
    calls = [("", call) for call in ids] + [(f"o-{n}-{'x' * 120}", "call-1") for n in range(2_000)]
    now, other = time.time_ns() // 1000, str(uuid.uuid4())

    found = ClickHouseSink(store).calls_present(calls, now - 10**9, now + 10**9, besides=other)
    assert found == {("", "call-1"), ("", "it's 2")}
    assert ClickHouseSink(store).calls_present(calls, now + 10**9, now + 10**10, besides=other) == set()


OLDEST_US = 1_780_000_000_000_000
HOUR_US = 3_600_000_000


def read_rows(store: Store, condition: str, **values: object) -> int:
    """Return how many rows the engine would read to answer which calls fulfill a condition."""
    asked = {"organizations": ["org-0"], "besides": str(uuid.uuid4()), **values}
    found = store.query(f"EXPLAIN ESTIMATE SELECT id FROM llm_traces WHERE {condition}", asked)
    return sum(int(row["rows"]) for row in found)


def test_a_call_is_looked_up_in_its_own_hours_or_where_its_id_may_be(store: Store) -> None:
    """Two organizations with 250 calls an hour each, for 42 days."""
    rows, first = 500_000, f"fromUnixTimestamp64Micro({OLDEST_US} + intDiv(number, 500) * {HOUR_US})"
    store.run(
        "INSERT INTO llm_traces (id, organization_id, outcome, created_at, ingested_at)"
        f" SELECT toString(number), 'org-' || toString(number % 2), 'ok', {first}, {first} FROM numbers({rows})"
    )
    middle = OLDEST_US + 500 * HOUR_US
    day = 24 * HOUR_US
    around = {"from_us": middle - day, "to_us": middle + day}
    many = [str(number) for number in range(0, 2000, 2)]
    # An abandoned row is asked for within a day of the record's own start, however many records come late.
    assert read_rows(store, sink.GIVEN_UP, ids=many, **around) < rows / 10
    # A repeat is asked for from a month before its start on, and read only where its id may be.
    since = {"from_us": middle - 31 * day, "to_us": NEVER_US}
    assert read_rows(store, sink.OTHER_CALLS, ids=["250000"], **since) < rows / 10


def test_late_calls_are_asked_for_by_id_only_where_a_call_of_their_time_was_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    query = store.query

    def noted(statement: str, *rest: Any, **more: Any) -> list[dict[str, Any]]:
        statements.append(statement)
        return query(statement, *rest, **more)

    monkeypatch.setattr(store, "query", noted)
    add_traces(store, [{"id": "a"}])
    assert ClickHouseSink(store).calls_abandoned([("", "a")], 0, NEVER_US) == set()
    assert not any("{ids:" in statement for statement in statements)

    add_traces(store, [{"id": "a", "outcome": "abandoned"}, {"id": "b", "outcome": "abandoned"}])
    assert ClickHouseSink(store).calls_abandoned([("", "a"), ("o", "b")], 0, NEVER_US) == {("", "a")}
    assert any("{ids:" in statement for statement in statements)


def test_abandoned_rows_are_deleted_and_others_never(store: Store) -> None:
    abandoned = {"outcome": "abandoned"}
    add_traces(
        store,
        [
            {"id": "a", **abandoned},
            {"id": "a"},
            {"id": "a", "organization_id": "o", **abandoned},
            {"id": "b", **abandoned},
        ],
    )

    ClickHouseSink(store).delete_abandoned([("", "a"), ("o", "b"), ("", "c")])

    rows = store.query("SELECT id, organization_id, outcome FROM llm_traces ORDER BY id, organization_id")
    assert [tuple(row.values()) for row in rows] == [
        ("a", "", ""),
        ("a", "o", "abandoned"),
        ("b", "", "abandoned"),
    ]


def test_a_value_that_does_not_encode_rejects_the_batch_and_names_its_column(
    store: Store, batch: str
) -> None:
    rows = [*losses(batch, range(2)), (*losses(batch, range(1))[0][:6], "many", batch, 7, 0)]

    with pytest.raises(BatchRejected, match="count"):
        store.insert("llm_trace_losses", LOSS, rows, "t")

    assert stored(store) == 0


def test_rows_that_the_table_forbids_reject_the_batch(server: Store, batch: str) -> None:
    server.run("ALTER TABLE llm_trace_losses ADD CONSTRAINT small CHECK batch_row < 2")

    with pytest.raises(BatchRejected) as caught:
        insert(server, batch, range(3))

    assert caught.value.code == 469
    assert stored(server) == 0


def test_a_table_that_was_dropped_is_busy_and_heals_once_it_is_back(server: Store, batch: str) -> None:
    insert(server, batch, range(1))
    server.run("RENAME TABLE llm_trace_losses TO away")
    for _ in range(2):
        with pytest.raises(StoreBusy) as caught:
            insert(server, batch, range(1, 2))
        assert (type(caught.value), caught.value.kind) == (StoreBusy, "missing_table")

    server.run("RENAME TABLE away TO llm_trace_losses")
    insert(server, batch, range(1, 2))

    assert stored(server) == 2


def test_a_column_that_is_missing_is_busy_and_heals_once_it_is_there(server: Store, batch: str) -> None:
    columns, rows = (*LOSS, "color"), [(*row, "red") for row in losses(batch, range(2))]
    with pytest.raises(StoreBusy, match="color") as caught:
        server.insert("llm_trace_losses", columns, rows, "t")
    assert caught.value.kind == "missing_column"

    server.run("ALTER TABLE llm_trace_losses ADD COLUMN color String")
    server.insert("llm_trace_losses", columns, rows, "t")

    assert stored(server) == 2


def test_a_table_of_other_types_takes_our_values(server: Store, batch: str) -> None:
    """Tables that others made may keep coarser times and plain strings."""
    server.run("DROP TABLE llm_trace_losses")
    server.run(
        "CREATE TABLE llm_trace_losses (at DateTime, host String, service FixedString(4), session LowCardinality(Nullable(String)),"
        " stage String, reason String, count UInt8, batch_id String, batch_row UInt64, ingested_at DateTime64(3)) ENGINE = MergeTree ORDER BY at"
    )
    insert(server, batch, range(2))

    rows = server.query(
        "SELECT DISTINCT batch_id, abs(now() - at) < 100 AS fresh, abs(now() - ingested_at) < 100 AS f FROM llm_trace_losses"
    )
    assert rows == [{"batch_id": batch, "fresh": 1, "f": 1}]


def test_inserts_and_queries_from_many_threads_are_each_whole(store: Store) -> None:
    batches = [str(uuid.uuid4()) for _ in range(12)]

    def work(batch: str) -> int:
        insert(store, batch, range(50))
        return len(ClickHouseSink(store).landed_rows("llm_trace_losses", batch, 0, 2**60))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, batches)) == [50] * 12
    assert stored(store) == 12 * 50


def test_a_slow_query_does_not_hold_up_an_insert(tmp_path: Path, batch: str) -> None:
    store = Store(f"chdb://{tmp_path / 'clickhouse'}")
    store.run("CREATE TABLE t (x UInt8) ENGINE = MergeTree ORDER BY x")
    ended = threading.Event()

    def slow() -> None:
        store.query("SELECT sleepEachRow(0.05) AS s FROM numbers(20) SETTINGS max_block_size = 1")
        ended.set()

    thread = threading.Thread(target=slow)
    thread.start()
    try:
        store.insert("t", ["x"], [(1,)], "t")
        assert not ended.is_set()
    finally:
        thread.join()
        store.close()


def test_an_embedded_store_that_another_process_has_open_is_named_with_its_owner(tmp_path: Path) -> None:
    with (
        running_engine(tmp_path / "data") as engine,
        pytest.raises(ConfigError, match=f"process {engine.pid}"),
    ):
        Store(f"chdb://{tmp_path / 'data'}").version()


def test_closing_lets_another_folder_be_opened(tmp_path: Path) -> None:
    for name in ("one", "two"):
        store = Store(f"chdb://{tmp_path / name}")
        assert store.version()
        store.close()


def test_opening_the_embedded_engine_leaves_signals_to_asyncio(tmp_path: Path) -> None:
    script = f"""
import asyncio, os, signal, uvloop
from llmledgerd.stores.clickhouse.client import Store

async def main():
    loop = asyncio.get_running_loop()
    heard = asyncio.Queue()
    signals = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    for number in signals:
        loop.add_signal_handler(number, heard.put_nowait, number)
    store = Store("chdb://{tmp_path / "data"}")
    await asyncio.to_thread(store.version)
    for number in signals:
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(heard.get(), 5) == number
    store.close()

uvloop.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr


def test_a_server_that_is_not_there_is_busy(tmp_path: Path) -> None:
    store = Store("http://127.0.0.1:1/default", timeout_seconds=5)

    with pytest.raises(StoreBusy, match=r"http://127.0.0.1:1: .*Connection refused") as caught:
        insert(store, str(uuid.uuid4()), range(1))

    assert (type(caught.value), caught.value.kind) == (StoreBusy, "unreachable")


def test_the_names_of_the_codes_are_the_engine_s(store: Store) -> None:
    names = {**{k: v[0] for k, v in {**REFUSED, **UNCERTAIN}.items()}, **IMPOSSIBLE}
    rows = store.query(
        "SELECT code, errorCodeToName(code) AS name FROM (SELECT arrayJoin({codes:Array(Int32)}) AS code)",
        {"codes": list(names)},
    )

    assert {row["code"]: row["name"] for row in rows} == names


# From here on something goes wrong between the daemon and its server.


@pytest.fixture
def faulty(engine: Engine, server: Store) -> Store:
    without_faults()
    server.columns("llm_trace_losses")  # a connection is open before anything goes wrong
    return server


@pytest.mark.parametrize("fault", ["commit_then_cut", "commit_then_status"])
def test_an_answer_lost_after_the_commit_is_unknown_and_the_table_knows(
    faulty: Store, engine: Engine, batch: str, fault: str
) -> None:
    engine.fault(fault, only="llm_trace_losses")
    with pytest.raises(OutcomeUnknown):
        insert(faulty, batch, range(4))
    assert engine.bitten()[fault] >= 1

    assert ClickHouseSink(faulty).landed_rows("llm_trace_losses", batch, 0, 2**60) == {0, 1, 2, 3}
    insert(faulty, batch, range(4))

    assert stored(faulty) == 4


def test_a_connection_cut_before_the_commit_is_unknown_and_sent_once(
    faulty: Store, engine: Engine, batch: str
) -> None:
    """The driver would send the block again by itself; whoever asks first must be us."""
    before = engine.bitten()["cut"]
    engine.fault("cut", times=5, only="INSERT INTO llm_trace_losses")
    with pytest.raises(OutcomeUnknown):
        insert(faulty, batch, range(4))

    assert engine.bitten()["cut"] == before + 1
    engine.release()
    assert ClickHouseSink(faulty).landed_rows("llm_trace_losses", batch, 0, 2**60) == set()


def test_a_server_that_hangs_is_given_up_after_the_time_out(
    engine: Engine, faulty: Store, batch: str, server_url: str
) -> None:
    hasty = Store(server_url, timeout_seconds=1)
    hasty.columns("llm_trace_losses")
    engine.fault("stall", only="INSERT INTO llm_trace_losses")
    with pytest.raises(OutcomeUnknown) as caught:
        insert(hasty, batch, range(4))
    assert caught.value.kind == "timeout"

    engine.release()
    insert(hasty, batch, range(4))  # joins the one that was stalled, under the same token
    hasty.close()

    assert stored(faulty) == 4


@pytest.mark.parametrize(
    ("code", "expected", "kind"),
    [
        (202, StoreBusy, "overloaded"),
        (252, OutcomeUnknown, "too_many_parts"),
        (241, OutcomeUnknown, "memory"),
    ],
)
def test_an_error_code_of_the_server_is_told_by_its_kind(
    faulty: Store, engine: Engine, batch: str, code: int, expected: type[StoreBusy], kind: str
) -> None:
    engine.fault("error", code=code, only="llm_trace_losses")
    with pytest.raises(StoreBusy) as caught:
        insert(faulty, batch, range(2))
    assert (type(caught.value), caught.value.kind) == (expected, kind)

    insert(faulty, batch, range(2))
    assert stored(faulty) == 2


def test_an_earlier_failure_does_not_color_the_next(faulty: Store, engine: Engine, batch: str) -> None:
    """An insert that is tried again while "unreachable" is being handled is still an insert that was sent."""
    engine.fault("commit_then_cut", only="INSERT INTO llm_trace_losses")

    def insert_while_handling_another_failure() -> None:
        try:
            insert(Store("http://127.0.0.1:1/default"), batch, range(1))
        except StoreBusy:
            insert(faulty, batch, range(1))

    with pytest.raises(OutcomeUnknown):
        insert_while_handling_another_failure()

    assert stored(faulty) == 1


def test_a_query_that_fails_leaves_nothing_to_ask_about(faulty: Store, engine: Engine) -> None:
    engine.fault("cut", times=3, only="SELECT count()")

    with pytest.raises(StoreBusy) as caught:
        stored(faulty)

    assert type(caught.value) is StoreBusy


def test_a_server_that_dies_and_comes_back_is_used_again(tmp_path: Path, batch: str) -> None:
    with running_engine(tmp_path / "data") as engine:
        store = Store(engine.url, timeout_seconds=10)
        store.run("CREATE TABLE t (x UInt8) ENGINE = MergeTree ORDER BY x SETTINGS fsync_after_insert = 1")
        store.insert("t", ["x"], [(1,)], "one")
        engine.kill()
        with pytest.raises(StoreBusy):
            store.insert("t", ["x"], [(2,)], "two")
        engine.start()
        store.insert("t", ["x"], [(2,)], "two")

        assert store.query("SELECT sum(x) AS n FROM t") == [{"n": 3}]
        store.close()


def test_a_compressed_insert_is_stored_byte_for_byte(server: Store, server_url: str) -> None:
    body = "é".encode() * 100_000 + b"\xff"
    with contextlib.closing(Store(server_url, compression="zstd")) as packed:
        add_traces(packed, [{"request_json": body}] * 3)
    rows = server.query("SELECT request_json FROM llm_traces", raw=["request_json"])
    assert [row["request_json"] for row in rows] == [body] * 3


def test_a_server_where_the_daemon_may_do_everything_is_not_refused(server: Store) -> None:
    assert requirements.unmet(server) == []
