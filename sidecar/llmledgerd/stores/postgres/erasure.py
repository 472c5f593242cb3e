"""Erasure of payloads or whole rows in PostgreSQL, in both tables.

Invariant: objects are deleted before the rows that refer to them, and all rows of one table in one
transaction. The server's own copies (dead tuples, its log) remain until it vacuums and recycles them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psycopg import sql

from llmledgerd.errors import LlmledgerdError
from llmledgerd.query.erasure import ERASED_URI, OBJECTS_AT_ONCE, PAYLOADS, Erasure, Extent, Objects, left_of
from llmledgerd.stores.postgres.connections import Link
from llmledgerd.stores.postgres.copying import moment
from llmledgerd.stores.postgres.existing_tables import existing
from llmledgerd.stores.postgres.sink import Postgres
from llmledgerd.stores.postgres.tables import Table

BARE_USAGE: Final = sql.SQL(
    """coalesce((SELECT string_agg(CASE WHEN left(m[1], 1) = '"' AND m[1] !~ ':\\s*$' THEN '""' ELSE m[1] END,"""
    """ '' ORDER BY n) FROM regexp_matches(usage_json,"""
    """ '("(?:[^"\\\\]|\\\\.)*"\\s*:|"(?:[^"\\\\]|\\\\.)*"|[^"]+)', 'g') WITH ORDINALITY AS tokens(m, n)), '')"""
)
"""``usage_json`` with empty texts, as in ClickHouse."""

Condition = tuple[sql.Composed, list[object]]


class PostgresEraser:
    """Erases in one database. Its methods block, and raise StoreBusy."""

    def __init__(self, store: Postgres, objects: Objects | None = None) -> None:
        """``objects`` is the object storage of payloads; None if all payloads are in the store."""
        self._store = store
        self._objects = objects

    def extent(self, erasure: Erasure) -> Extent:
        """Return what ``erase`` would find now. Hours are 0, since there is no rollup."""
        found = Extent()
        with self._store.connections.transaction() as link:
            for table in existing(link):
                where, values = _condition(erasure, table)
                statement = sql.SQL(
                    "SELECT count(*) AS calls, count(*) FILTER (WHERE payload_uri NOT IN ('', {})) AS objects FROM {} WHERE {}"
                ).format(sql.Literal(ERASED_URI), sql.Identifier(table.name), where)
                (here,) = link.query(statement, values)
                found.calls += here["calls"]
                found.objects += here["objects"]
        return found

    def erase(self, erasure: Erasure) -> Extent:
        """Erase, and return what was erased. Raises LlmledgerdError if objects are unreachable."""
        found = self.extent(erasure)
        with self._store.connections.transaction() as link:
            for table in existing(link):
                condition = _condition(erasure, table)
                if found.objects:
                    self._erase_objects(link, table, condition)
                link.run(_change(erasure, table, condition[0]), condition[1])
                link.commit()
        if self._objects is not None and erasure.is_of_all and erasure.before_us is None:
            self._objects.delete_files(erasure.organization_id)
        return found

    def detached(self) -> list[str]:
        return []

    def _erase_objects(self, link: Link, table: Table, condition: Condition) -> None:
        if self._objects is None:
            raise LlmledgerdError(
                "payloads of these calls lie in object storage, which this command cannot reach: nothing is erased"
            )
        last = ""
        while uris := self._uris(link, table, condition, last):
            last = uris[-1]
            self._objects.delete_calls(uris)

    def _uris(self, link: Link, table: Table, condition: Condition, last: str) -> Sequence[str]:
        where, values = condition
        statement = sql.SQL(
            'SELECT DISTINCT payload_uri COLLATE "C" AS uri FROM {} WHERE {} AND payload_uri COLLATE "C" > %s'
            " AND payload_uri NOT IN ('', {}) ORDER BY uri LIMIT {}"
        ).format(sql.Identifier(table.name), where, sql.Literal(ERASED_URI), sql.Literal(OBJECTS_AT_ONCE))
        return [row["uri"] for row in link.query(statement, [*values, last])]


def _held(table: Table) -> list[str]:
    return [name for name in PAYLOADS if name in table.columns]


def _condition(erasure: Erasure, table: Table) -> Condition:
    """Return the condition for rows with data to erase."""
    before = None if erasure.before_us is None else moment(erasure.before_us)
    until = None if erasure.until_us is None else moment(erasure.until_us)
    asked: list[tuple[sql.Composable, object]] = [
        (sql.SQL("organization_id = %s"), erasure.organization_id.replace("\0", "\N{REPLACEMENT CHARACTER}")),
        (sql.SQL("billing_customer_id = %s"), erasure.customer_id),
        (sql.SQL("user_id = %s"), erasure.user_id),
        (sql.SQL("created_at < %s"), before),
        (sql.SQL("ingested_at <= %s"), until),
    ]
    parts = [part for part, value in asked if value is not None]
    if not erasure.rows:  # so that a second time finds nothing
        held = [
            sql.SQL("{} NOT IN ('', {})").format(sql.Identifier(name), sql.Literal(left_of(name)))
            for name in _held(table)
        ]
        parts.append(sql.SQL("({} OR usage_json <> {})").format(sql.SQL(" OR ").join(held), BARE_USAGE))
    return sql.SQL(" AND ").join(parts), [value for _, value in asked if value is not None]


def _change(erasure: Erasure, table: Table, where: sql.Composed) -> sql.Composed:
    name = sql.Identifier(table.name)
    if erasure.rows:
        return sql.SQL("DELETE FROM {} WHERE {}").format(name, where)
    emptied = [
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(left_of(column)))
        for column in _held(table)
    ]
    emptied.append(sql.SQL("usage_json = {}").format(BARE_USAGE))
    return sql.SQL("UPDATE {} SET {} WHERE {}").format(name, sql.SQL(", ").join(emptied), where)
