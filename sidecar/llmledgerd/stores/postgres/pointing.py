"""Which objects the rows of PostgreSQL refer to, in both tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from psycopg import sql

from llmledgerd.payloads import names
from llmledgerd.stores.postgres.existing_tables import existing
from llmledgerd.stores.postgres.sink import Postgres

DAY = timedelta(days=1)


def pointed(store: Postgres, wanted: Sequence[str]) -> set[str]:
    """Return the names to which rows refer, under any URL of object storage. Raises StoreBusy.

    The day in a name limits the query to the rows of that day.
    """
    ours = [name for name in wanted if names.is_record(name)]
    days = sorted({datetime.fromisoformat(names.day_of(name)).replace(tzinfo=UTC) for name in ours})
    if not days:
        return set()
    found = set()
    with store.connections.transaction() as link:
        for table in existing(link):
            statement = sql.SQL(
                "SELECT DISTINCT substr(payload_uri, strpos(payload_uri, {start})) AS name FROM {table}"
                " WHERE created_at >= %s AND created_at < %s AND payload_uri <> ''"
                " AND substr(payload_uri, strpos(payload_uri, {start})) = ANY(%s)"
            ).format(start=sql.Literal(f"{names.RECORDS}/date="), table=sql.Identifier(table.name))
            found |= {row["name"] for row in link.query(statement, (days[0], days[-1] + DAY, ours))}
    return found
