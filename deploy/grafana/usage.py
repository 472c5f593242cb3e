"""The dashboard of usage, from ``llm_traces`` and its rollup.

Invariant: what is shown is exact. Whole hours in no doubt come from the rollup, the rest of the range
from the rows, by the expressions of ``llmledgerd.stores.clickhouse.usage_sql``; a chart of less than hours is made of rows alone.

Macros and ``${name:singlequote}`` are those of the plugin grafana-clickhouse-datasource, 4 and later. Its
parser ends a macro's argument at the first closing bracket, so arguments are names of columns.
"""

from __future__ import annotations

from typing import Final

from deploy.grafana.board import CLICKHOUSE, WIDTH, Dashboard, Json, datasource, variable
from llmledgerd.stores.clickhouse.usage_sql import (
    LEVELS,
    QUANTILES,
    SUMS,
    state_of_rollup,
    state_of_rows,
)

DIMENSIONS: Final = {
    "organization": "organization_id",
    "project": "project_id",
    "agent": "agent_id",
    "provider": "provider",
    "model": "model",
    "call_type": "call_type",
    "plan": "billing_plan_type",
}
"""Variables, and the columns that they narrow, in the rollup as in the rows."""

CHOSEN: Final = " AND ".join(
    f"$__conditionalAll({column} IN (${{{name}:singlequote}}), ${name})"
    for name, column in DIMENSIONS.items()
)
DOUBTS: Final = "(SELECT hour FROM llm_usage_doubts)"

SPEND: Final = "toFloat64(sum(sum_cost_usd))"
CACHE_SHARE: Final = "sum(sum_cached_input_tokens) / nullIf(sum(sum_prompt_tokens), 0)"
ERROR_SHARE: Final = "sum(sum_errors) / nullIf(sum(sum_requests), 0)"
P50, P95, P99 = (f"quantilesBFloat16Merge{LEVELS}(state_latency)[{place}]" for place in (1, 2, 3))
FIRST_TOKEN_P50, FIRST_TOKEN_P95, FIRST_TOKEN_P99 = (
    f"quantilesBFloat16Merge{LEVELS}(state_first_token)[{place}]" for place in (1, 2, 3)
)
SPEED_P50, SPEED_P95, SPEED_P99 = (
    f"quantilesBFloat16Merge{LEVELS}(state_speed)[{place}]" for place in (1, 2, 3)
)


def usage(columns: str, *dimensions: str, fine: bool = False) -> str:
    """Return a subquery with the range's sums, as far as ``columns`` need them, by hour and dimensions.

    ``fine``: by less than an hour where the panel shows less, for which the rows have to be asked.
    """
    needed = [name for name in SUMS if f"sum_{name})" in columns]
    rolled = [f"sum(t.{name}) AS sum_{name}" for name in needed]
    summed = [f"{SUMS[name]} AS sum_{name}" for name in needed]
    states = [name for name in QUANTILES if f"(state_{name})" in columns]
    rolled += [f"{state_of_rollup(name)} AS state_{name}" for name in states]
    summed += [f"{state_of_rows(name)} AS state_{name}" for name in states]
    groups = ", ".join(("moment", *dimensions))
    coarse, finer = (" AND $__interval_s >= 3600", " OR $__interval_s < 3600") if fine else ("", "")
    hours = f"hour >= $__fromTime AND hour <= $__toTime - 3600 AND hour NOT IN {DOUBTS}{coarse}"
    rest = (
        "$__timeFilter(created_at) AND (toStartOfHour(created_at) < $__fromTime"
        f" OR toStartOfHour(created_at) > $__toTime - 3600 OR toStartOfHour(created_at) IN {DOUBTS}{finer})"
    )
    return (
        f"(SELECT {', '.join(('hour AS moment', *dimensions, *rolled))} FROM llm_usage_hourly AS t"  # noqa: S608 - fragments of this module
        f" WHERE {hours} AND {CHOSEN} GROUP BY {groups}"
        f" UNION ALL SELECT {', '.join(('toDateTime(created_at) AS moment', *dimensions, *summed))}"
        f" FROM llm_traces AS t WHERE {rest} AND {CHOSEN} GROUP BY {groups})"
    )


def in_all(**columns: str) -> str:
    """Return a query for one row of numbers."""
    named = _named(columns)
    return f"SELECT {named} FROM {usage(named)}"  # noqa: S608 - as above


