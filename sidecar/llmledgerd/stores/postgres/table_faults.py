"""What somebody changed in a table so that it takes no rows of ours.

Invariant: only what refuses every row is named; constraints and triggers that refuse some are not.
"""

from __future__ import annotations

from typing import Final

from psycopg import sql

from llmledgerd.stores.postgres.connections import Link
from llmledgerd.stores.postgres.tables import Table

COLUMNS: Final = sql.SQL(
    "SELECT attname AS name, attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = ''"
    " AND NOT EXISTS (SELECT FROM pg_type WHERE oid = atttypid AND typdefault IS NOT NULL) AS is_needed"
    " FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)
ENCODING: Final = sql.SQL("SELECT current_setting('server_encoding') AS encoding")


def encoding_fault(link: Link) -> list[str]:
    """Return a sentence where the database cannot hold every text."""
    encoding = link.query(ENCODING)[0]["encoding"]
    if encoding == "UTF8":
        return []
    return [f"the database has the encoding {encoding}; records need one created with ENCODING 'UTF8'"]


def table_faults(link: Link, table: Table, *, is_migrated: bool = True) -> list[str]:
    """Return why a table takes no rows, a sentence each; empty if nothing is wrong.

    ``is_migrated``: migrations would add nothing, so that what is missing was dropped.
    """
    remedy = (
        "dropped since the migration, which does not add it again: add it as in ddl/postgres"
        if is_migrated
        else "run `llmledgerd migrate`"
    )
    columns = {row["name"]: row["is_needed"] for row in link.query(COLUMNS, (table.name,))}
    if not columns:
        return [f"missing table {table.name}; {remedy}"]
    lacking = [name for name in table.columns if name not in columns]
    needed = [name for name, is_needed in columns.items() if is_needed and name not in table.columns]
    faults = []
    if lacking:
        faults.append(f"the table {table.name} lacks {', '.join(lacking)}; {remedy}")
    if needed:
        faults.append(
            f"the table {table.name} requires values in {', '.join(needed)}, which records do not have;"
            " drop NOT NULL there or add a default"
        )
    return faults
