"""Migrated stores for tests, since making the tables costs half a second.

Invariant: a database that is handed out has the tables that a migration makes, no row, no statement that still
runs in it, and no mutation behind it. One that a test changed in any other way is dropped and never handed out
again. The first one was migrated; the others are made by the statements with which the engine describes its
tables, which takes a quarter of the time. A folder of the embedded engine is a copy of one that the command has
migrated.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import prefork
from tests.helpers.engine import Engine, fresh_database
from tests.helpers.waiting import until

LAYOUT = migrations.Layout(ttl_days=90)
"""The default of the daemon's settings, so that its own migration has nothing to do."""


Lend = Callable[[], AbstractContextManager[str]]
"""What gives the URL of a migrated database without rows for the length of a block."""


@contextlib.contextmanager
def migrated_database(address: str) -> Iterator[str]:
    """Return the URL of a new database with its tables, and drop it after the block."""
    with fresh_database(address) as url:
        with contextlib.closing(Store(url, timeout_seconds=30)) as store:
            migrations.apply(store, LAYOUT)
        yield url


class MigratedDatabases:
    """The databases of one engine that no test uses now."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._free: list[str] = []
        self._ends: dict[str, contextlib.ExitStack] = {}
        self._tables = ""
        """What a migration makes, as the engine describes it."""
        self._statements: list[str] = []
        """What makes the same in another database, whose name is left out."""

    def close(self) -> None:
        """Drop them all."""
        for url in list(self._ends):
            self._ends.pop(url).close()

    @contextlib.contextmanager
    def lent(self) -> Iterator[str]:
        """Return the URL of one for the length of a block."""
        url = self._free.pop() if self._free else self._made()
        yield url
        self._engine.release()  # what a test has stalled runs before the tables are looked at
        until(lambda: not self._engine.running(), what="the statements of a test to end")
        if self._description(url) == self._tables:
            self._empty(url)
            self._free.append(url)
        else:
            self._ends.pop(url).close()

    def _made(self) -> str:
        end = contextlib.ExitStack()
        if self._statements:
            url = end.enter_context(fresh_database(self._engine.address))
            for statement in self._statements:
                self._engine.query(statement.format(database=_database(url)))
        else:
            url = end.enter_context(migrated_database(self._engine.address))
            self._tables = self._description(url)
            self._statements = self._described(url)
        self._ends[url] = end
        return url

    def _described(self, url: str) -> list[str]:
        """Return the statements that make the tables of a database, views last, and the rows about migrations."""
        database = _database(url)
        tables = self._engine.query(
            f"SELECT create_table_query FROM system.tables WHERE database = '{database}'"
            " ORDER BY engine LIKE '%View', name FORMAT JSONCompactEachRow"
        )
        rows = self._engine.query(f"SELECT * FROM {database}.llmledger_migrations FORMAT Values")
        statements = [json.loads(line)[0] for line in tables.splitlines()]
        statements.append(f"INSERT INTO {database}.llmledger_migrations VALUES {rows}")
        doubled = [statement.replace("{", "{{").replace("}", "}}") for statement in statements]
        return [statement.replace(database, "{database}") for statement in doubled]

    def _empty(self, url: str) -> None:
        database = _database(url)
        tables = self._engine.query(
            f"SELECT name FROM system.tables WHERE database = '{database}' AND engine LIKE '%MergeTree'"
            " AND name != 'llmledger_migrations' AND total_rows > 0"
        )
        for table in tables.split():
            self._engine.query(f"TRUNCATE TABLE {database}.{table}")

    def _description(self, url: str) -> str:
        """Return the tables, and the number of changes to what they hold; without the database's name."""
        database = _database(url)
        found = self._engine.query(
            "SELECT groupArray((name, create_table_query)) AS tables,"
            f" (SELECT count() FROM system.mutations WHERE database = '{database}') AS mutations"
            f" FROM (SELECT * FROM system.tables WHERE database = '{database}' ORDER BY name)"
            " FORMAT JSONEachRow"
        )
        return json.dumps(json.loads(found)).replace(database, "")


def copy_migrated(folder: Path) -> None:
    """Make a folder of the embedded engine that is migrated and has no rows."""
    shutil.copytree(_migrated(os.getpid()), folder, symlinks=True)


@functools.cache
def _migrated(owner: int) -> Path:
    """Return a folder that the command has migrated, and that nobody opens; it ends with the process."""
    folder = Path(tempfile.mkdtemp(prefix=f"llmledger-migrated-{owner}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = folder / "clickhouse"
    done = prefork.run("llmledgerd", "migrate", "--set", f"clickhouse_url=chdb://{store}", environment={})
    assert done.returncode == 0, done.stderr
    return store


def _database(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
