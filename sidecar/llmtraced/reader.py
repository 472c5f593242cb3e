"""Reading ``llm_traces``: typed answers, each within one organisation.

Invariants:
- Every method takes an organisation and returns no other's rows; only ALL_ORGANIZATIONS, which no
  text can be mistaken for, looks across them.
- No value of a caller becomes SQL: values are bound by the engine, and what cannot be bound (what
  to group by) is looked up in a fixed table.
- Whatever sums over rows also says how many it could not count.
- Payloads are fetched only where they are asked for.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from llmtraced.answers import Call, Page, Payloads, Usage
from llmtraced.errors import ConfigError
from llmtraced.store import Store
from llmtraced.store_url import parse_url


class AllOrganizations(enum.Enum):
    """The type of ALL_ORGANIZATIONS; an enum, so that it is no text and checks by type."""

    ALL = "all"


ALL_ORGANIZATIONS: Final = AllOrganizations.ALL
"""For operators: rows of every organisation."""

Scope = str | AllOrganizations

GROUPS: Final = {
    "organization": "organization_id",
    "project": "project_id",
    "agent": "agent_id",
    "user": "user_id",
    "service": "service",
    "provider": "provider",
    "model": "model",
    "call_type": "call_type",
    "outcome": "outcome",
    "plan": "billing_plan_type",
    "customer": "billing_customer_id",
    "day": "toString(toDate(created_at))",
    "hour": "formatDateTime(created_at, '%Y-%m-%d %H:00', 'UTC')",
}
"""What usage can be split by, and the expression that does it. Days and hours are UTC's."""


COLUMNS: Final = tuple(name for name in Call.__struct_fields__ if name != "payloads")

SUMS: Final = """
    count() AS requests,
    sum(toUInt64(t.prompt_tokens)) AS prompt_tokens,
    sum(toUInt64(t.completion_tokens)) AS completion_tokens,
    sum(toUInt64(t.total_tokens)) AS total_tokens,
    ifNull(sum(toUInt64(t.cached_input_tokens)), 0) AS cached_input_tokens,
    ifNull(sum(toUInt64(t.cache_write_tokens)), 0) AS cache_write_tokens,
    ifNull(sum(toUInt64(t.reasoning_tokens)), 0) AS reasoning_tokens,
    ifNull(sum(t.cost_usd), toDecimal64(0, 9)) AS cost_usd,
    sum(t.request_size_bytes) AS request_bytes,
    sum(t.response_size_bytes) AS response_bytes,
    sum(t.is_error) AS errors,
    countIf(t.usage_source = 'unknown') AS unknown_usage,
    countIf(t.usage_source = 'partial') AS partial_usage,
    countIf(t.cost_usd IS NULL) AS unknown_cost,
    avgIf(t.latency_ms, t.latency_ms > 0) AS latency_avg_ms,
    quantilesIf(0.5, 0.95, 0.99)(t.latency_ms, t.latency_ms > 0) AS latencies
"""


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Where:
    """The conditions of a query and the values bound in them."""

    def __init__(self, organization_id: Scope) -> None:
        self.conditions: list[str] = []
        self.values: dict[str, object] = {}
        if not isinstance(organization_id, AllOrganizations):
            self.add("t.organization_id = {organization:String}", organization=organization_id)

    def add(self, condition: str, **values: object) -> None:
        """Add one condition whose placeholders are the names of ``values``; None leaves it out."""
        if all(value is not None for value in values.values()):
            self.conditions.append(condition)
            self.values.update(values)

    def between(self, start: datetime | None, end: datetime | None) -> None:
        """Keep calls that started at ``start`` or later and before ``end``."""
        self.add("t.created_at >= fromUnixTimestamp64Micro({start:Int64})", start=_microseconds(start))
        self.add("t.created_at < fromUnixTimestamp64Micro({end:Int64})", end=_microseconds(end))

    def __str__(self) -> str:
        return " AND ".join(self.conditions) or "1"


