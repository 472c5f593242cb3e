"""PostgreSQL as a kind of store. Its driver is an extra of the distribution."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.query.backend import Limits, Reading
from llmledgerd.query.erasure import Objects
from llmledgerd.stores.base import NoDoubts
from llmledgerd.stores.kind import ConfiguredStore, Kind, Reconciled, StoreEraser
from llmledgerd.stores.postgres.options import PostgresOptions

if TYPE_CHECKING:
    from llmledgerd.query.payloads import Fetcher
    from llmledgerd.stores.postgres.sink import Postgres


class PostgresKind(Kind[PostgresOptions]):
    """A PostgreSQL server."""

    name = "postgres"
    title = "PostgreSQL"
    schemes = ("postgresql", "postgres")
    options_type = PostgresOptions

    def __init__(self) -> None:
        self._erasing: set[Postgres] = set()
        """Connections of erasures, whose long waits end with the store."""

    def opened(self, config: Config) -> ConfiguredStore:
        with _driver():
            from llmledgerd.stores.postgres.migrations import apply, check
            from llmledgerd.stores.postgres.pointing import pointed
            from llmledgerd.stores.postgres.sink import Postgres
            from llmledgerd.stores.postgres.source import PostgresSource
        options = self.options(config)
        store = Postgres(
            options.url,
            password_file=options.password_file,
            content=options.content,
            timeout_seconds=config.insert_timeout_seconds,
        )
        return ConfiguredStore(
            name=self.name,
            address=store.address,
            destination=store,
            doubts=NoDoubts(),
            version=lambda: f"{self.title} {store.version()}",
            missing=partial(check, store),
            unsynced=list,  # a commit is synced, unless the server's operator changed that
            migrate=partial(apply, store),
            reconcile=Reconciled,
            doubted_hours=lambda: None,
            log_in_as=lambda url: None,  # the password is read at each connection
            close=partial(self._close, store),
            source=PostgresSource(store),
            counts=store.counts,
            takes_views=True,
            pointed=partial(pointed, store),
        )

    def _close(self, store: Postgres) -> None:
        for one in {store, *self._erasing}:
            one.close()

    def reader(
        self,
        options: PostgresOptions,
        fetcher: Fetcher | None,
        *,
        mark: str,
        limits: Limits,
        timeout_seconds: float,
    ) -> Reading:
        with _driver():
            from llmledgerd.stores.postgres.connections import Connections
            from llmledgerd.stores.postgres.reader import PostgresReading
        connections = Connections(
            options.url, password_file=options.password_file, timeout_seconds=timeout_seconds
        )
        return PostgresReading(connections, fetcher)

    @contextlib.contextmanager
    def eraser(
        self, options: PostgresOptions, objects: Objects | None, timeout_seconds: float
    ) -> Iterator[StoreEraser]:
        with _driver():
            from llmledgerd.stores.postgres.erasure import PostgresEraser
            from llmledgerd.stores.postgres.sink import Postgres
        store = Postgres(options.url, password_file=options.password_file, timeout_seconds=timeout_seconds)
        self._erasing.add(store)
        try:
            yield PostgresEraser(store, objects)
        finally:
            self._erasing.discard(store)
            store.close()


@contextlib.contextmanager
def _driver() -> Iterator[None]:
    """Report a driver that is not installed as ConfigError."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"PostgreSQL needs llmledgerd[postgres]: {error}") from None
