"""ClickHouse as a kind of store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llmledgerd.config.secrets import masked
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError, StoreBusy
from llmledgerd.query.backend import Limits, Reading
from llmledgerd.query.erasure import Objects
from llmledgerd.query.repricing import Reprice, Repriced
from llmledgerd.stores.clickhouse.options import ClickHouseOptions
from llmledgerd.stores.clickhouse.url import each_address, targets, with_scheme
from llmledgerd.stores.kind import ConfiguredStore, Kind, MarkedRows, StoreEraser
from llmledgerd.system.permissions import refusal

if TYPE_CHECKING:
    from llmledgerd.query.payloads import Fetcher
    from llmledgerd.records.pricing import Pricer


class ClickHouseKind(Kind[ClickHouseOptions]):
    """A ClickHouse server, or the engine embedded in this process."""

    name = "clickhouse"
    title = "ClickHouse"
    schemes = ("chdb", "http", "https")
    options_type = ClickHouseOptions
    can_reprice = True

    def recognizes(self, url: str) -> bool:
        return super().recognizes(with_scheme(url))

    def opened(self, config: Config) -> ConfiguredStore:
        from llmledgerd.records.schema import CLICKHOUSE_COLUMNS, LOSS_COLUMNS, LOSSES, TRACES
        from llmledgerd.stores.clickhouse import migrations, requirements, rollup
        from llmledgerd.stores.clickhouse.client import Store
        from llmledgerd.stores.clickhouse.sink import ClickHouseSink
        from llmledgerd.stores.clickhouse.source import ClickHouseSource

        options = self.options(config)
        store = Store(
            options.url,
            timeout_seconds=config.insert_timeout_seconds,
            insert_mode=options.insert_mode,
            compression=options.compression,
        )
        sums = rollup.Rollup(store)
        needed = {TRACES: CLICKHOUSE_COLUMNS, LOSSES: LOSS_COLUMNS, **rollup.NEEDED}
        return ConfiguredStore(
            name=self.name,
            address=masked(options.url),
            destination=ClickHouseSink(store),
            doubts=sums,
            version=lambda: f"{self.title} {store.version()}",
            missing=lambda: migrations.check(store, needed) or requirements.unmet(store),
            unsynced=partial(migrations.unsynced, store),
            migrate=partial(_migrate, options, config),
            reconcile=sums.reconcile,
            doubted_hours=sums.doubted_hours,
            log_in_as=store.log_in_as,
            close=store.close,
            source=ClickHouseSource(store),
            encode_in_pieces=store.encode_in_pieces,
            takes_views=True,
            is_ours=store.is_embedded,
        )

    def reader(
        self,
        options: ClickHouseOptions,
        fetcher: Fetcher | None,
        *,
        mark: str,
        limits: Limits,
        timeout_seconds: float,
    ) -> Reading:
        from llmledgerd.stores.clickhouse.reader import ClickHouseReading

        return ClickHouseReading(
            options.url,
            fetcher,
            mark=mark,
            limits=limits,
            timeout_seconds=timeout_seconds,
            sql_url=options.sql_url,
        )

    @contextlib.contextmanager
    def eraser(
        self, options: ClickHouseOptions, objects: Objects | None, timeout_seconds: float
    ) -> Iterator[StoreEraser]:
        from llmledgerd.stores.clickhouse.client import Store
        from llmledgerd.stores.clickhouse.erasure import Eraser

        with contextlib.closing(Store(options.url, timeout_seconds=timeout_seconds)) as store:
            yield Eraser(store, objects)

    def require(self, url: str) -> None:
        path = targets(with_scheme(url), {})[0].path
        refused = refusal(path) if path is not None else ""
        if refused:
            raise ConfigError(refused)
        if path is not None and not Path(path).is_dir():
            raise ConfigError(f"no embedded store at {path}")

    def check_operators_sql(self, options: ClickHouseOptions) -> tuple[list[str], list[str]]:
        from llmledgerd.stores.clickhouse.client import Store
        from llmledgerd.stores.clickhouse.grants import beyond_reading

        url = options.sql_url or options.url
        if targets(url, {})[0].path is not None:
            return [], []
        with contextlib.closing(Store(url)) as store:
            try:
                database = store.query("SELECT currentDatabase() AS name")[0]["name"]
                grants = [str(next(iter(row.values()))) for row in store.query("SHOW GRANTS")]
            except StoreBusy as error:
                return [], [f"sql_url: {error}"] if options.sql_url else []
        beyond = beyond_reading(grants, database)
        if not beyond:
            return [], []
        fault = (
            "operators' SQL runs as a user with more than read-only rights (docs/sql.md): "
            f"{', '.join(beyond)[:500]}"
        )
        return ([], [fault]) if options.sql_url else ([f"{fault}; set sql_url to a read-only user"], [])

    def reprice(
        self,
        options: ClickHouseOptions,
        pricer: Pricer,
        wanted: Reprice,
        by: str,
        on_page: Callable[[Repriced], None],
    ) -> Repriced:
        from llmledgerd.stores.clickhouse.client import Store
        from llmledgerd.stores.clickhouse.reprice import reprice

        with contextlib.closing(Store(options.url)) as store:
            return reprice(store, pricer, wanted, by, on_page)

    @contextlib.contextmanager
    def marked_rows(self, url: str, source: str, config: Config) -> Iterator[MarkedRows]:
        from llmledgerd.stores.clickhouse import migrations
        from llmledgerd.stores.clickhouse.client import Store
        from llmledgerd.stores.clickhouse.marked_rows import ClickHouseMarkedRows

        with contextlib.closing(Store(url)) as store:
            if store.is_embedded:
                migrations.apply(store, migrations.Layout(ttl_days=config.ttl_days))
            yield ClickHouseMarkedRows(store, source)


def _migrate(options: ClickHouseOptions, config: Config) -> list[str]:
    """Migrate each server by itself, or a cluster by statements that run on every host."""
    from llmledgerd.stores.clickhouse import migrations
    from llmledgerd.stores.clickhouse.client import Store

    layout = migrations.layout_of(config.ttl_days, options.cluster)
    urls = [options.url] if options.cluster else each_address(options.url)
    done: list[str] = []
    for url in urls:
        with contextlib.closing(Store(url, timeout_seconds=config.insert_timeout_seconds)) as store:
            done += migrations.apply(store, layout)
    return done
