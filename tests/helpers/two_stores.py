"""A daemon that writes to ClickHouse and to PostgreSQL, both in processes that can be killed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.postgres.migrations import apply
from llmledgerd.stores.postgres.sink import Postgres
from tests.helpers import admin, postgres
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.migrated_databases import LAYOUT
from tests.helpers.postgres import PostgresServer
from tests.helpers.waiting import until

SETTINGS: Mapping[str, object] = {
    "stores": "clickhouse,postgres",
    "insert_timeout_seconds": 2,
    "batch_max_age_seconds": 0.05,
    "retry_first_seconds": 0.02,
    "retry_cap_seconds": 0.2,
}


class TwoStores:
    """The daemon, its stores, and what they say."""

    def __init__(
        self,
        engine: Engine,
        server: PostgresServer,
        urls: tuple[str, str],
        folder: Path,
        settings: Mapping[str, object],
    ) -> None:
        self.engine = engine
        self.server = server
        self.clickhouse_url, self.postgres_url = urls
        self._folder = folder
        self._settings = settings
        self.daemon = self.another()
        self.table = Store(self.clickhouse_url)

    def another(self, **settings: object) -> RunningDaemon:
        """Return a daemon over the same spool, with other settings."""
        known = {**SETTINGS, "postgres_url": self.postgres_url, **self._settings, **settings}
        return RunningDaemon(self._folder, url=self.clickhouse_url, settings=known)

    def status(self) -> dict[str, Any]:
        """Return the daemon's counters; each store's identity is checked on the way."""
        seen = admin.status(self.daemon.folder / "admin.sock")
        for store in seen["stores"]:
            admin.assert_identity(store)
        return seen

    def of(self, name: str) -> dict[str, Any]:
        """Return one store's part of the status."""
        return next(store for store in self.status()["stores"] if store["name"] == name)

    def settled(self, name: str, lines: int, *, limit: float = 90) -> dict[str, Any]:
        """Wait until a store has so many lines behind it and none before it."""

        def done() -> dict[str, Any]:
            store = self.of(name)
            return store if admin.records(store) >= lines and not store["in_spool"] else {}

        return until(done, limit=limit, what=f"{lines} lines to settle in {name}")

    def ids(self, name: str) -> Counter[str]:
        """Return how often each id is in a store."""
        return Counter({str(row["id"]): row["n"] for row in self._counted(name, "id")})

    def calls(self, name: str) -> Counter[tuple[str, str]]:
        """Return how often each call, which is an organization and an id, is in a store."""
        found = self._counted(name, "organization_id, id")
        return Counter({(row["organization_id"], row["id"]): row["n"] for row in found})

    def outcomes(self, name: str) -> list[tuple[str, str]]:
        """Return id and outcome of each row in a store."""
        return sorted((row["id"], row["outcome"]) for row in self._rows(name, "SELECT id, outcome FROM {}"))

    def losses(self, name: str) -> Counter[str]:
        """Return how many records each reason has cost, as a store's table of losses says."""
        statement = "SELECT reason, sum(count) AS n FROM llm_trace_losses GROUP BY reason"
        return Counter({row["reason"]: int(row["n"] or 0) for row in self._rows(name, statement)})

    def _counted(self, name: str, columns: str) -> list[dict[str, Any]]:
        return self._rows(name, f"SELECT {columns}, count(*) AS n FROM {{}} GROUP BY {columns}")

    def _rows(self, name: str, statement: str) -> list[dict[str, Any]]:
        if name == "clickhouse":
            return self.table.query(statement.format("llm_traces"))
        return postgres.query(self.postgres_url, statement.format("provider_traces"))


@contextlib.contextmanager
def running_two_stores(
    engine: Engine, server: PostgresServer, urls: tuple[str, str], folder: Path, **settings: object
) -> Iterator[TwoStores]:
    """Migrate both stores, and run a daemon over them."""
    clickhouse_url, postgres_url = urls
    with contextlib.closing(Store(clickhouse_url)) as store:
        migrations.apply(store, LAYOUT)
    with contextlib.closing(Postgres(postgres_url)) as second:
        apply(second)
    two = TwoStores(engine, server, urls, folder, settings)
    two.daemon.start()
    try:
        yield two
    finally:
        if two.daemon.alive:
            two.daemon.kill()
        two.table.close()
