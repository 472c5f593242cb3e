"""Queries of a ClickHouse store about tools and about attempts of calls. Blocking; for threads.

Invariant: nothing reads a payload; every statement has the organization's condition, and None alone leaves it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from llmledgerd.query.requests import (
    GetRetries,
    GetTools,
    ListRetriedCalls,
    ListToolCalls,
    Narrowed,
    QueryRequest,
)
from llmledgerd.query.retries import Attempt, calls_of, retried_call, summed
from llmledgerd.query.tool_results import RetriedCall, Retries, Tool, ToolCall
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.conditions import Where
from llmledgerd.stores.clickhouse.tools_sql import tools_sql

Ask = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]
"""Runs a statement whose whole answer fits one answer; raises ValueError for a larger one."""

MOST_ATTEMPTS: Final = 200_000
"""Limit of calls whose requests were sent more than once and failed at least once, in one range of time."""

_TOOL_CALL: Final = ", ".join(f"t.{name} AS {name}" for name in ToolCall.__struct_fields__)
_ATTEMPTS: Final = (
    "SELECT * EXCEPT (same) FROM ("
    "SELECT t.organization_id AS organization_id, t.request_hash AS request_hash,"
    " toUnixTimestamp64Micro(t.created_at) AS start_us,"
    " toUnixTimestamp64Micro(t.created_at) + toInt64(t.latency_ms) * 1000 AS end_us, t.is_error AS is_error,"
    " t.outcome AS outcome, t.attempt AS attempt, t.provider AS provider, t.model AS model,"
    " t.error_type AS error_type, t.cost_usd AS cost_usd, t.id AS id,"
    " count() OVER (PARTITION BY t.organization_id, t.request_hash) AS same FROM llm_traces AS t WHERE {where}"
    " AND (t.organization_id, t.request_hash) GLOBAL IN (SELECT t.organization_id, t.request_hash"
    " FROM llm_traces AS t WHERE {where} AND t.is_error != 0 AND t.request_hash != 0)"
    ") WHERE same > 1 ORDER BY organization_id, request_hash, start_us, attempt LIMIT {most}"
)


class ToolAnswers:
    """Queries of one store. Raises StoreBusy if it is unavailable or refuses the query."""

    def __init__(self, store: Store, ask: Ask) -> None:
        self._store = store
        self._ask = ask
        self.answers: Mapping[type[QueryRequest], Callable[[str | None, Any], object]] = {
            GetTools: self._tools,
            ListToolCalls: self._tool_calls,
            GetRetries: self._retries,
            ListRetriedCalls: self._retried_calls,
        }

    def _tools(self, organization_id: str | None, question: GetTools) -> list[Tool]:
        asked, brought = _narrowed(organization_id, question), Where(organization_id)
        brought.between(question.start_date, None)
        rows = self._ask(tools_sql(asked, brought), {**asked.values, "limit": question.limit})
        return [_tool(row) for row in rows]

    def _tool_calls(self, organization_id: str | None, question: ListToolCalls) -> list[ToolCall]:
        where = Where(organization_id)
        where.between(question.start_date, question.end_date)
        where.equal("name", question.name)
        where.equal("id", None if question.id is None else question.id.removeprefix("provider_trace-"))
        where.equal("conversation_id", question.conversation_id)
        where.add("t.is_error = {is_error:UInt8}", is_error=_flag(question.is_error))
        rows = self._ask(
            f"SELECT {_TOOL_CALL} FROM llm_tool_calls AS t WHERE {where}"  # noqa: S608 - fixed fragments, values are bound
            " ORDER BY created_at DESC, id, tool_call_id LIMIT {limit:UInt32}",
            {**where.values, "limit": question.limit},
        )
        return [ToolCall(**{**row, **{name: bool(row[name]) for name in _FLAGS}}) for row in rows]

    def _retries(self, organization_id: str | None, question: GetRetries) -> list[Retries]:
        return summed(self._retried(organization_id, question))

    def _retried_calls(self, organization_id: str | None, question: ListRetriedCalls) -> list[RetriedCall]:
        found = self._retried(organization_id, question)
        return sorted(found, key=lambda call: (call.started_at, call.id), reverse=True)[: question.limit]

    def _retried(self, organization_id: str | None, question: Narrowed) -> list[RetriedCall]:
        where = _narrowed(organization_id, question)
        statement = _ATTEMPTS.format(where=where, most=MOST_ATTEMPTS + 1)
        rows = self._store.query(statement, where.values)
        if len(rows) > MOST_ATTEMPTS:
            raise ValueError(f"more than {MOST_ATTEMPTS} attempts; ask for a shorter range of time")
        return [retried_call(call) for call in calls_of(Attempt(**row) for row in rows)]


_FLAGS: Final = ("is_error", "is_answered", "is_repeated")


def _narrowed(organization_id: str | None, question: Narrowed) -> Where:
    where = Where(organization_id)
    where.narrow(question)
    where.between(question.start_date, question.end_date)
    return where


def _tool(row: dict[str, Any]) -> Tool:
    p50, p95 = (None if math.isnan(value) else value for value in row.pop("seconds"))
    return Tool(seconds_p50=p50, seconds_p95=p95, **row)


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)
