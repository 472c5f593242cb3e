"""The tables in PostgreSQL: numbered SQL files under ``ddl/postgres``, applied in order, once.

Invariants:
- A file and the record of it are one transaction, and one migration runs at a time.
- A file that was applied never changes; a later one adds, so that an older daemon goes on working.
- Tables of other applications are not changed: ``check`` requires only the needed columns.
"""

from __future__ import annotations

from psycopg import sql

from llmledgerd.errors import ConfigError
from llmledgerd.stores.ddl import SqlFile, split
from llmledgerd.stores.postgres.connections import Link
from llmledgerd.stores.postgres.sink import Postgres

RECORDS = sql.SQL(
    "CREATE TABLE IF NOT EXISTS llmledger_migrations"
    " (name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
)
LOCK = sql.SQL("SELECT pg_advisory_xact_lock(hashtext('llmledger_migrations'))")


def apply(store: Postgres) -> list[str]:
    """Apply the files that the store has not recorded; return what was done, in words for people.

    Raises ConfigError if a recorded file was changed, and StoreBusy.
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
    return done


def check(store: Postgres) -> list[str]:
    """Return what the store lacks, a sentence each; empty if nothing. Raises StoreBusy."""
    statement = sql.SQL(
        "SELECT attname FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
    )
    missing = []
    for table in store.tables.values():
        with store.connections.transaction() as link:
            present = {row["attname"] for row in link.query(statement, (table.name,))}
        lacking = [name for name in table.columns if name not in present]
        if not present:
            missing.append(f"missing table {table.name}; run `llmledgerd migrate`")
        elif lacking:
            missing.append(f"the table {table.name} lacks {', '.join(lacking)}; run `llmledgerd migrate`")
    return missing


def _is_recorded(link: Link, migration: SqlFile) -> bool:
    rows = link.query(sql.SQL("SELECT checksum FROM llmledger_migrations WHERE name = %s"), (migration.name,))
    if rows and rows[0]["checksum"] != migration.checksum():
        raise ConfigError(
            f"{migration.name} was applied with another text; files that were applied never change"
        )
    return bool(rows)
