"""PostgreSQL sink: the insert of rows, and the check which of them are stored.

Invariants:
- A batch is one transaction: COPY to a staging table, then one INSERT that leaves out rows whose key
  exists. So a repeated batch changes nothing.
- Ids are unique here within an organization. A line with the id of another one is left out and counted, where ClickHouse has
  two rows; a record replaces the ``abandoned`` row of its call, within its organization.
- A row is refused only if the table takes others (``refusals``); a row that a trigger drops is refused too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import xxhash
from psycopg import sql

from llmledgerd.errors import BatchRejected
from llmledgerd.records.repeats import Call
from llmledgerd.records.schema import TRACES
from llmledgerd.records.twice_told import Told, asked_between, told_by
from llmledgerd.stores.base import Buffer
from llmledgerd.stores.postgres import copying
from llmledgerd.stores.postgres.connections import Connections, Link
from llmledgerd.stores.postgres.copying import moment
from llmledgerd.stores.postgres.errors import Refused
from llmledgerd.stores.postgres.refusals import SWALLOWED, Refusals
from llmledgerd.stores.postgres.tables import Content, Table, tables
from llmledgerd.stores.receipt_window import StoreClock

IDS_PER_QUERY = 10_000


class Postgres:
    """One database. Safe to share between threads."""

    def __init__(
        self, url: str, *, password_file: str = "", content: Content = "full", timeout_seconds: float = 60.0
    ) -> None:
        """No connection is made before the first call. Raises ConfigError for an invalid URL."""
        self.connections = Connections(url, password_file=password_file, timeout_seconds=timeout_seconds)
        self.tables = tables(content)
        self._refusals = Refusals(self.connections)
        self.counts: Counter[str] = Counter()
        """``nul_replaced``, in characters; ``repeated``, in rows that were left out for their id."""

    @property
    def address(self) -> str:
        return self.connections.address

    def close(self) -> None:
        self.connections.close()

    def version(self) -> str:
        """Return the version of the server, by asking it."""
        with self.connections.transaction() as link:
            return str(link.query(sql.SQL("SHOW server_version"))[0]["server_version"])

    def encode(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytearray:
        """Return the rows as a block for ``insert_blocks``. Raises BatchRejected."""
        return copying.encode(columns, rows, frozenset(self.tables[table].columns))

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        """Store the rows that are missing; return the rows left out because another row has their id.

        The token is unused: the key identifies a repeat without a time limit.
        """
        try:
            repeated = self._insert(table, columns, blocks)
        except BatchRejected as error:
            self._refusals.judge(self.tables[table], error, sum(map(_rows, blocks)))
            raise
        self.counts["repeated"] += len(repeated)
        self.counts["nul_replaced"] += sum(getattr(block, "nul_replaced", 0) for block in blocks)
        return repeated

    def _insert(self, table: str, columns: Sequence[str], blocks: Sequence[Buffer]) -> set[int]:
        to = self.tables[table]
        names = [name for name in columns if name in to.columns]
        with self.connections.transaction() as link:
            staging = _staged(link, to, names, blocks)
            if table == TRACES:
                _delete_placeholders(link, to, staging)
            offered = link.query(sql.SQL("SELECT count(*) AS n FROM {}").format(staging))[0]["n"]
            inserted = link.run(_move(to, names, staging))
            repeated = set() if inserted == offered else _left_out(link, to, staging)
            link.commit()
        return repeated

    def clock(self) -> StoreClock:
        """Return the server's time; rows do not expire."""
        asked = sql.SQL("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us")
        with self.connections.transaction() as link:
            return StoreClock(int(link.query(asked)[0]["now_us"]))

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        """Return which ``batch_row`` of a batch received between the two times is stored."""
        statement = sql.SQL(
            "SELECT batch_row FROM {} WHERE batch_id = %s AND ingested_at BETWEEN %s AND %s"
        ).format(_name(self.tables[table]))
        with self.connections.transaction() as link:
            rows = link.query(statement, (batch_id, moment(from_us), moment(to_us)))
        return {row["batch_row"] for row in rows}

    def calls_present(self, calls: Collection[Call], from_us: int, to_us: int, *, besides: str) -> set[Call]:
        """Return which calls that started between the two times are stored with their record.

        Rows of the batch ``besides`` do not count.
        """
        statement = sql.SQL(
            "SELECT DISTINCT organization_id, id FROM {} WHERE id = ANY(%s) AND outcome <> 'abandoned'"
            " AND batch_id <> %s AND created_at BETWEEN %s AND %s"
        ).format(_name(self.tables[TRACES]))
        names = {(copying.storable(call[0]), copying.storable(call[1])): call for call in calls}
        with self.connections.transaction() as link:
            found = {
                (row["organization_id"], row["id"])
                for some in _slices([name for _, name in names])
                for row in link.query(statement, (some, besides, moment(from_us), moment(to_us)))
            }
        return {names[call] for call in found & names.keys()}

    def calls_abandoned(self, calls: Collection[Call], from_us: int, to_us: int) -> set[Call]:
        """Return nothing: the insert of a record deletes the row that stands for its call."""
        return set()

    def records_of(self, spans: Collection[Told], *, besides: str) -> list[Told]:
        """Return stored records that have the trace or the answer's id of a span, and began about its time."""
        statement = sql.SQL(
            "SELECT organization_id, trace_id, span_id, provider_request_id,"
            " (extract(epoch FROM created_at) * 1000000)::bigint AS at FROM {}"
            " WHERE (trace_id = ANY(%s) OR provider_request_id = ANY(%s)) AND source <> 'otlp'"
            " AND outcome <> 'abandoned' AND batch_id <> %s AND created_at BETWEEN %s AND %s"
        ).format(_name(self.tables[TRACES]))
        from_us, to_us = asked_between(spans)
        traces, answers = (
            [copying.storable(name) for name in sorted(names - {""})]
            for names in ({span.trace for span in spans}, {span.answer for span in spans})
        )
        values = (traces, answers, besides, moment(from_us), moment(to_us))
        with self.connections.transaction() as link:
            return [told_by(row) for row in link.query(statement, values)]

    def delete_abandoned(self, calls: Sequence[Call]) -> None:
        """Delete the rows that stand for these calls without their records."""
        statement = sql.SQL(
            "DELETE FROM {} AS t USING unnest(%s::text[], %s::text[]) AS c (organization_id, id)"
            " WHERE t.outcome = 'abandoned' AND t.id = c.id AND t.organization_id = c.organization_id"
        ).format(_name(self.tables[TRACES]))
        with self.connections.transaction() as link:
            for start in range(0, len(calls), IDS_PER_QUERY):
                some = calls[start : start + IDS_PER_QUERY]
                organizations, ids = ([copying.storable(call[place]) for call in some] for place in (0, 1))
                link.run(statement, (organizations, ids))
            link.commit()


