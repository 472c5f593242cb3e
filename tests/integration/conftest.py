"""Stores to test against: the embedded engine, and the same engine behind HTTP or somebody's server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.engine import Engine, external_server, fresh_database, running_engine
from tests.helpers.kinds import KINDS, Kind, running_kind
from tests.helpers.migrated_databases import LAYOUT, Lend, MigratedDatabases, migrated_database
from tests.helpers.postgres import PostgresServer, fresh_postgres_database, running_postgres

IN_MEMORY = Path("/dev/shm")
IN_MEMORY_BYTES = 4 << 30
"""Below so much free memory an engine's files lie on the disk."""


def _folder_of_files() -> Path | None:
    """Return a file system without a disk, where files are made and synced in a fifth less time."""
    has_room = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > IN_MEMORY_BYTES
    return IN_MEMORY if has_room else None


@pytest.fixture(scope="session")
def _shared_engine() -> Iterator[Engine]:
    with (
        tempfile.TemporaryDirectory(dir=_folder_of_files(), prefix="llmledger-engine-") as folder,
        running_engine(Path(folder) / "data") as engine,
    ):
        yield engine


@pytest.fixture
def engine(_shared_engine: Engine) -> Iterator[Engine]:
    """Return an engine behind HTTP that takes faults, without any at the start."""
    _shared_engine.release()
    yield _shared_engine
    _shared_engine.release()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Return the URL of an empty database in PostgreSQL."""
    with fresh_postgres_database(postgres_server.address) as url:
        yield url


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    """Return a migrated, empty store of each kind in turn."""
    with running_kind(request.param, request, tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def _databases(_shared_engine: Engine) -> Iterator[MigratedDatabases]:
    databases = MigratedDatabases(_shared_engine)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def lend(request: pytest.FixtureRequest) -> Lend:
    """Return what gives the URL of a database like that of ``server_url`` for the length of a block."""
    if external_server():
        return partial(migrated_database, external_server())
    databases: MigratedDatabases = request.getfixturevalue("_databases")
    return databases.lent


@pytest.fixture
def empty_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the URL of an empty database on a server."""
    address = external_server() or request.getfixturevalue("engine").address
    with fresh_database(address) as url:
        yield url


@pytest.fixture
def server_url(request: pytest.FixtureRequest, lend: Lend) -> Iterator[str]:
    """Return the URL of a database on a server without rows, with the tables that a migration makes."""
    if not external_server():
        request.getfixturevalue("engine")  # it has no faults now
    with lend() as url:
        yield url


# The engine is the same, and starts anew for each test; ``test_stores`` and the daemon's tests have it always.
@pytest.fixture(params=[pytest.param("embedded", marks=pytest.mark.slow), "server"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a store without rows, of each kind in turn."""
    if request.param == "embedded":
        return f"chdb://{tmp_path / 'clickhouse'}"
    return str(request.getfixturevalue("server_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Return a migrated store of each kind in turn."""
    opened = Store(store_url, timeout_seconds=30)
    try:
        migrations.apply(opened, LAYOUT)
        yield opened
    finally:
        opened.close()


@pytest.fixture
def server(server_url: str) -> Iterator[Store]:
    """Return a migrated store on a server."""
    opened = Store(server_url, timeout_seconds=30)
    try:
        yield opened
    finally:
        opened.close()
