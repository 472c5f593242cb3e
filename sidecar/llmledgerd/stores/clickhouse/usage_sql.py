"""Usage as SQL: whole hours from the rollup, the rest from the rows. Pure.

Invariants:
- Every call in the range is summed once: an hour is taken from the rollup or from the rows.
- The rollup answers only what it can answer exactly: hours that lie whole in the range and are in no
  doubt, and questions within its dimensions.
- Both sides are summed by the same functions, so that where an answer comes from cannot be seen in
  it. Quantiles are by nearest rank, at most 1 % low.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from llmledgerd.query.filters import GROUPED, ORGANIZATION
from llmledgerd.query.requests import MAX_LIMIT, ROLLED_UP, GetUsage
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores.clickhouse.conditions import Where

GROUP_SQL: Final = {
    ORGANIZATION: "t.organization_id",
    **{name: f"t.{column}" for name, column in GROUPED.items()},
    "day": "toString(toDate(MOMENT))",
    "hour": "formatDateTime(MOMENT, '%Y-%m-%d %H:00', 'UTC')",
    "minute": "formatDateTime(MOMENT, '%Y-%m-%d %H:%i', 'UTC')",
}
"""Expressions of ``requests.GROUPS``; MOMENT is the table's time column, in UTC."""

HOUR_US: Final = 3_600_000_000
ALWAYS_US: Final = (0, 4_102_444_800_000_000)
"""1970 to 2100: what the rollup's hours can be, for a range that is open."""

NOT_ROLLED_UP: Final = (
    "user_id",
    "service",
    "outcome",
    "billing_customer_id",
    "run_id",
    "conversation_id",
    "trace_id",
    "agent_tags",
)
"""Columns that a question can narrow by and the rollup does not keep."""

MAX_SPANS: Final = 100
"""Ranges of time in one statement. Beyond it the range around them all is read from the rows."""

LEVELS: Final = "(0.5, 0.95, 0.99)"

SUMS: Final = {
    "requests": "count()",
    "prompt_tokens": "sum(toUInt64(t.prompt_tokens))",
    "completion_tokens": "sum(toUInt64(t.completion_tokens))",
    "total_tokens": "sum(toUInt64(t.total_tokens))",
    "cached_input_tokens": "sum(toUInt64(ifNull(t.cached_input_tokens, 0)))",
    "cache_write_tokens": "sum(toUInt64(ifNull(t.cache_write_tokens, 0)))",
    "reasoning_tokens": "sum(toUInt64(ifNull(t.reasoning_tokens, 0)))",
    "cost_usd": "sum(toDecimal128(ifNull(t.cost_usd, 0), 9))",
    "request_bytes": "sum(t.request_size_bytes)",
    "response_bytes": "sum(t.response_size_bytes)",
    "errors": "countIf(t.is_error != 0)",
    "cancelled": "countIf(t.outcome = 'cancelled')",
    "unknown_usage": "countIf(t.usage_source = 'unknown')",
    "partial_usage": "countIf(t.usage_source = 'partial')",
    "unknown_cost": "countIf(t.cost_usd IS NULL)",
    "latency_known": "countIf(t.latency_ms > 0)",
    "latency_ms_sum": "sum(toUInt64(t.latency_ms))",
}
"""The rollup's columns, and how the rows make them."""

FIRST_MS: Final = "ifNull(t.time_to_first_token_ms, 0)"
SPEED: Final = (
    # A reply that arrives in one piece at its end says nothing about the time that its tokens took.
    f"toFloat32(t.completion_tokens * 1000 / (t.latency_ms - if({FIRST_MS} * 10 <= t.latency_ms * 9, {FIRST_MS}, 0)))"
)
"""Output tokens per second: from the first token to the last byte where the first one was timed and came
in the first nine tenths of the latency, else over the whole latency."""

QUANTILES: Final = {
    "latency": ("t.latency_ms", "t.latency_ms > 0"),
    "first_token": ("assumeNotNull(t.time_to_first_token_ms)", "t.time_to_first_token_ms IS NOT NULL"),
    "speed": (
        SPEED,
        "t.is_error = 0 AND t.usage_source = 'reported' AND t.completion_tokens > 0 AND t.latency_ms > 0",
    ),
}
"""What quantiles are kept of: the value of a row, and which rows have one. The rollup's column is
``<name>_quantiles``."""


def state_of_rows(name: str) -> str:
    """Return the mergeable state of one of QUANTILES, of the rows."""
    value, condition = QUANTILES[name]
    return f"quantilesBFloat16StateIf{LEVELS}({value}, {condition})"


