"""The stage of each scene: an engine, a PostgreSQL, a folder of objects, and a daemon over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.engine import Engine, fresh_database, running_engine
from tests.helpers.object_storage import S3, Folder, running_s3
from tests.helpers.postgres import PostgresServer, fresh_postgres_database, running_postgres
from tests.helpers.two_stores import TwoStores, running_two_stores


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture
def postgres_url(server: PostgresServer) -> Iterator[str]:
    with fresh_postgres_database(server.address) as url:
        yield url


@pytest.fixture
def storage(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "objects")


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3]:
    with running_s3(tmp_path / "cloud") as server:
        yield server


@pytest.fixture
def two(
    engine: Engine, server: PostgresServer, postgres_url: str, storage: Folder, tmp_path: Path
) -> Iterator[TwoStores]:
    settings = {
        "payloads": "offload",
        "admin_socket_erases": "true",
        "drain_timeout_seconds": 1,
        **storage.settings(),
    }
    with (
        fresh_database(engine.address) as url,
        running_two_stores(engine, server, (url, postgres_url), tmp_path, **settings) as running,
    ):
        try:
            yield running
        finally:
            engine.release()