def _staged(link: Link, to: Table, names: Sequence[str], blocks: Sequence[Buffer]) -> sql.Identifier:
    """Copy the blocks into a temporary table, which is empty again after the transaction.

    Each transaction creates it if missing: behind a pooler each can have another server process. Its
    name depends on its columns, so that a table from before a migration is not reused.
    """
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    digest = xxhash.xxh3_64_hexdigest(" ".join([to.name, *names]).encode())
    staging = sql.Identifier("pg_temp", f"llmledger_staging_{digest}")
    link.run(
        sql.SQL(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA"
        ).format(staging, columns, _name(to))
    )
    link.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(staging, columns), blocks)
    return staging


def _delete_placeholders(link: Link, to: Table, staging: sql.Identifier) -> None:
    """Delete the ``abandoned`` rows of calls whose records have arrived."""
    link.run(
        sql.SQL(
            "DELETE FROM {} AS t USING {} AS s"
            " WHERE t.outcome = 'abandoned' AND s.outcome <> 'abandoned'"
            " AND t.organization_id IN (s.organization_id, '') AND t.id = s.id"
        ).format(_name(to), staging)
    )


def _move(to: Table, names: Sequence[str], staging: sql.Identifier) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    key = sql.SQL(", ").join(map(sql.Identifier, to.key))
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT ({}) DO NOTHING").format(
        _name(to), columns, columns, staging, key
    )


def _left_out(link: Link, to: Table, staging: sql.Identifier) -> set[int]:
    """Return the staged rows that were left out because other rows have their keys.

    Raises Refused for rows that were left out for any other reason.
    """
    statement = sql.SQL(
        "SELECT s.batch_row, EXISTS (SELECT FROM {to} AS t WHERE {same}) AS has_other FROM {staging} AS s"
        " WHERE NOT EXISTS"
        " (SELECT FROM {to} AS t WHERE {same} AND t.batch_id = s.batch_id AND t.batch_row = s.batch_row)"
    ).format(to=_name(to), same=sql.SQL(" AND ").join(map(_same, to.key)), staging=staging)
    left_out = link.query(statement)
    if not all(row["has_other"] for row in left_out):
        raise Refused(SWALLOWED, by_table=True)
    return {row["batch_row"] for row in left_out}


def _same(column: str) -> sql.Composed:
    return sql.SQL("t.{0} = s.{0}").format(sql.Identifier(column))


def _rows(block: Buffer) -> int:
    """Return the number of encoded rows: newlines within values are escaped."""
    return (bytes(block) if isinstance(block, memoryview) else block).count(b"\n")


def _name(table: Table) -> sql.Identifier:
    return sql.Identifier(table.name)


def _slices(values: Sequence[str]) -> list[list[str]]:
    every = list(values)
    return [every[start : start + IDS_PER_QUERY] for start in range(0, len(every), IDS_PER_QUERY)]