def over_time(**columns: str) -> str:
    """Return a query for a chart: one line for each column."""
    named = _named(columns)
    return f"SELECT $__timeInterval(moment) AS time, {named} FROM {usage(named, fine=True)} GROUP BY time ORDER BY time"  # noqa: S608 - as above


def split_over_time(dimension: str, **columns: str) -> str:
    """Return a query for a chart: a line for each of the ten most expensive values, one for the others."""
    named = _named(columns)
    first = f"SELECT {dimension} FROM {usage(SPEND, dimension)} GROUP BY {dimension} ORDER BY {SPEND} DESC LIMIT 10"  # noqa: S608 - as above
    return (
        f"SELECT $__timeInterval(moment) AS time, if({dimension} IN ({first}), {dimension}, 'other') AS line,"  # noqa: S608 - as above
        f" {named} FROM {usage(named, dimension, fine=True)} GROUP BY time, line ORDER BY time"
    )


def top(dimension: str, **columns: str) -> str:
    """Return a query for a table of what costs most."""
    named = _named(columns)
    return (
        f"SELECT {dimension}, {named} FROM {usage(named, dimension)}"  # noqa: S608 - as above
        f" GROUP BY {dimension} ORDER BY spend DESC, {dimension} LIMIT 50"
    )


def calls(columns: str, rest: str) -> str:
    """Return a query that the rollup cannot answer."""
    return f"SELECT {columns} FROM llm_traces WHERE $__timeFilter(created_at) AND {CHOSEN} {rest}"  # noqa: S608 - as above


def _named(columns: dict[str, str]) -> str:
    return ", ".join(f'{expression} AS "{name.replace("_", " ")}"' for name, expression in columns.items())


def usage_dashboard() -> Dashboard:
    """Return what the rows say: who spends what on which model, and what came of it."""
    board = Dashboard(
        "llmledger-usage",
        "LLM usage",
        "What calls to language models cost, who makes them, and how they end. From llm_traces and its rollup.",
        CLICKHOUSE,
        [datasource(CLICKHOUSE), *(_variable(name, column) for name, column in DIMENSIONS.items())],
    )
    _totals(board)
    _money_and_tokens(board)
    _how_calls_went(board)
    _who_and_what(board)
    _single_calls(board)
    return board


def _variable(name: str, column: str) -> Json:
    """Return a variable with the column's values but the empty one, which the plugin takes for all of them."""
    query = (
        f"SELECT DISTINCT toString({column}) AS value FROM llm_usage_hourly WHERE {column} != ''"  # noqa: S608 - as above
        " ORDER BY value LIMIT 1000"
    )
    return variable(name, query, CLICKHOUSE)


def _totals(board: Dashboard) -> None:
    board.stat("Spend", "currencyUSD", in_all(spend=SPEND), decimals=2)
    board.stat("Calls", "short", in_all(calls="sum(sum_requests)"))
    board.stat("Tokens", "short", in_all(tokens="sum(sum_total_tokens)"))
    board.stat("Error share", "percentunit", in_all(errors=ERROR_SHARE), decimals=2)
    board.stat(
        "Share of input from cache",
        "percentunit",
        in_all(cached=CACHE_SHARE),
        decimals=1,
        description="Cached input tokens over all input tokens. Providers that do not report them count as none.",
    )
    board.stat("Latency, 95 %", "ms", in_all(p95=P95))


def _money_and_tokens(board: Dashboard) -> None:
    board.row("Money and tokens")
    for title, dimension in (("Spend by model", "model"), ("Spend by organization", "organization_id")):
        board.chart(title, "currencyUSD", split_over_time(dimension, spend=SPEND), stacked=True)
    kinds = over_time(
        input_not_cached="toInt64(sum(sum_prompt_tokens)) - toInt64(sum(sum_cached_input_tokens))",
        input_from_cache="sum(sum_cached_input_tokens)",
        output_without_reasoning="toInt64(sum(sum_completion_tokens)) - toInt64(sum(sum_reasoning_tokens))",
        reasoning="sum(sum_reasoning_tokens)",
    )
    board.chart("Tokens by kind", "short", kinds, stacked=True)
    board.chart("Input from cache", "percentunit", over_time(cached=CACHE_SHARE), min=0, max=1)


