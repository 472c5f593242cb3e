"""Which of the two tables of calls a database has."""

from __future__ import annotations

from psycopg import sql

from llmledgerd.stores.postgres.connections import Link
from llmledgerd.stores.postgres.tables import FULL, METADATA, Table


def existing(link: Link) -> list[Table]:
    """Return the existing tables; ``postgres.content`` may have had another value before."""
    there = sql.SQL("SELECT to_regclass(%s) IS NOT NULL AS there")
    return [table for table in (FULL, METADATA) if link.query(there, [table.name])[0]["there"]]
