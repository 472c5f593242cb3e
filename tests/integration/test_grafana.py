"""Every query of the usage dashboard, run by the engine on demo data, gives rows, and the right ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.generated_rows import Traffic, fill
from llmledgerd.records.schema import LOSS_COLUMNS
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.grafana import ALL, Range, dashboards, expanded, panels
from tests.helpers.migrated_databases import Lend

NOW_US = 1_790_000_000_000_000
DAY = 86_400
BOARD = dashboards()["llmledger-usage.json"]
OVER = Range(NOW_US // 10**6 - DAY + 1234, NOW_US // 10**6 - 777)
"""Begins and ends within an hour, so that both are read from the rows."""

EVERYTHING: dict[str, list[str]] = {}


@pytest.fixture(scope="module")
def store(lend: Lend) -> Iterator[Store]:
    with lend() as url:
        opened = Store(url)
        for _ in fill(opened, Traffic(rows=20_000, days=2, end_us=NOW_US)):
            pass
        batch = "11111111-1111-1111-1111-111111111111"
        lost = ("host", "api", "", "client", "buffer_full", 3, batch, 0)
        opened.insert("llm_trace_losses", LOSS_COLUMNS, [(NOW_US - 10**10, *lost, NOW_US)], "losses")
        yield opened
        opened.close()


@pytest.fixture(params=["", "hour % 7200 = 0", "1"], ids=["no hour", "every second hour", "every hour"])
def doubted(request: pytest.FixtureRequest, store: Store) -> Iterator[None]:
    """Put hours in doubt, so that they are answered from the rows."""
    if request.param:
        store.run(
            "INSERT INTO llm_usage_doubts (hour, reason) SELECT DISTINCT hour, 'test' FROM llm_usage_hourly"
            f" WHERE {request.param.replace('hour', 'toUnixTimestamp(hour)')}"
        )
    yield
    store.run("TRUNCATE TABLE llm_usage_doubts")


def queries() -> list[Any]:
    return [
        pytest.param(target["rawSql"], id=panel["title"])
        for panel in panels(BOARD)
        for target in panel["targets"]
    ]


def some(store: Store) -> dict[str, list[str]]:
    """Return one value for each variable, which together have calls."""
    columns = {
        "organization": "organization_id",
        "project": "project_id",
        "agent": "agent_id",
        "plan": "billing_plan_type",
    }
    names = [variable["name"] for variable in BOARD["templating"]["list"] if variable["name"] != "datasource"]
    row = store.query(
        "SELECT * FROM llm_traces WHERE is_error AND created_at BETWEEN toDateTime({start:Int64}) AND"
        " toDateTime({end:Int64}) ORDER BY organization_id, created_at LIMIT 1",
        {"start": OVER.start, "end": OVER.end},
    )[0]
    return {name: [row[columns.get(name, name)]] for name in names}


@pytest.mark.parametrize(
    "interval_seconds",
    [pytest.param(60, marks=pytest.mark.chaos), 3600, pytest.param(7200, marks=pytest.mark.chaos)],
)
@pytest.mark.parametrize("sql", queries())
def test_a_query_gives_rows_for_everything_and_for_a_choice(
    store: Store, sql: str, interval_seconds: int
) -> None:
    over = Range(OVER.start, OVER.end, interval_seconds)
    for chosen in (EVERYTHING, some(store)):
        names, rows = store.table(expanded(sql, chosen, over))
        assert rows, chosen
        assert len(set(names)) == len(names)
        if names[0] == "time":
            assert all(row[0].timestamp() % interval_seconds == 0 for row in rows)


def test_each_variable_has_values(store: Store) -> None:
    for variable in BOARD["templating"]["list"]:
        if variable["name"] == "datasource":
            continue
        _, rows = store.table(variable["query"])
        values = [row[0] for row in rows]
        assert values, variable["name"]
        assert all(values), "an empty value chooses everything"
        assert variable["current"]["value"] == [ALL]


@pytest.mark.usefixtures("doubted")
def test_the_numbers_are_those_of_the_rows(store: Store) -> None:
    shown = {
        title: query(store, title)[0][0]
        for title in ("Spend", "Calls", "Tokens", "Error share", "Share of input from cache")
    }
    rows = store.query(
        "SELECT toFloat64(sum(cost_usd)) AS spend, count() AS calls, sum(total_tokens) AS tokens, countIf(is_error) AS bad,"
        " sum(prompt_tokens) AS input, sum(cached_input_tokens) AS cached FROM llm_traces"
        " WHERE created_at BETWEEN toDateTime({start:Int64}) AND toDateTime({end:Int64})",
        {"start": OVER.start, "end": OVER.end},
    )[0]
    assert shown["Spend"] == rows["spend"]
    assert (shown["Calls"], shown["Tokens"]) == (rows["calls"], rows["tokens"])
    assert shown["Error share"] == rows["bad"] / rows["calls"]
    assert shown["Share of input from cache"] == rows["cached"] / rows["input"]


@pytest.mark.usefixtures("doubted")
@pytest.mark.parametrize("interval_seconds", [60, 3600])
@pytest.mark.parametrize("title", ["Spend by model", "Tokens by kind", "Calls by outcome"])
def test_a_chart_adds_up_to_the_number_beside_it(store: Store, title: str, interval_seconds: int) -> None:
    over = Range(OVER.start, OVER.end, interval_seconds)
    panel = {"Spend by model": "Spend", "Tokens by kind": "Tokens", "Calls by outcome": "Calls"}[title]
    lines = query(store, title, over)
    added = sum(value for row in lines for value in row[1:] if not isinstance(value, str))
    assert added == pytest.approx(query(store, panel)[0][0])


def query(store: Store, title: str, over: Range = OVER) -> Any:
    (sql,) = (
        target["rawSql"] for panel in panels(BOARD) if panel["title"] == title for target in panel["targets"]
    )
    return store.table(expanded(sql, EVERYTHING, over))[1]
