"""Registry of stores by name: opening, migration, check and delivery.

Invariant: what differs between kinds of stores is said here and in their own modules, and nowhere
else; whoever ships, asks or counts goes by ``Outlet``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from llmledgerd.config.secrets import masked
from llmledgerd.config.settings import Config
from llmledgerd.config.store_url import each_address
from llmledgerd.errors import ConfigError
from llmledgerd.records.schema import COLUMNS, LOSS_COLUMNS, LOSSES, TRACES
from llmledgerd.stores.base import Buffer, Destination, Doubts, NoDoubts, Source
from llmledgerd.stores.clickhouse import migrations, rollup
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.sink import Landing
from llmledgerd.stores.clickhouse.source import ClickHouseSource

CLICKHOUSE = "clickhouse"
POSTGRES = "postgres"


class Outlet(msgspec.Struct, frozen=True, kw_only=True):
    """One store, and what can be done with it. The calls block; those that ask raise StoreBusy."""

    name: str
    address: str
    """For people, without the password."""
    destination: Destination
    doubts: Doubts
    version: Callable[[], str]
    missing: Callable[[], list[str]]
    """What it lacks, a sentence each."""
    unsynced: Callable[[], list[str]]
    """Which of its tables a power failure may take rows from, a sentence each."""
    migrate: Callable[[], list[str]]
    """Create what is missing; return what was done."""
    mend: Callable[[], rollup.Mended]
    """Bring what is summed up into agreement with the rows."""
    doubted_hours: Callable[[], int | None]
    """Hours in which they may part; None where nothing is summed up."""
    log_in_as: Callable[[str], None]
    """Use the user and the password of its URL from now on."""
    close: Callable[[], None]
    source: Source
    """Its rows, for another store to have them."""
    counts: Mapping[str, int] = {}
    """What it had to change or leave out."""
    encode_in_pieces: Callable[[str, Sequence[str], Sequence[Sequence[object]]], list[Buffer]] | None = None
    """To blocks that refer to large payloads, which may be views, where it can do without a copy."""
    is_ours: bool = False
    """It runs in this process, so that nobody else can migrate it."""


def opened(config: Config, names: Sequence[str] | None = None) -> list[Outlet]:
    """Return the stores that the settings name, or those that are named here; no connection is made yet."""
    kinds = {CLICKHOUSE: _clickhouse, POSTGRES: _postgres}
    return [kinds[name](config) for name in names or config.stores]


def _clickhouse(config: Config) -> Outlet:
    store = Store(
        config.clickhouse_url,
        timeout_seconds=config.insert_timeout_seconds,
        insert_mode=config.insert_mode,
    )
    sums = rollup.Rollup(store)
    needed = {TRACES: COLUMNS, LOSSES: LOSS_COLUMNS, **rollup.NEEDED}
    return Outlet(
        name=CLICKHOUSE,
        address=masked(config.clickhouse_url),
        destination=Landing(store),
        doubts=sums,
        version=lambda: f"ClickHouse {store.version()}",
        missing=partial(migrations.check, store, needed),
        unsynced=partial(migrations.unsynced, store),
        migrate=partial(_migrate_clickhouse, config),
        mend=sums.mend,
        doubted_hours=sums.doubted_hours,
        log_in_as=store.log_in_as,
        close=store.close,
        source=ClickHouseSource(store),
        encode_in_pieces=store.encode_in_pieces,
        is_ours=store.is_embedded,
    )


def _migrate_clickhouse(config: Config) -> list[str]:
    """Migrate each server by itself, or a cluster by statements that run on every host."""
    layout = migrations.layout_of(config.ttl_days, config.cluster)
    urls = [config.clickhouse_url] if config.cluster else each_address(config.clickhouse_url)
    done: list[str] = []
    for url in urls:
        with contextlib.closing(Store(url, timeout_seconds=config.insert_timeout_seconds)) as store:
            done += migrations.apply(store, layout)
    return done


def _postgres(config: Config) -> Outlet:
    try:
        from llmledgerd.stores.postgres.migrations import apply, check
        from llmledgerd.stores.postgres.sink import Postgres
        from llmledgerd.stores.postgres.source import PostgresSource
    except ImportError as error:
        raise ConfigError(f"stores: postgres needs llmledgerd[postgres]: {error}") from None
    store = Postgres(
        config.postgres_url,
        password_file=config.postgres_password_file,
        content=config.postgres_content,
        timeout_seconds=config.insert_timeout_seconds,
    )
    return Outlet(
        name=POSTGRES,
        address=store.address,
        destination=store,
        doubts=NoDoubts(),
        version=lambda: f"PostgreSQL {store.version()}",
        missing=partial(check, store),
        unsynced=list,  # a commit is synced, unless its operator has said otherwise
        migrate=partial(apply, store),
        mend=rollup.Mended,
        doubted_hours=lambda: None,
        log_in_as=lambda url: None,  # its password is read at each connection
        close=store.close,
        source=PostgresSource(store),
        counts=store.counts,
    )
