"""Every kind of store behind one face, so that one suite runs against each.

Invariant: a test that takes a ``Kind`` sees rows as the product gave them: flags as 0 and 1, payloads
as bytes, times as microseconds since 1970.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmledgerd.records.schema import BYTES_COLUMNS
from llmledgerd.stores import registry
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.kind import ConfiguredStore
from llmledgerd.stores.postgres.tables import PAYLOADS, tables
from tests.helpers import postgres
from tests.helpers.config import config as configured
from tests.helpers.engine import Engine, external_server
from tests.helpers.migrated_databases import copy_migrated
from tests.helpers.postgres import PostgresServer, fresh_postgres_database
from tests.helpers.postgres_proxy import running_postgres_proxy

KINDS = ("clickhouse embedded", "clickhouse server", "postgres full", "postgres metadata")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMEOUT_SECONDS = 5.0


class Kind(msgspec.Struct, kw_only=True):
    """One store of some kind, migrated and empty."""

    name: str
    outlet: ConfiguredStore
    url: str
    query: Callable[[str], list[dict[str, Any]]]
    cut: Callable[[], None] | None
    """Lose the answer of the next commit."""
    left_out: frozenset[str] = frozenset()
    """Columns that it does not keep."""

    @property
    def is_postgres(self) -> bool:
        return self.name.startswith("postgres")

    def table(self, name: str) -> str:
        return tables("metadata" if self.left_out else "full")[name].name if self.is_postgres else name

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return what is in a table."""
        found = self.query(f"SELECT * FROM {self.table(name)} ORDER BY batch_row, batch_id")
        return [{column: _plain(column, value) for column, value in row.items()} for row in found]

    def forbid(self, condition: str) -> None:
        """Refuse every row of ``llm_traces`` from now on that does not fulfil a condition."""
        self.query(f"ALTER TABLE {self.table('llm_traces')} ADD CONSTRAINT no_poison CHECK ({condition})")

    def cut_next_commit(self) -> None:
        if self.cut is None:
            pytest.skip("there is no wire that could be cut")
        self.cut()


def _plain(column: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return (value.replace(tzinfo=value.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, bool):
        return int(value)
    if column == "batch_id":
        return str(value)
    if column in ("tool_calls", "tool_results"):
        return tuple(tuple(one.values() if isinstance(one, dict) else one) for one in value)
    return value.encode() if column in BYTES_COLUMNS and isinstance(value, str) else value


@contextlib.contextmanager
def clickhouse_kind(name: str, url: str, engine: Engine | None) -> Iterator[Kind]:
    store = Store(url, timeout_seconds=TIMEOUT_SECONDS)

    def query(statement: str) -> list[dict[str, Any]]:
        if statement.startswith("SELECT"):
            return store.query(statement, raw=BYTES_COLUMNS if "llm_traces" in statement else ())
        store.run(statement)
        return []

    (outlet,) = registry.opened(configured(clickhouse_url=url, insert_timeout_seconds=TIMEOUT_SECONDS))
    outlet.migrate()
    cut = (lambda: engine.fault("commit_then_cut", only="INSERT")) if engine else None
    try:
        yield Kind(name=name, outlet=outlet, url=url, query=query, cut=cut)
    finally:
        outlet.close()
        store.close()


@contextlib.contextmanager
def postgres_kind(name: str, server: PostgresServer) -> Iterator[Kind]:
    content = name.rpartition(" ")[2]
    with fresh_postgres_database(server.address) as url, running_postgres_proxy(server.port) as proxy:
        by_wire = url.replace(f":{server.port}/", f":{proxy.port}/")
        config = configured(
            stores="postgres",
            postgres_url=by_wire,
            postgres_content=content,
            insert_timeout_seconds=TIMEOUT_SECONDS,
        )
        (outlet,) = registry.opened(config)
        outlet.migrate()
        try:
            yield Kind(
                name=name,
                outlet=outlet,
                url=url,
                query=lambda statement: postgres.query(url, statement),
                cut=proxy.cut_after_commit,
                left_out=frozenset(PAYLOADS) if content == "metadata" else frozenset(),
            )
        finally:
            outlet.close()


@contextlib.contextmanager
def running_kind(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Kind]:
    """Return an empty store of a kind; skip where its server is not installed."""
    if name.startswith("postgres"):
        with postgres_kind(name, request.getfixturevalue("postgres_server")) as kind:
            yield kind
    elif name == "clickhouse embedded":
        copy_migrated(folder / "clickhouse")
        with clickhouse_kind(name, f"chdb://{folder / 'clickhouse'}", None) as kind:
            yield kind
    else:
        engine = None if external_server() else request.getfixturevalue("engine")
        with clickhouse_kind(name, request.getfixturevalue("server_url"), engine) as kind:
            yield kind
