"""Queries of a ClickHouse store about tools and about attempts of calls. Blocking; for threads.

Invariant: nothing reads a payload; every statement has the organization's condition, and None alone leaves it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from llmledgerd.conversations.tool_errors import BY_PROVIDER, NO_ERROR
from llmledgerd.query.requests import (
    GetRetries,
    GetTools,
    ListRetriedCalls,
    ListToolCalls,
    Narrowed,
    QueryRequest,
)
from llmledgerd.query.retries import Attempt, Tally, calls_of, retried_call, summed
from llmledgerd.query.tool_results import RetriedCall, Retries, Tool, ToolCall
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores.clickhouse.asking import Ask
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.conditions import Where
from llmledgerd.stores.clickhouse.question_settings import LONG_BLOCKS
from llmledgerd.stores.clickhouse.retries_sql import ATTEMPTS, NEWEST, SUMS
from llmledgerd.stores.clickhouse.tools_sql import ASKED, BROUGHT, FAILED, FIRST, tools_sql

MOST_ATTEMPTS: Final = 200_000
"""Limit of attempts that are judged one by one for an answer."""


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
        rows = self._ask(tools_sql(asked, brought), {**asked.values, "limit": question.limit}, LONG_BLOCKS)
        return [_tool(row) for row in rows]

    def _tool_calls(self, organization_id: str | None, question: ListToolCalls) -> list[ToolCall]:
        where, later = Where(organization_id), Where(organization_id)
        where.between(question.start_date, question.end_date)
        later.between(question.start_date, None)
        where.equal("id", None if question.id is None else question.id.removeprefix("provider_trace-"))
        where.equal("conversation_id", question.conversation_id)
        where.add("call_name = {name:String}", name=question.name)
        if question.is_error is not None:
            chosen = "GLOBAL IN" if question.is_error else "GLOBAL NOT IN"
            where.conditions.append(f"call_key {chosen} ({FAILED.format(where=later)})")
        rows = self._ask(ASKED.format(where=where), {**where.values, "limit": question.limit})
        if not rows:
            return []
        brought = self._brought(organization_id, rows)
        first = self._first(organization_id, rows)
        asked = {row["key"]: row for row in reversed(rows)}  # of one that was asked for twice the first
        return [_tool_call(row, brought.get(key), first) for key, row in reversed(asked.items())]

    def _brought(self, organization_id: str | None, rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
        where = Where(organization_id)
        where.between(min(row["created_at"] for row in rows), None)
        found = self._ask(BROUGHT.format(where=where), {**where.values, "keys": [row["key"] for row in rows]})
        return {row["key"]: row for row in found}

    def _first(self, organization_id: str | None, rows: list[dict[str, Any]]) -> dict[tuple[str, int], Any]:
        where = Where(organization_id)
        values = {
            "conversations": list({row["conversation_id"] for row in rows}),
            "hashes": list({row["arguments_hash"] for row in rows}),
        }
        found = self._ask(FIRST.format(where=where), {**where.values, **values})
        return {(row["conversation_id"], row["hash"]): tuple(row["first"]) for row in found}

    def _retries(self, organization_id: str | None, question: GetRetries) -> list[Retries]:
        where = _narrowed(organization_id, question)
        rows = self._store.query(
            SUMS.format(where=where, most=MOST_ATTEMPTS + 1), where.values, hints=LONG_BLOCKS
        )
        known = {(row["provider"], row["model"]): _tally(row) for row in rows if row["is_apart"]}
        overlapping = [request for row in rows for request in row["requests"]]
        _bound(sum([len(tries) for _, tries in overlapping]))
        calls = calls_of(_attempt(number, one) for number, tries in sorted(overlapping) for one in tries)
        return summed(calls, known)

    def _retried_calls(self, organization_id: str | None, question: ListRetriedCalls) -> list[RetriedCall]:
        """Judge the requests whose attempts are newest, and more of them while another may have a newer call."""
        where = _narrowed(organization_id, question)
        wanted = 2 * question.limit
        while True:
            newest = self._store.query(
                NEWEST.format(where=where), {**where.values, "most": wanted}, hints=LONG_BLOCKS
            )
            _bound(sum([row["attempts"] for row in newest]))
            calls = sorted(
                self._judged(where, newest), key=lambda one: (one.started_at, one.id), reverse=True
            )
            if len(newest) < wanted:
                return calls[: question.limit]
            newer_us = newest[-1]["last_us"] + 1_000
            if len(calls) >= question.limit and microseconds(calls[question.limit - 1].started_at) > newer_us:
                return calls[: question.limit]
            wanted *= 4

    def _judged(self, where: Where, requests: list[dict[str, Any]]) -> Iterator[RetriedCall]:
        """Return the calls of requests that have several attempts."""
        if not requests:
            return iter(())
        since = min(row["first_us"] for row in requests)
        rows = self._store.query(
            ATTEMPTS.format(where=where),
            {**where.values, "since": since, "hashes": [row["request_hash"] for row in requests]},
        )
        return map(retried_call, calls_of(Attempt(*row.values()) for row in rows))


def _bound(attempts: int) -> None:
    if attempts > MOST_ATTEMPTS:
        raise ValueError(f"more than {MOST_ATTEMPTS} attempts; ask for a shorter range of time")


def _attempt(request_hash: int, one: tuple[Any, ...]) -> Attempt:
    """Return an attempt of ``SUMS``, in which ids and types of errors are not counted."""
    start, order, end, is_error, provider, model, cost, is_unknown, outcome = one
    usd = None if is_unknown else cost
    return Attempt("", request_hash, start, end, is_error, outcome, order >> 32, provider, model, "", usd, "")


def _tally(row: dict[str, Any]) -> Tally:
    return Tally(
        row["attempts"],
        row["failed"],
        row["given_up"],
        row["failed_cost"],
        row["unknown_cost"],
        row["waits_us"],
    )


_SOURCES: Final = ("", "api", "text")


def _tool_call(
    row: dict[str, Any], brought: dict[str, Any] | None, first: Mapping[tuple[str, int], Any]
) -> ToolCall:
    """Return a call with its result; ``first`` is when its arguments were first used in a conversation."""
    asked_us, place = row.pop("asked_us"), row.pop("place")
    key = (row["conversation_id"], row.pop("arguments_hash"))
    answered_by, size, error = brought["result"] if brought else ("", None, NO_ERROR)
    is_provider_run = error >= BY_PROVIDER
    del row["key"]
    return ToolCall(
        **row,
        answered_by=answered_by,
        result_bytes=size,
        seconds=max(0, brought["brought_us"] - asked_us) / 1e6 if brought and not is_provider_run else None,
        is_error=error % BY_PROVIDER != NO_ERROR,
        error_source=_SOURCES[error % BY_PROVIDER],
        is_answered=brought is not None,
        is_provider_run=is_provider_run,
        is_repeated=first.get(key, (asked_us, place)) < (asked_us, place),
    )


def _narrowed(organization_id: str | None, question: Narrowed) -> Where:
    where = Where(organization_id)
    where.narrow(question)
    where.between(question.start_date, question.end_date)
    return where


def _tool(row: dict[str, Any]) -> Tool:
    p50, p95 = (None if math.isnan(value) else value for value in row.pop("seconds"))
    return Tool(seconds_p50=p50, seconds_p95=p95, **row)
