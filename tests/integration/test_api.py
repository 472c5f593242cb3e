"""``/v1``: who is let in, what is refused, and that it holds up nothing."""

from __future__ import annotations

import asyncio
import json
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmledger import TraceClient
from llmledgerd.stores.clickhouse import query_tree, readonly_sql
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.readonly_sql import ReadOnlySql
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.exchanges import line, openai_chat
from tests.helpers.migrated_databases import Lend, copy_migrated
from tests.helpers.operators_sql import HOSTILE, LEGITIMATE, REACHING
from tests.helpers.places import Places, http, places
from tests.helpers.store_rows import add_traces
from tests.helpers.waiting import until

SECRET = "a secret that lies in a file of the host"
SLOW = "SELECT max(cityHash64(number)) FROM numbers(1000000000000)"
"""Some hours of computing: it ends when somebody ends it."""
NO_TIME = {**readonly_sql.LIMITS, "max_execution_time": 1}


@pytest.fixture(scope="module")
def there(lend: Lend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    rows = [{"id": f"{org}-1", "organization_id": org} for org in ("a", "b")]
    with lend() as url, places(url, tmp_path_factory.mktemp("p"), rows) as found:
        yield found


# Who is let in.


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_open_to_everybody(there: Places, path: str) -> None:
    assert (await http(there.tcp, path))[0] == 200


@pytest.mark.parametrize(
    "path", ["/v1/calls?organization_id=a", "/v1/status", "/v1/openapi.json", "/v1/call?id=a-1", "/v1/losses"]
)
async def test_on_tcp_nobody_is_let_in_without_a_token(there: Places, path: str) -> None:
    for token in ("", "wrong", there.only_a[:-1], "Bearer"):
        status, kind, said = await http(there.tcp, path, token=token)
        assert (status, kind, said["status"]) == (401, "application/problem+json", 401)


async def test_a_token_for_an_organization_sees_that_one_and_nothing_of_the_daemon(there: Places) -> None:
    async def status(path: str, **more: Any) -> int:
        return (await http(there.tcp, path, token=there.only_a, **more))[0]

    code, _, page = await http(there.tcp, "/v1/calls", token=there.only_a)
    assert (code, [call["id"] for call in page["calls"]]) == (200, ["a-1"])
    assert await status("/v1/call?id=a-1&organization_id=a") == 200
    assert await status("/v1/call?id=b-1") == 404
    assert await status("/v1/call?id=b-1&organization_id=b") == 403
    assert await status("/v1/calls?organization_id=") == 403
    assert await status("/v1/calls?all_organizations=true") == 403
    assert await status("/v1/calls?all_organizations=TRUE") == 400
    assert await status("/v1/calls?organization_id=a&organization_id=b") == 400
    assert await status("/v1/losses") == 400
    assert await status("/v1/status") == 403
    assert await status("/v1/sql", method="POST", data="SELECT 1") == 403
    assert await status("/v1/openapi.json") == 200


async def test_an_operator_says_whose_rows_are_meant(there: Places) -> None:
    code, _, said = await http(there.tcp, "/v1/calls", token=there.operator)
    assert (code, said["detail"][:23]) == (400, "missing organization_id")
    code, _, page = await http(there.tcp, "/v1/calls?all_organizations=true", token=there.operator)
    assert (code, len(page["calls"])) == (200, 2)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/nothing", 404),
        ("/v1/calls?organization_id=a&limit=0", 400),
        ("/v1/calls?organization_id=a&color=red", 400),
        ("/v1/calls?organization_id=a&cursor=1", 400),
        ("/v1/usage?organization_id=a&group_by=color", 400),
        ("/v1/call?organization_id=a", 400),
        ("/v1/call?organization_id=a&id=nobody", 404),
    ],
)
async def test_what_goes_wrong_is_a_problem_object(there: Places, path: str, code: int) -> None:
    status, kind, said = await http(there.tcp, path, token=there.operator)

    assert (status, kind, said["status"]) == (code, "application/problem+json", code)
    assert said["title"]
    assert said["detail"]


