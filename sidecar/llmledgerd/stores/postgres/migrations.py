"""The tables in PostgreSQL: numbered SQL files under ``ddl/postgres``, applied in order, once.

Invariants:
- A file and the record of it are one transaction, and one migration runs at a time.
- A file that was applied never changes; a later one adds, so that an older daemon goes on working.
- Tables of other applications are not changed: ``check`` requires only the needed columns.
"""

from __future__ import annotations

from psycopg import sql

from llmledgerd.errors import ConfigError, LlmledgerdError
from llmledgerd.stores.ddl import SqlFile, split
from llmledgerd.stores.postgres.connections import Link
from llmledgerd.stores.postgres.sink import Postgres
from llmledgerd.stores.postgres.table_faults import encoding_fault, table_faults

RECORDS = sql.SQL(
    "CREATE TABLE IF NOT EXISTS llmledger_migrations"
    " (name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
)
LOCK = sql.SQL("SELECT pg_advisory_xact_lock(hashtext('llmledger_migrations'))")


def apply(store: Postgres) -> list[str]:
    """Apply the files that the store has not recorded; return what was done, in words for people.

    Raises ConfigError if a recorded file was changed, LlmledgerdError if the store takes no records even
    so, and StoreBusy.
    """
    done = []
    for migration in SqlFile.load("postgres"):
        with store.connections.transaction() as link:
            link.query(LOCK)
            link.run(RECORDS)
            if _is_recorded(link, migration):
                continue
            for statement in split(migration.template):
                link.run(sql.SQL(statement))
            link.run(
                sql.SQL("INSERT INTO llmledger_migrations (name, checksum) VALUES (%s, %s)"),
                (migration.name, migration.checksum()),
            )
            link.commit()
        done.append(f"applied {migration.name}")
    if faults := check(store):
        raise LlmledgerdError("; ".join([*done, *faults]))
    return done


def check(store: Postgres) -> list[str]:
    """Return why the store takes no records, a sentence each; empty if it takes them. Raises StoreBusy."""
    with store.connections.transaction() as link:
        missing = encoding_fault(link)
        for table in store.tables.values():
            missing += table_faults(link, table, is_migrated=_is_migrated(link))
    return missing


def _is_migrated(link: Link) -> bool:
    """Return whether all files were applied, so that a column that is missing was dropped since."""
    # The daemon's user needs no right to this table.
    is_readable = sql.SQL(
        "SELECT FROM pg_class WHERE oid = to_regclass('llmledger_migrations') AND has_table_privilege(oid, 'SELECT')"
    )
    if not link.query(is_readable):
        return False
    rows = link.query(sql.SQL("SELECT name FROM llmledger_migrations"))
    return {migration.name for migration in SqlFile.load("postgres")} <= {row["name"] for row in rows}


def _is_recorded(link: Link, migration: SqlFile) -> bool:
    rows = link.query(sql.SQL("SELECT checksum FROM llmledger_migrations WHERE name = %s"), (migration.name,))
    if rows and rows[0]["checksum"] != migration.checksum():
        raise ConfigError(
            f"{migration.name} was applied with another text; files that were applied never change"
        )
    return bool(rows)
