"""Queries of PostgreSQL. Blocking; for threads.

Invariant: one call, and the calls of one step, are the same as from ClickHouse, from either of the two
tables; rows of metadata have empty payloads. Queries over many calls are refused with an error that
names ClickHouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from psycopg import sql

from llmledgerd.query.payloads import Fetcher, Key
from llmledgerd.query.requests import GetCall, GetStep, QueryRequest
from llmledgerd.query.results import CALL_COLUMNS, STEP_CALLS, Call, Payloads, call_of
from llmledgerd.query.results import Table as Rows
from llmledgerd.stores.postgres.connections import Connections
from llmledgerd.stores.postgres.tables import FULL, METADATA, Table

NEEDS_CLICKHOUSE = "this needs ClickHouse; from PostgreSQL come single calls and the calls of one step"
Order = sql.SQL
Part = sql.Composable
OLDEST_FIRST = sql.SQL("t.created_at, t.batch_id, t.batch_row")
NEWEST_FIRST = sql.SQL("t.ingested_at DESC")


class PostgresReading:
    """Query backend over one PostgreSQL. Raises StoreBusy if it is unavailable or refuses the query."""

    def __init__(self, connections: Connections, fetcher: Fetcher | None = None) -> None:
        """``fetcher`` gets payloads from object storage; without one they are reported as missing."""
        self._connections = connections
        self._fetcher = fetcher or Fetcher()

    def answer(self, organization_id: str | None, question: QueryRequest) -> object:
        """Return the result within one organization; None is all of them. Raises ValueError for other queries."""
        if isinstance(question, GetCall):
            call = question.id.removeprefix("provider_trace-")
            calls = self._calls(organization_id, "id", call, NEWEST_FIRST, question)
            return calls[0] if calls else None
        if isinstance(question, GetStep):
            return self._calls(organization_id, "step_id", question.step_id, OLDEST_FIRST, question)
        raise ValueError(NEEDS_CLICKHOUSE)

    def sql(self, text: str) -> Rows:
        raise ValueError(NEEDS_CLICKHOUSE)

    def log_in_as(self, url: str) -> None:
        """The password comes from a file at each connection, and the user stays."""

    def interrupt(self) -> None:
        """Do nothing: all queries are short."""

    def close(self) -> None:
        self._connections.close()

    def _calls(
        self, organization_id: str | None, column: str, value: str, order: Order, wanted: GetCall | GetStep
    ) -> list[Call]:
        """Return the calls of both tables."""
        rows = self._both(CALL_COLUMNS, organization_id, column, value, order, measured=wanted.payloads)
        stored = [row.pop("stored_bytes", 0) for row in rows]
        calls = [_call(row) for row in rows]
        if not wanted.payloads:
            return calls
        return self._fetcher.complete_fitting(
            calls,
            stored,
            lambda chosen: self._payloads(organization_id, column, value, order, chosen),
            files=wanted.files,
        )

    def _both(
        self,
        names: Sequence[str],
        organization_id: str | None,
        column: str,
        value: str,
        order: Order,
        *,
        measured: bool,
    ) -> list[dict[str, Any]]:
        """Return the rows of both tables, each once."""
        found: dict[str, dict[str, Any]] = {}
        for table in (METADATA, FULL):
            further = [_stored(table)] if measured else []
            for row in self._rows(table, names, organization_id, column, value, order, further):
                found[f"{row['batch_id']}:{row['batch_row']}"] = row
        rows = sorted(found.values(), key=lambda row: row["created_at"])
        if order is NEWEST_FIRST:
            rows.sort(key=lambda row: row["ingested_at"], reverse=True)
        return rows

    def _payloads(
        self, organization_id: str | None, column: str, value: str, order: Order, calls: Sequence[Call]
    ) -> dict[Key, Payloads]:
        names = ("batch_id", "batch_row", *Payloads.__struct_fields__)
        keys = [f"{call.batch_id}:{call.batch_row}" for call in calls]
        return {
            (row["batch_id"], row["batch_row"]): Payloads(
                *(row[name].encode() for name in Payloads.__struct_fields__)
            )
            for table in (METADATA, FULL)
            for row in self._rows(table, names, organization_id, column, value, order, [], keys)
        }

    def _rows(
        self,
        table: Table,
        names: Sequence[str],
        organization_id: str | None,
        column: str,
        value: str,
        order: Order,
        further: Sequence[Part],
        keys: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """``keys`` are the rows that are meant, by segment and line; None: all."""
        whose = [] if organization_id is None else [organization_id]
        conditions: list[sql.Composable] = [sql.SQL("t.organization_id = %s") for _ in whose]
        conditions.append(sql.SQL("t.{} = %s").format(sql.Identifier(column)))
        if value:  # which lets the partial index of steps be used
            conditions.append(sql.SQL("t.{} <> ''").format(sql.Identifier(column)))
        if keys is not None:
            conditions.append(sql.SQL("t.batch_id::text || ':' || t.batch_row::text = ANY(%s)"))
        statement = sql.SQL("SELECT {} FROM {} AS t WHERE {} ORDER BY {} LIMIT {}").format(
            sql.SQL(", ").join([*(_selected(name, table) for name in names), *further]),
            sql.Identifier(table.name),
            sql.SQL(" AND ").join(conditions),
            order,
            STEP_CALLS,
        )
        with self._connections.transaction() as link:
            return link.query(statement, [*whose, value, *([] if keys is None else [list(keys)])])


def _stored(table: Table) -> sql.Composed:
    lengths = [
        sql.SQL("octet_length(t.{})").format(sql.Identifier(name))
        for name in Payloads.__struct_fields__
        if name in table.columns
    ]
    return sql.SQL("{} AS stored_bytes").format(sql.SQL(" + ").join(lengths))


def _selected(name: str, table: Table) -> sql.Composed:
    value = sql.SQL("t.{}").format(sql.Identifier(name)) if name in table.columns else sql.SQL("''")
    return sql.SQL("{} AS {}").format(value, sql.Identifier(name))


def _call(row: dict[str, Any]) -> Call:
    for name in ("created_at", "ingested_at"):
        row[name] = row[name].astimezone(UTC)
    return call_of(row)