async def test_money_is_text_and_times_are_utc(there: Places) -> None:
    _, _, usage = await http(there.tcp, "/v1/usage?organization_id=a", token=there.operator)
    _, _, page = await http(there.tcp, "/v1/calls?organization_id=a", token=there.operator)

    assert usage[0]["cost_usd"] == "0"
    assert page["calls"][0]["created_at"].endswith("Z")


def test_status_tells_speed_and_lag(tmp_path: Path, engine: Engine, server_url: str) -> None:
    with RunningDaemon(tmp_path, url=server_url) as daemon:
        engine.fault("stall", only="INSERT INTO llm_traces ")
        daemon.send_one_way(b"".join(line(f"c-{n}", n) for n in range(50)))
        socket = daemon.folder / "admin.sock"
        until(lambda: admin.status(socket)["lag_seconds"] > 0)
        until(lambda: admin.status(socket)["received_per_second"] > 0)
        engine.release()
        until(lambda: not admin.status(socket)["in_spool"])
        assert admin.status(socket)["lag_seconds"] == 0
        until(lambda: admin.status(socket)["stored_per_second"] > 0)


# SQL of operators.

HARMLESS = [
    "SELECT 1",
    "select id from llm_traces order by created_at desc limit 3;",
    "SELECT model, count(), quantile(0.5)(latency_ms), sumIf(total_tokens, is_error = 1) FROM llm_traces"
    " WHERE created_at > now() - INTERVAL 1 DAY GROUP BY model ORDER BY 2 DESC",
    "WITH x AS (SELECT 1 AS a) SELECT a, toStartOfHour(now()), JSONExtractString('{\"a\":\"b\"}', 'a'),"
    " arrayMap(v -> v * 2, [1, 2]), CASE WHEN a = 1 THEN 'x' ELSE 'y' END, a::String, sum(a) OVER (PARTITION BY a) FROM x",
    "SELECT * EXCEPT request_json FROM llm_traces",
    "SELECT l.reason FROM llm_traces AS t LEFT JOIN llm_trace_losses AS l ON l.batch_id = t.batch_id",
    "SELECT 'a;b', ')', '-- x', '/*' /* ; ) */ -- ; DROP TABLE llm_traces",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "SELECT name FROM system.tables UNION ALL SELECT name FROM system.columns",
    "SELECT number FROM numbers(3)",
    "SELECT uniqExact(id), quantilesBFloat16Merge(0.5, 0.95, 0.99)(latency_quantiles) FROM llm_traces, llm_usage_hourly",
]


@pytest.fixture(scope="module", params=["embedded", "server"])
def guarded(
    request: pytest.FixtureRequest, lend: Lend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Store]]:
    """Return the URL of a store with a row, and a way past all guards."""
    if request.param == "embedded":
        folder = tmp_path_factory.mktemp("s") / "data"
        copy_migrated(folder)
        opened = _filled(f"chdb://{folder}")
        yield opened
        opened[1].close()
        return
    with lend() as url:
        opened = _filled(url)
        yield opened
        opened[1].close()


@pytest.fixture(scope="module")
def read_only(guarded: tuple[str, Store]) -> Iterator[ReadOnlySql]:
    sql = ReadOnlySql(guarded[0])
    yield sql
    sql.close()


def _filled(url: str) -> tuple[str, Store]:
    store = Store(url)
    add_traces(store, [{"id": "kept"}])
    return url, store


@pytest.mark.parametrize("statement", HARMLESS)
def test_what_only_reads_the_store_is_run(read_only: ReadOnlySql, statement: str) -> None:
    _is_run(read_only, statement)


# The engine and the judge are the same; only the way there is another.
@pytest.mark.parametrize(
    "guarded", ["embedded", pytest.param("server", marks=pytest.mark.chaos)], indirect=True, scope="module"
)
@pytest.mark.parametrize("statement", LEGITIMATE)
def test_what_operators_need_is_run(read_only: ReadOnlySql, statement: str) -> None:
    _is_run(read_only, statement)