def _how_calls_went(board: Dashboard) -> None:
    board.row("How calls went")
    outcomes = over_time(
        ok="toInt64(sum(sum_requests)) - toInt64(sum(sum_errors))",
        cancelled="sum(sum_cancelled)",
        failed="toInt64(sum(sum_errors)) - toInt64(sum(sum_cancelled))",
    )
    board.chart("Calls by outcome", "short", outcomes, stacked=True)
    board.chart("Latency", "ms", over_time(p50=P50, p95=P95, p99=P99))
    board.chart(
        "Time to first token",
        "ms",
        over_time(p50=FIRST_TOKEN_P50, p95=FIRST_TOKEN_P95, p99=FIRST_TOKEN_P99),
        description="Of streams, whose first bytes are timed.",
    )
    board.chart(
        "Output tokens per second",
        "short",
        over_time(p50=SPEED_P50, p95=SPEED_P95, p99=SPEED_P99),
        description="Of successful calls: from the first token where it was timed, else over the whole latency.",
    )
    for title, unit, expression in (
        ("Time to first token by model, median", "ms", FIRST_TOKEN_P50),
        ("Output tokens per second by model, median", "short", SPEED_P50),
    ):
        board.chart(title, unit, split_over_time("model", median=expression))
    board.chart("Errors", "percentunit", over_time(errors=ERROR_SHARE), min=0)
    board.chart(
        "Calls that the sums leave out",
        "short",
        over_time(tokens_unknown="sum(sum_unknown_usage)", cost_unknown="sum(sum_unknown_cost)"),
        description="Their tokens or cost are not known: failed calls, streams that were cut, models without price.",
    )


def _who_and_what(board: Dashboard) -> None:
    board.row("Who and what")
    columns = {
        "spend": SPEND,
        "calls": "sum(sum_requests)",
        "input": "sum(sum_prompt_tokens)",
        "output": "sum(sum_completion_tokens)",
        "from_cache": CACHE_SHARE,
        "errors": ERROR_SHARE,
        "p95": P95,
        "cost_unknown": "sum(sum_unknown_cost)",
    }
    units = {"spend": "currencyUSD", "from cache": "percentunit", "errors": "percentunit", "p95": "ms"}
    titles = {"model": "Models", "agent_id": "Agents", "organization_id": "Organizations"}
    for dimension, title in titles.items():
        board.table(title, "short", top(dimension, **columns), units)
    customers = calls(
        "billing_customer_id, toFloat64(sum(ifNull(cost_usd, 0))) AS spend, count() AS calls,"
        ' sum(prompt_tokens) AS input, sum(completion_tokens) AS output, countIf(cost_usd IS NULL) AS "cost unknown"',
        "GROUP BY billing_customer_id ORDER BY spend DESC, billing_customer_id LIMIT 50",
    )
    board.table("Customers", "short", customers, {"spend": "currencyUSD"})


def _single_calls(board: Dashboard) -> None:
    board.row("Single calls, and what is missing")
    largest = calls(
        "created_at, id, organization_id, agent_id, model, request_size_bytes + response_size_bytes AS size,"
        " prompt_tokens, completion_tokens, toFloat64(cost_usd) AS cost, latency_ms, outcome",
        "ORDER BY size DESC LIMIT 50",
    )
    units = {"size": "bytes", "cost": "currencyUSD", "latency_ms": "ms", "created_at": "dateTimeAsIso"}
    board.table("Largest calls", "short", largest, units, WIDTH)
    failed = calls(
        "error_type, provider, model, count() AS calls, max(created_at) AS latest, any(error_message) AS example",
        "AND is_error != 0 GROUP BY error_type, provider, model ORDER BY calls DESC LIMIT 50",
    )
    board.table("Errors by type", "short", failed, {"latest": "dateTimeAsIso"}, WIDTH)
    lost = (
        'SELECT stage, service, reason, sum(count) AS records, countIf(count IS NULL) AS "of unknown size",'
        " max(at) AS latest FROM llm_trace_losses WHERE $__timeFilter(at)"
        " GROUP BY stage, service, reason ORDER BY records DESC, latest DESC LIMIT 50"
    )
    board.table("Losses", "short", lost, {"latest": "dateTimeAsIso"}, WIDTH)
