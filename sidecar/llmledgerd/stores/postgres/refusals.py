"""Whether a refused row is at fault, or the table.

Invariant: a row is given up only if the table takes other rows, and no more than MANY a day are for one
reason that lies in the table. Otherwise the records wait, and the operator is told why.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict, deque
from typing import Final

from psycopg import sql

from llmledgerd.errors import BatchRejected, StoreBusy
from llmledgerd.stores.postgres.connections import Connections, Link
from llmledgerd.stores.postgres.errors import Refused
from llmledgerd.stores.postgres.table_faults import encoding_fault, table_faults
from llmledgerd.stores.postgres.tables import Table

MANY: Final = 10
"""Rows that a constraint or a trigger of somebody else may make dead letters within a day, for one reason."""
DAY_SECONDS: Final = 86_400.0

SWALLOWED: Final = "rows were left out without an error, by a trigger or a rule of the table"

EMPTY: Final = {"S": "", "N": "0", "B": "false", "D": "now", "A": "{}"}
"""A value for each category of types, of ``pg_type.typcategory``."""
EMPTY_JSON: Final = {"json": "{}", "jsonb": "{}"}
TYPES: Final = sql.SQL(
    "SELECT attname AS name, typcategory AS category, typname AS type FROM pg_attribute"
    " JOIN pg_type ON pg_type.oid = atttypid WHERE attrelid = to_regclass(%s) AND attname = ANY(%s)"
)


class Allowance:
    """How many rows may be given up for each reason. Pure: the caller brings the clock."""

    def __init__(self) -> None:
        self._given_up: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MANY))

    def take(self, reason: str, now: float) -> bool:
        """Return whether one more row may be given up, and count it."""
        before = self._given_up[reason]
        if len(before) == MANY and now - before[0] < DAY_SECONDS:
            return False
        before.append(now)
        return True


class Refusals:
    """Judge of one server's refusals."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._allowance = Allowance()

    def judge(self, table: Table, error: BatchRejected, rows: int) -> None:
        """Raise StoreBusy if the table is at fault; return if the rows are, of which there are so many."""
        with self._connections.transaction() as link:
            faults = encoding_fault(link) + table_faults(link, table)
        if faults:
            raise StoreBusy("table", "; ".join(faults))
        reason = str(error)
        if self._refuses_any(table, reason):
            raise StoreBusy("table", f"{table.name} refuses every row: {reason}")
        by_table = isinstance(error, Refused) and error.by_table
        if rows == 1 and by_table and not self._allowance.take(f"{table.name}: {reason}", time.monotonic()):
            raise StoreBusy("table", f"{table.name} has refused {MANY} rows within a day: {reason}")

    def _refuses_any(self, table: Table, reason: str) -> bool:
        """Return whether the table refuses for this reason a row like one that it has. It is rolled back."""
        try:
            with self._connections.transaction() as link:
                return _insert_another(link, table) == 0 and reason == SWALLOWED
        except BatchRejected as error:
            return str(error) == reason


def _insert_another(link: Link, table: Table) -> int:
    """Insert a copy of some row under a key of its own, an empty one if there is none; return 1 if it is there."""
    own = {"id": str(uuid.uuid4()), "batch_id": str(uuid.uuid4())}
    name, columns = sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    values = [sql.Literal(own[one]) if one in own else sql.Identifier(one) for one in table.columns]
    if link.query(sql.SQL("SELECT EXISTS (SELECT FROM {}) AS there").format(name))[0]["there"]:
        copied = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} LIMIT 1")
        return link.run(
            copied.format(name, columns, sql.SQL(", ").join(map(_typed, table.columns, values)), name)
        )
    kinds = {row["name"]: row for row in link.query(TYPES, (table.name, list(table.columns)))}
    made = [sql.Literal(own.get(one) or _empty(kinds[one])) for one in table.columns]
    return link.run(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(name, columns, sql.SQL(", ").join(made))
    )


def _typed(column: str, value: sql.Composable) -> sql.Composable:
    return sql.SQL("{}::uuid").format(value) if column == "batch_id" else value


def _empty(kind: dict[str, str]) -> str | None:
    return EMPTY_JSON.get(kind["type"], EMPTY.get(kind["category"]))
