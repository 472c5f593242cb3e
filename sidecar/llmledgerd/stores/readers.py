"""Opening of a reader for one store of any kind.

Invariant: a question is answered, or refused in one line, by the store that it is put to; nobody
falls back on another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.query.backend import Reading
from llmledgerd.query.payloads import Fetcher
from llmledgerd.stores.clickhouse.reader import ClickHouseReading

POSTGRES_SCHEMES = ("postgresql://", "postgres://")


def opened(
    url: str,
    fetcher: Fetcher | None = None,
    *,
    mark: str = "",
    settings: Mapping[str, Any] | None = None,
    timeout_seconds: float = 60.0,
    password_file: str = "",
    sql_url: str = "",
) -> Reading:
    """Return the store that a URL names; ``settings`` are ClickHouse's, ``password_file`` is PostgreSQL's.

    ``fetcher`` brings payloads from object storage.

    Raises ConfigError for a URL that no store can have.
    """
    if not url.startswith(POSTGRES_SCHEMES):
        return ClickHouseReading(
            url,
            fetcher,
            mark=mark,
            settings=settings or {},
            timeout_seconds=timeout_seconds,
            sql_url=sql_url,
        )
    try:
        from llmledgerd.stores.postgres.connections import Connections
        from llmledgerd.stores.postgres.reader import PostgresReading
    except ImportError as error:
        raise ConfigError(f"PostgreSQL needs llmledgerd[postgres]: {error}") from None
    connections = Connections(url, password_file=password_file, timeout_seconds=timeout_seconds)
    return PostgresReading(connections, fetcher)


def configured(config: Config, fetcher: Fetcher | None, *, mark: str, settings: Mapping[str, Any]) -> Reading:
    """Return the store that the settings name first."""
    return opened(
        config.read_url,
        fetcher,
        mark=mark,
        settings=settings,
        password_file=config.read_password_file,
        sql_url=config.sql_url,
    )
