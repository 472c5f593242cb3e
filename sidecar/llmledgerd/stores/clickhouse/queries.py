"""Queries of a ClickHouse store. Blocking; for threads.

Invariants:
- Every statement begins with the organization's condition; None alone leaves it out.
- Payloads are fetched only where they are asked for, and as many as an answer may hold.
- No answer has more than ROWS_BYTES of rows: a page ends there, and what has no pages is refused.
- Usage is right whatever state the rollup is in: hours in doubt, and stores without a rollup, are
  answered from the rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from llmledgerd.errors import StoreBusy
from llmledgerd.query.answer_budget import ROWS_BYTES
from llmledgerd.query.payloads import Fetcher, Key
from llmledgerd.query.requests import (
    MAX_LIMIT,
    FindLarge,
    GetCall,
    GetLosses,
    GetRun,
    GetStep,
    GetUnpriced,
    GetUsage,
    ListCalls,
    ListRuns,
    QueryRequest,
)
from llmledgerd.query.results import (
    CALL_COLUMNS,
    STEP_CALLS,
    Call,
    LargeCall,
    Loss,
    Page,
    Payloads,
    Unpriced,
    Usage,
    call_of,
)
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.conditions import Where
from llmledgerd.stores.clickhouse.prompt_answers import prompt_answers
from llmledgerd.stores.clickhouse.runs import RunQueries
from llmledgerd.stores.clickhouse.tool_queries import ToolAnswers
from llmledgerd.stores.clickhouse.usage_sql import QUANTILES, Plan, plan, usage_sql
from llmledgerd.stores.clickhouse.widening import ranges

NEWEST_FIRST: Final = "t.created_at DESC, t.batch_id DESC, t.batch_row DESC"

STORED_BYTES: Final = " + ".join(f"length(t.{name})" for name in Payloads.__struct_fields__)
BOUNDED: Final = (
    "SELECT * FROM (SELECT *, byteSize(*) AS row_bytes,"
    " sum(byteSize(*)) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS answer_bytes,"
    " count() OVER () AS answer_rows FROM ({sql})) WHERE answer_bytes - row_bytes <= {most}"
)
"""Limits the answer in the engine, so that excess rows are never sent. The order is that of the inner query."""


class StoreAnswers:
    """Queries of one store. Raises StoreBusy if it is unavailable or refuses the query."""

    def __init__(self, store: Store, fetcher: Fetcher | None = None) -> None:
        """``fetcher`` gets payloads from object storage; without one they are reported as missing."""
        self._store = store
        self._fetcher = fetcher or Fetcher()
        runs = RunQueries(lambda sql, values: _whole(*self._bounded(sql, values)))
        self._answers: Mapping[type[QueryRequest], Callable[[str | None, Any], object]] = {
            GetCall: self._call,
            GetStep: self._step,
            ListCalls: self._list,
            FindLarge: self._large,
            GetUsage: self._usage,
            GetUnpriced: self._unpriced,
            ListRuns: runs.page,
            GetRun: runs.steps,
            GetLosses: self._losses,
            **ToolAnswers(store, self._asked).answers,
            **prompt_answers(self._asked),
        }

    def answer(self, organization_id: str | None, question: QueryRequest) -> object:
        """Return the result within one organization; None is all of them. Raises ValueError for an invalid cursor."""
        return self._answers[type(question)](organization_id, question)

    def _call(self, organization_id: str | None, question: GetCall) -> Call | None:
        where = Where(organization_id)
        where.equal("id", question.id.removeprefix("provider_trace-"))
        calls = self._calls(where, "t.ingested_at DESC", 1, question)
        return calls[0] if calls else None

    def _step(self, organization_id: str | None, question: GetStep) -> list[Call]:
        where = Where(organization_id)
        where.equal("step_id", question.step_id)
        order = "t.created_at, t.batch_id, t.batch_row"
        return self._calls(where, order, STEP_CALLS, question)

    def _list(self, organization_id: str | None, question: ListCalls) -> Page:
        where = Where(organization_id)
        where.narrow(question)
        where.between(question.start_date, question.end_date)
        where.add("t.is_error = {is_error:UInt8}", is_error=_flag(question.is_error))
        where.add("t.request_size_bytes >= {size:UInt64}", size=question.min_size_bytes)
        where.add("startsWith(t.id, {id_prefix:String})", id_prefix=question.id_prefix)
        where.add(
            "t.ingested_at > fromUnixTimestamp64Micro({received:Int64})",
            received=microseconds(question.received_after),
        )
        if question.cursor is not None:
            _continue_after(where, question.cursor)
        limit = question.limit
        oldest, is_more = self._newest(where, question, limit + 1)
        if oldest is None:
            return Page([], None)
        where.add("t.created_at >= fromUnixTimestamp64Micro({oldest:Int64})", oldest=oldest)
        rows, is_whole = self._rows(CALL_COLUMNS, where, NEWEST_FIRST, limit + 1)
        calls = [call_of(row) for row in rows[:limit]]
        is_last = is_whole and len(rows) <= limit and not is_more
        # The rows are those of a later moment than `is_more`: some can have been deleted since.
        return Page(calls, None if is_last or not calls else _cursor(calls[-1]))

    def _newest(self, where: Where, question: ListCalls, limit: int) -> tuple[int | None, bool]:
        """Return the time of the oldest of the newest ``limit`` calls, and whether there are as many.

        The time is in microseconds since 1970, and None where there is no call.
        """
        end = microseconds(question.end_date)
        if question.cursor is not None:
            after = _position(question.cursor)[0] + 1
            end = after if end is None else min(after, end)
        start = microseconds(question.start_date)
        is_recent = question.received_after is not None  # which another index finds at once
        oldest = None
        for first, last in [(start, end)] if is_recent else ranges(time.time_ns() // 1000, start, end):
            within = where.copy()
            within.add("t.created_at >= fromUnixTimestamp64Micro({first:Int64})", first=first)
            within.add("t.created_at < fromUnixTimestamp64Micro({last:Int64})", last=last)
            (found,) = self._store.query(
                "SELECT count() AS calls, toUnixTimestamp64Micro(min(at)) AS oldest FROM"  # noqa: S608 - fixed fragments, values are bound
                f" (SELECT t.created_at AS at FROM llm_traces AS t WHERE {within}"
                " ORDER BY t.created_at DESC LIMIT {limit:UInt32})",
                {**within.values, "limit": limit},
            )
            if found["calls"]:
                oldest = int(found["oldest"])
            limit -= found["calls"]
            if limit <= 0:
                return oldest, True
        return oldest, False

    def _large(self, organization_id: str | None, question: FindLarge) -> list[LargeCall]:
        where = Where(organization_id)
        where.narrow(question)
        where.between(question.start_date, question.end_date)
        where.add("t.request_size_bytes >= {size:UInt64}", size=question.min_size_bytes)
        order = f"t.request_size_bytes DESC, {NEWEST_FIRST}"
        return [
            LargeCall(**row) for row in self._whole(LargeCall.__struct_fields__, where, order, question.limit)
        ]

    def _usage(self, organization_id: str | None, question: GetUsage) -> list[Usage]:
        try:
            rows = self._usage_rows(organization_id, question, plan(question, self._doubted()))
        except StoreBusy as error:
            if error.kind != "missing_table":
                raise
            rows = self._usage_rows(organization_id, question, plan_without_rollup(question))
        return [_usage(row, question.group_by) for row in rows]

    def _usage_rows(
        self, organization_id: str | None, question: GetUsage, chosen: Plan
    ) -> list[dict[str, Any]]:
        where = Where(organization_id)
        where.narrow(question)
        rows = _whole(*self._bounded(usage_sql(question, where, chosen), where.values))
        if len(rows) > MAX_LIMIT:
            raise ValueError(f"more than {MAX_LIMIT} groups; set `limit`, or group by fewer dimensions")
        return rows

    def _doubted(self) -> list[int]:
        rows = self._store.query("SELECT DISTINCT toUnixTimestamp(hour) AS first FROM llm_usage_doubts")
        return [row["first"] for row in rows]

    def _unpriced(self, organization_id: str | None, question: GetUnpriced) -> list[Unpriced]:
        where = Where(organization_id)
        where.narrow(question)
        where.between(question.start_date, question.end_date)
        where.conditions.append("t.cost_usd IS NULL")
        rows = _whole(
            *self._bounded(
                "SELECT t.provider AS provider, t.priced_model AS model, t.cost_reason AS reason, count() AS requests,"  # noqa: S608 - fixed fragments, values are bound
                " sum(toUInt64(t.prompt_tokens)) AS prompt_tokens,"
                " sum(toUInt64(t.completion_tokens)) AS completion_tokens,"
                " sum(toUInt64(t.total_tokens)) AS total_tokens, max(t.created_at) AS last_at"
                f" FROM llm_traces AS t WHERE {where} GROUP BY provider, model, reason"
                " ORDER BY requests DESC, total_tokens DESC, provider, model, reason LIMIT {limit:UInt32}",
                {**where.values, "limit": question.limit},
            )
        )
        return [Unpriced(**row) for row in rows]

    def _losses(self, organization_id: str | None, question: GetLosses) -> list[Loss]:
        if organization_id is not None:
            raise ValueError("losses are not scoped by organization; an operator's token is required")
        where = Where(None)
        where.add("t.at >= fromUnixTimestamp64Micro({start:Int64})", start=microseconds(question.start_date))
        rows, _ = self._bounded(
            "SELECT t.stage AS stage, t.reason AS reason, t.service AS service, ifNull(sum(t.count), 0) AS records,"  # noqa: S608 - fixed fragments, values are bound
            " countIf(t.count IS NULL) AS of_unknown_count, max(t.at) AS last_at"
            f" FROM llm_trace_losses AS t WHERE {where} GROUP BY stage, reason, service ORDER BY last_at DESC"
            f" LIMIT {MAX_LIMIT}",
            where.values,
        )
        return [Loss(**row) for row in rows]

    def _calls(self, where: Where, order: str, limit: int, wanted: GetCall | GetStep) -> list[Call]:
        """Return calls, with their payloads where those are ``wanted``: of the first that fit together."""
        if not wanted.payloads:
            return [call_of(row) for row in self._whole(CALL_COLUMNS, where, order, limit)]
        rows = self._whole(CALL_COLUMNS, where, order, limit, f"{STORED_BYTES} AS stored_bytes")
        stored = [row.pop("stored_bytes") for row in rows]
        calls = [call_of(row) for row in rows]
        return self._fetcher.complete_fitting(
            calls, stored, lambda chosen: self._payloads(where, chosen), files=wanted.files
        )

    def _payloads(self, where: Where, calls: Sequence[Call]) -> dict[Key, Payloads]:
        """Return the payloads in the rows of the calls."""
        where.add(
            "concat(toString(t.batch_id), ':', toString(t.batch_row)) IN {keys:Array(String)}",
            keys=[f"{call.batch_id}:{call.batch_row}" for call in calls],
        )
        names = Payloads.__struct_fields__
        columns = ", ".join(f"t.{name} AS {name}" for name in ("batch_id", "batch_row", *names))
        rows = self._store.query(
            f"SELECT {columns} FROM llm_traces AS t WHERE {where}",  # noqa: S608 - fixed fragments, values are bound
            where.values,
            raw=names,
        )
        return {(row["batch_id"], row["batch_row"]): Payloads(*(row[name] for name in names)) for row in rows}

    def _whole(
        self, names: Sequence[str], where: Where, order: str, limit: int, *further: str
    ) -> list[dict[str, Any]]:
        return _whole(*self._rows(names, where, order, limit, *further))

    def _rows(
        self, names: Sequence[str], where: Where, order: str, limit: int, *further: str
    ) -> tuple[list[dict[str, Any]], bool]:
        columns = ", ".join([*(f"t.{name} AS {name}" for name in names), *further])
        return self._bounded(
            f"SELECT {columns} FROM llm_traces AS t WHERE {where} ORDER BY {order} LIMIT {{limit:UInt32}}",  # noqa: S608 - fixed fragments, values are bound
            {**where.values, "limit": limit},
        )

    def _asked(
        self, sql: str, values: Mapping[str, Any], hints: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        return _whole(*self._bounded(sql, values, hints))

    def _bounded(
        self, sql: str, values: Mapping[str, Any], hints: Mapping[str, Any] | None = None
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return the first rows that are not beyond ROWS_BYTES, and whether these are all."""
        rows = self._store.query(BOUNDED.format(sql=sql, most=ROWS_BYTES), values, hints=hints)
        rows.sort(key=itemgetter("answer_bytes"))  # several threads may return them in another order
        count = rows[0]["answer_rows"] if rows else 0
        for row in rows:
            del row["answer_rows"], row["answer_bytes"], row["row_bytes"]
        return rows, len(rows) == count