class LLMTraceReader:
    """Reads one store. Asynchronous; queries run in threads, so that the loop never waits.

    ::

        async with LLMTraceReader("http://reader:secret@clickhouse:8123/llm") as reader:
            page = await reader.list_by_agent("org-1", "agent-7", is_error=True)

    Every method raises StoreBusy where the store is away or refuses, and ConfigError where an
    embedded store is open in another process.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 60.0) -> None:
        """Raises ConfigError for a URL that names no store; an embedded one has to exist."""
        path = parse_url(url).path
        if path is not None and not Path(path).is_dir():
            raise ConfigError(f"there is no store at {path}")
        self._store = Store(url, timeout_seconds=timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await asyncio.to_thread(self._store.close)

    async def get_by_id(self, organization_id: Scope, id: str, *, payloads: bool = False) -> Call | None:  # noqa: A002 - the column's name
        """Return the call with the id, the one received last where lines share it, or None."""
        where = Where(organization_id)
        where.add("t.id = {id:String}", id=id.removeprefix("provider_trace-"))
        calls = await self._calls(where, "t.ingested_at DESC", 1, payloads)
        return calls[0] if calls else None

    async def get_by_step_id(
        self, organization_id: Scope, step_id: str, *, payloads: bool = False
    ) -> list[Call]:
        """Return the calls of one step, oldest first: one, and a further one for each retry."""
        where = Where(organization_id)
        where.add("t.step_id = {step:String}", step=step_id)
        return await self._calls(where, "t.created_at, t.batch_id, t.batch_row", 1000, payloads)

    async def list_by_agent(
        self,
        organization_id: Scope,
        agent_id: str,
        *,
        limit: int = 100,
        cursor: str | None = None,
        call_type: str | None = None,
        is_error: bool | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> Page:
        """Return one agent's calls, newest first. Raises ValueError for a cursor that is none of ours."""
        return await self.list_calls(
            organization_id,
            agent_id=agent_id,
            limit=limit,
            cursor=cursor,
            call_type=call_type,
            is_error=is_error,
            start_date=start_date,
            end_date=end_date,
        )

    async def list_calls(
        self,
        organization_id: Scope,
        *,
        agent_id: str | None = None,
        model: str | None = None,
        call_type: str | None = None,
        is_error: bool | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Return calls, newest first; what is None does not narrow them. Raises ValueError as above.

        Pages neither repeat nor skip a call while rows arrive: a cursor is a place in the order of
        start, segment and line, which no later row moves.
        """
        where = Where(organization_id)
        where.add("t.agent_id = {agent:String}", agent=agent_id)
        where.add("t.model = {model:String}", model=model)
        where.add("t.call_type = {call_type:String}", call_type=call_type)
        where.add("t.is_error = {is_error:UInt8}", is_error=None if is_error is None else int(is_error))
        where.between(start_date, end_date)
        if cursor is not None:
            _continue_after(where, cursor)
        order = "t.created_at DESC, t.batch_id DESC, t.batch_row DESC"
        calls = await self._calls(where, order, limit + 1, payloads=False)
        return Page(calls[:limit], _cursor(calls[limit - 1]) if len(calls) > limit else None)

    async def get_usage_stats(
        self,
        organization_id: Scope,
        *,
        group_by: Sequence[str] = ("model",),
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> list[Usage]:
        """Return what was used, a group each, the most expensive first.

        ``group_by`` names any of GROUPS; none makes one group of all. Raises ValueError for another.
        """
        unknown = [name for name in group_by if name not in GROUPS]
        if unknown:
            raise ValueError(f"cannot group by {', '.join(unknown)}; there are {', '.join(GROUPS)}")
        where = Where(organization_id)
        where.between(start_date, end_date)
        keys = [f"{GROUPS[name]} AS group_{name}" for name in group_by]
        grouping = f" GROUP BY {', '.join(f'group_{name}' for name in group_by)}" if group_by else ""
        rows = await self._query(
            f"SELECT {', '.join([*keys, SUMS])} FROM llm_traces AS t WHERE {where}{grouping}"  # noqa: S608 - fixed fragments
            " HAVING requests > 0 ORDER BY cost_usd DESC, total_tokens DESC",
            where,
        )
        return [_usage(row, group_by) for row in rows]

    async def _calls(self, where: Where, order: str, limit: int, payloads: bool) -> list[Call]:
        names = Payloads.__struct_fields__ if payloads else ()
        columns = ", ".join(f"t.{name} AS {name}" for name in (*COLUMNS, *names))
        where.values["limit"] = limit
        rows = await self._query(
            f"SELECT {columns} FROM llm_traces AS t WHERE {where} ORDER BY {order} LIMIT {{limit:UInt32}}",  # noqa: S608 - fixed fragments
            where,
            names,
        )
        return [_call(row) for row in rows]

    async def _query(self, sql: str, where: Where, raw: Sequence[str] = ()) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._store.query, sql, where.values, raw=raw)


def _call(row: dict[str, Any]) -> Call:
    payloads = None
    if "request_json" in row:
        payloads = Payloads(*(row.pop(name) for name in Payloads.__struct_fields__))
    for name in ("is_byok", "is_stream", "is_error"):
        row[name] = bool(row[name])
    return Call(**row, payloads=payloads)


def _usage(row: dict[str, Any], group_by: Sequence[str]) -> Usage:
    group = {name: str(row.pop(f"group_{name}")) for name in group_by}
    p50, p95, p99 = (_finite(value) for value in row.pop("latencies"))
    row["latency_avg_ms"] = _finite(row["latency_avg_ms"])
    return Usage(group=group, latency_p50_ms=p50, latency_p95_ms=p95, latency_p99_ms=p99, **row)


def _finite(value: float) -> float | None:
    """Return None for the engine's "of no values"."""
    return None if math.isnan(value) else value


def _microseconds(moment: datetime | None) -> int | None:
    """Return microseconds since 1970; a moment without a zone is taken as UTC's."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def _cursor(call: Call) -> str:
    return f"{_microseconds(call.created_at)}.{call.batch_id}.{call.batch_row}"


def _continue_after(where: Where, cursor: str) -> None:
    try:
        moment, batch, row = cursor.split(".")
        values = {"after": int(moment), "after_batch": str(UUID(batch)), "after_row": int(row)}
    except ValueError:
        raise ValueError("the cursor is none of an earlier page") from None
    where.add(
        "(t.created_at, t.batch_id, t.batch_row) <"
        " (fromUnixTimestamp64Micro({after:Int64}), {after_batch:UUID}, {after_row:UInt32})",
        **values,
    )
