"""Rows of PostgreSQL for a copy to another store; rows of metadata have empty payloads."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from llmledgerd.records.schema import COLUMNS, TRACES
from llmledgerd.records.stored_rows import as_made
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores.base import Part
from llmledgerd.stores.copy import Row
from llmledgerd.stores.postgres.copying import moment
from llmledgerd.stores.postgres.sink import Postgres


class PostgresSource:
    """Rows of the table that the settings select."""

    def __init__(self, store: Postgres) -> None:
        self._connections = store.connections
        self._table = store.tables[TRACES]

    def span(self, from_us: int, to_us: int) -> tuple[int, int] | None:
        statement = sql.SQL(
            "SELECT min(ingested_at) AS first, max(ingested_at) AS last"
            " FROM {} WHERE ingested_at >= %s AND ingested_at < %s"
        ).format(sql.Identifier(self._table.name))
        with self._connections.transaction() as link:
            (found,) = link.query(statement, (moment(from_us), moment(to_us)))
        return None if found["first"] is None else (microseconds(found["first"]), microseconds(found["last"]))

    def count(self, from_us: int, to_us: int) -> int:
        statement = sql.SQL(
            "SELECT count(*) AS n FROM {} WHERE ingested_at >= %s AND ingested_at < %s"
        ).format(sql.Identifier(self._table.name))
        with self._connections.transaction() as link:
            (found,) = link.query(statement, (moment(from_us), moment(to_us)))
        return int(found["n"])

    def parts(self, from_us: int, to_us: int) -> list[Part]:
        statement = sql.SQL(
            "SELECT batch_id, count(*) AS rows, sum(request_size_bytes + response_size_bytes) AS size"
            " FROM {} WHERE ingested_at >= %s AND ingested_at < %s GROUP BY batch_id ORDER BY min(ingested_at)"
        ).format(sql.Identifier(self._table.name))
        with self._connections.transaction() as link:
            rows = link.query(statement, (moment(from_us), moment(to_us)))
        return [Part(str(row["batch_id"]), row["rows"], int(row["size"])) for row in rows]

    def rows(self, batch_ids: Sequence[str], from_us: int, to_us: int) -> list[Row]:
        names = [sql.Identifier(name) if name in self._table.columns else sql.SQL("''") for name in COLUMNS]
        statement = sql.SQL(
            "SELECT {} FROM {} WHERE batch_id = ANY(%s::uuid[]) AND ingested_at >= %s AND ingested_at < %s"
            " ORDER BY batch_id, batch_row"
        ).format(
            sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(value, sql.Identifier(name))
                for value, name in zip(names, COLUMNS, strict=True)
            ),
            sql.Identifier(self._table.name),
        )
        with self._connections.transaction() as link:
            rows = link.query(statement, (list(batch_ids), moment(from_us), moment(to_us)))
        return [as_made(row) for row in rows]