def _whole(rows: list[dict[str, Any]], is_whole: bool) -> list[dict[str, Any]]:
    if not is_whole:
        raise ValueError(
            f"the answer has more than {ROWS_BYTES} bytes; ask for less, as by a smaller `limit`"
        )
    return rows


def plan_without_rollup(question: GetUsage) -> Plan:
    """Return the plan for a store that has no rollup."""
    whole = plan(question, ())
    spans = [*whole.rollup, *whole.rows]
    return Plan([], [(min(start for start, _ in spans), max(end for _, end in spans))] if spans else [])


def _usage(row: dict[str, Any], group_by: Sequence[str]) -> Usage:
    group = {name: str(row.pop(f"group_{name}")) for name in group_by}
    quantiles = {name: [_finite(value) for value in row.pop(f"{name}_quantiles")] for name in QUANTILES}
    latency, first_token, speed = quantiles["latency"], quantiles["first_token"], quantiles["speed"]
    known, total = row.pop("latency_known"), row.pop("latency_ms_sum")
    average = total / known if known else None
    row["cost_usd"] = row["cost_usd"] or Decimal(0)  # the engine's zero would be written 0E-9
    return Usage(
        group=group,
        latency_avg_ms=average,
        latency_p50_ms=latency[0],
        latency_p95_ms=latency[1],
        latency_p99_ms=latency[2],
        first_token_p50_ms=first_token[0],
        first_token_p95_ms=first_token[1],
        first_token_p99_ms=first_token[2],
        output_tokens_per_second_p50=speed[0],
        output_tokens_per_second_p95=speed[1],
        output_tokens_per_second_p99=speed[2],
        **row,
    )