def state_of_rollup(name: str) -> str:
    """Return the mergeable state of one of QUANTILES, of the rollup."""
    return f"quantilesBFloat16MergeState{LEVELS}(t.{name}_quantiles)"


Span = tuple[int, int]
"""A range of time in microseconds since 1970, without its end."""


class Plan(msgspec.Struct, frozen=True):
    """Which ranges of time come from where."""

    rollup: list[Span]
    rows: list[Span]


def plan(question: GetUsage, doubted: Collection[int]) -> Plan:
    """Return where each part of the question's range is taken from.

    ``doubted`` are the hours in doubt, by their first second since 1970.
    """
    start, end = microseconds(question.start_date), microseconds(question.end_date)
    asked = (ALWAYS_US[0] if start is None else start, ALWAYS_US[1] if end is None else end)
    first, last = -(-asked[0] // HOUR_US) * HOUR_US, asked[1] // HOUR_US * HOUR_US
    if not answers(question) or first >= last:
        return Plan([], _joined([asked]))
    hours = (hour * 1_000_000 for hour in doubted)
    doubtful = _joined((us, us + HOUR_US) for us in hours if first <= us < last)
    if len(doubtful) > MAX_SPANS:
        doubtful = [(doubtful[0][0], doubtful[-1][1])]
    rows = _joined([(asked[0], first), *doubtful, (last, asked[1])])
    return Plan(_without((first, last), rows), rows)


def answers(question: GetUsage) -> bool:
    """Return whether the rollup keeps apart what the question splits and narrows by."""
    narrowed = any(getattr(question, name) is not None for name in NOT_ROLLED_UP)
    return not narrowed and ROLLED_UP.issuperset(question.group_by)


def usage_sql(question: GetUsage, where: Where, chosen: Plan) -> str:
    """Return the statement. ``where`` has the organization and the narrowing, and is given the times."""
    sources = []
    if chosen.rollup:
        sums = [f"sum(t.{name}) AS sum_{name}" for name in SUMS]
        sums += [f"{state_of_rollup(name)} AS state_{name}" for name in QUANTILES]
        within = _within("t.hour", "toDateTime({})", chosen.rollup, 1_000_000)
        sources.append(_source("llm_usage_hourly", "t.hour", question, sums, where, within))
    if chosen.rows or not sources:
        sums = [f"{expression} AS sum_{name}" for name, expression in SUMS.items()]
        sums += [f"{state_of_rows(name)} AS state_{name}" for name in QUANTILES]
        within = _within("t.created_at", "fromUnixTimestamp64Micro({})", chosen.rows, 1)
        sources.append(_source("llm_traces", "t.created_at", question, sums, where, within))
    groups = [f"group_{name}" for name in question.group_by]
    totals = [f"sum(sum_{name}) AS {name}" for name in SUMS]
    quantiles = [f"quantilesBFloat16Merge{LEVELS}(state_{name}) AS {name}_quantiles" for name in QUANTILES]
    return (
        f"SELECT {', '.join([*groups, *totals, *quantiles])} FROM ({' UNION ALL '.join(sources)})"  # noqa: S608 - fixed fragments, values are bound
        f"{_grouping(groups)} HAVING requests > 0"
        f" ORDER BY {', '.join(['cost_usd DESC', 'total_tokens DESC', *groups])}"
        f" LIMIT {question.limit or MAX_LIMIT + 1}"
    )


def _source(table: str, moment: str, question: GetUsage, sums: list[str], where: Where, within: str) -> str:
    """Return the part of the statement that sums one table."""
    keys = [f"{GROUP_SQL[name].replace('MOMENT', moment)} AS group_{name}" for name in question.group_by]
    grouping = _grouping([f"group_{name}" for name in question.group_by])
    return f"SELECT {', '.join([*keys, *sums])} FROM {table} AS t WHERE {where} AND {within}{grouping}"  # noqa: S608 - as above


def _grouping(groups: list[str]) -> str:
    return f" GROUP BY {', '.join(groups)}" if groups else ""


def _within(column: str, moment: str, spans: list[Span], unit_us: int) -> str:
    """Return the condition that the column lies in any of the ranges."""
    parts = [
        f"({column} >= {moment.format(start // unit_us)} AND {column} < {moment.format(end // unit_us)})"
        for start, end in spans
    ]
    return f"({' OR '.join(parts)})" if parts else "0"


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Return the ranges in order, those that touch made one, empty ones left out."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _without(whole: Span, holes: list[Span]) -> list[Span]:
    """Return what is left of a range."""
    left, at = [], whole[0]
    for start, end in holes:
        left.append((at, min(start, whole[1])))
        at = max(at, end)
    return _joined([*left, (at, whole[1])])