def _is_run(sql: ReadOnlySql, statement: str) -> None:
    found = sql.run(statement)
    assert found.columns or not found.rows  # the embedded engine names the columns of rows


def test_nothing_that_writes_or_reaches_elsewhere_is_run(guarded: tuple[str, Store], tmp_path: Path) -> None:
    """In one test, as each statement may only be refused, and the next one must find the guard unharmed."""
    url, store = guarded
    file, out = tmp_path / "secret", tmp_path / "written"
    file.write_text(SECRET)
    sql = ReadOnlySql(url)
    for template in HOSTILE:
        statement = template.replace("{file}", str(file)).replace("{out}", str(out))
        with pytest.raises(ValueError) as refused:  # noqa: PT012 -- what ran instead has to be named
            sql.run(statement)
            pytest.fail(f"was run: {statement}")
        assert SECRET not in str(refused.value), statement
        assert not out.exists(), statement
    sql.close()
    assert [row["id"] for row in store.query("SELECT id FROM llm_traces")] == ["kept"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT groupArrayState(number) FROM numbers(3)", "cannot be returned"),
        ("SELECT [countState()]", "cannot be returned"),
        ("SELECT CAST(sumState(1) AS Dynamic)", "cannot be returned"),
        ("SELECT * FROM llm_usage_hourly", "cannot be returned"),
        ("SELECT map([1], 2)", "cannot be returned"),
        ("SELECT fromUnixTimestamp64Second(-9223372036854775807)", "cannot be returned"),
        (f"SELECT {'[' * 500}1{']' * 500}", "too deeply"),
        ("SELECT groupArray(number) FROM numbers(1000000000)", "more memory"),
        ("SELECT intDiv(1, 0)", "Division by zero"),
        ("SELECT toUInt8('x')", "Cannot parse"),
        ("SELECT match('x', '(')", "missing"),
    ],
)
def test_a_statement_at_fault_is_refused_in_one_line_and_the_next_one_is_run(
    read_only: ReadOnlySql, statement: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        read_only.run(statement)
    assert "\n" not in str(refused.value)
    assert read_only.run("SELECT 1").rows == [[1]]


def test_a_statement_that_runs_out_of_time_is_at_fault(
    guarded: tuple[str, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly_sql, "LIMITS", NO_TIME)
    sql = ReadOnlySql(guarded[0])
    try:
        with pytest.raises(ValueError, match="takes longer than it may"):
            sql.run(SLOW)
    finally:
        sql.close()


def test_an_embedded_engine_keeps_no_memory_of_a_statement(guarded: tuple[str, Store]) -> None:
    url, store = guarded
    if not store.is_embedded:
        pytest.skip("a server's memory is its own")
    sql = ReadOnlySql(url)
    sql.run("SELECT 1")
    before = _resident_bytes()
    for _ in range(2):
        with pytest.raises(ValueError, match="more memory"):
            sql.run("SELECT groupArray(number) FROM numbers(1000000000)")
    assert _resident_bytes() < before + (200 << 20)
    sql.close()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_statement_that_grows_while_it_is_resolved_is_refused(guarded: tuple[str, Store]) -> None:
    url, _ = guarded
    sql = ReadOnlySql(url)
    lambdas = ", ".join(f"(x -> f{i}(f{i}(x))) AS f{i + 1}" for i in range(24))
    aliases = ", ".join(f"a{i} + a{i} AS a{i + 1}" for i in range(16))
    with pytest.raises(ValueError, match="used in another lambda"):
        sql.run(f"WITH (x -> x) AS f0, {lambdas} SELECT f24(1)")
    with pytest.raises(ValueError, match="too big"):
        sql.run(f"WITH number AS a0, {aliases} SELECT a16 FROM numbers(1)")
    assert sql.run("WITH (x -> x * 2) AS f SELECT f(f(number)) FROM numbers(2)").rows == [[0], [4]]
    sql.close()


def test_an_answer_has_a_largest_size(guarded: tuple[str, Store]) -> None:
    sql = ReadOnlySql(guarded[0])
    found = sql.run("SELECT number FROM numbers(1000000)")
    sql.close()

    assert (len(found.rows), found.more) == (10_000, True)


def test_an_answer_that_is_too_large_is_refused_by_its_bytes(guarded: tuple[str, Store]) -> None:
    sql = ReadOnlySql(guarded[0])
    with pytest.raises(ValueError, match="more than 16777216 bytes"):
        sql.run("SELECT repeat('x', 100000) FROM numbers(10000)")
    sql.close()


def test_no_function_that_is_allowed_reaches_beyond_its_arguments(guarded: tuple[str, Store]) -> None:
    ordinary, aggregates = query_tree.allowed()
    rows = guarded[1].query(
        "SELECT lower(name) AS name, is_aggregate, origin, categories FROM system.functions"
    )
    reaching = {"AI", "Dictionary", "Embedded Dictionary", "Encryption", "Introspection", "Machine Learning"}
    assert not [
        row["name"] for row in rows if row["categories"] in reaching and row["name"] in ordinary | aggregates
    ]
    assert not [name for name in REACHING if query_tree.is_allowed(name)]
    assert not [
        row["name"] for row in rows if row["origin"] != "System" and query_tree.is_allowed(row["name"])
    ]
    assert {row["name"] for row in rows if row["is_aggregate"]} >= aggregates
    touching = re.compile(
        "^(file|url$|s3|hdfs|remote|cluster|get(?!subcolumn)|current(?!_?database|_date|_timestamp)|server|host|fqdn|dict|join|initial|query"
        "|sleep|zookeeper|process|tcp|uptime|build|revision|enabled|default|has(column|thread)|transaction|catboost)"
    )
    pure = {"geturlparameter", "querystring", "querystringandfragment", "filesize", "joinstrings"}
    assert not [name for name in ordinary | aggregates if touching.match(name) and name not in pure]


# Off the record path.


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[RunningDaemon]:
    """Return a daemon whose engine runs in its own process, where a query is closest to the records."""
    with RunningDaemon(tmp_path) as daemon:
        yield daemon


async def start_slow_queries(daemon: RunningDaemon, count: int) -> list[asyncio.Task[Any]]:
    """Ask what takes for ever, and return once the engine is at it."""
    path = daemon.folder / "admin.sock"
    tasks = [asyncio.create_task(asyncio.to_thread(admin.post, path, "/v1/sql", SLOW)) for _ in range(count)]
    while len(await asyncio.to_thread(running, path)) < min(count, 3):
        await asyncio.sleep(0.01)
    return tasks


def running(path: Path) -> list[str]:
    """Return the queries under way in the daemon's engine."""
    code, text = admin.get(path, "/v1/status")
    assert code == 200
    return [SLOW] * int(json.loads(text)["queries_in_flight"])


async def test_heavy_queries_delay_no_record(embedded: RunningDaemon) -> None:
    tasks = await start_slow_queries(embedded, 3)
    client = TraceClient(embedded.socket)
    for number in range(200):
        client.record(provider_trace_id=f"c-{number}", **openai_chat(number))
        if number % 20 == 0:
            assert await asyncio.to_thread(client.flush, 30)
    assert await asyncio.to_thread(client.flush, 30)
    client.close()
    path = embedded.folder / "admin.sock"
    await asyncio.to_thread(until, lambda: admin.status(path)["stored"] == 200)

    assert not any(task.done() for task in tasks), "the queries ended before the records were stored"
    code, text = await asyncio.to_thread(admin.get, path, "/v1/call?all_organizations=true&id=c-7")
    assert (code, json.loads(text)["id"]) == (200, "c-7")
    embedded.kill()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_heavy_query_does_not_hold_up_the_end(embedded: RunningDaemon) -> None:
    (task,) = await start_slow_queries(embedded, 1)

    assert await asyncio.to_thread(embedded.terminate) == 0

    answers = await asyncio.gather(task, return_exceptions=True)
    assert "TIMEOUT_EXCEEDED" not in str(answers), "it waited for the query's own limit"