def _finite(value: float) -> float | None:
    """Return None for the engine's aggregate of no values (NaN)."""
    return None if math.isnan(value) else value


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


def _cursor(call: Call) -> str:
    return f"{microseconds(call.created_at)}.{call.batch_id}.{call.batch_row}"


def _position(cursor: str) -> tuple[int, str, int]:
    """Return the time in microseconds, the batch and the row of the call before. Raises ValueError."""
    try:
        moment, batch, row = cursor.split(".")
        after, after_batch, after_row = int(moment), str(UUID(batch)), int(row)
    except ValueError:
        raise ValueError("invalid cursor") from None
    if abs(after) >= 1 << 62 or not 0 <= after_row < 1 << 32:
        raise ValueError("invalid cursor")
    return after, after_batch, after_row


def _continue_after(where: Where, cursor: str) -> None:
    after, after_batch, after_row = _position(cursor)
    where.add("t.created_at <= fromUnixTimestamp64Micro({after:Int64})", after=after)  # which the index knows
    where.add(
        "(t.created_at, t.batch_id, t.batch_row) <"
        " (fromUnixTimestamp64Micro({after:Int64}), {after_batch:UUID}, {after_row:UInt32})",
        after=after,
        after_batch=after_batch,
        after_row=after_row,
    )
