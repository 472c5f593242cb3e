"""A collector as a kind of store: it takes spans, and answers nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.query.backend import Limits, Reading
from llmledgerd.query.erasure import Erasure, Extent, Objects
from llmledgerd.records.schema import Row
from llmledgerd.stores.base import NoDoubts, Part
from llmledgerd.stores.collector.options import CollectorOptions
from llmledgerd.stores.kind import ConfiguredStore, Kind, Reconciled, StoreEraser

if TYPE_CHECKING:
    from llmledgerd.query.payloads import Fetcher

NOTHING_TO_READ: Final = "a collector takes spans and can be neither read nor copied from"


class CollectorKind(Kind[CollectorOptions]):
    """An OTLP/HTTP endpoint of traces."""

    name = "collector"
    title = "OpenTelemetry collector"
    schemes = ()  # its URLs are http and https, which say nothing of what answers there
    options_type = CollectorOptions

    def opened(self, config: Config) -> ConfiguredStore:
        if config.stores[0] == self.name:
            raise ConfigError(f"stores: `{self.name}` cannot be the first: {NOTHING_TO_READ}")
        from llmledgerd.stores.collector.sink import Collector  # a command that asks a daemon needs none

        options = self.options(config)
        sink = Collector(
            options.url,
            password_file=options.password_file,
            headers_file=options.headers_file,
            content=options.content,
            timeout_seconds=config.insert_timeout_seconds,
        )
        return ConfiguredStore(
            name=self.name,
            address=sink.address,
            destination=sink,
            doubts=NoDoubts(),
            version=sink.version,
            missing=list,
            unsynced=list,
            migrate=list,
            reconcile=Reconciled,
            doubted_hours=lambda: None,
            log_in_as=lambda url: None,  # files are read for each request
            close=sink.close,
            source=Unreadable(),
            counts=sink.counts,
            pointed=lambda names: set(),
        )

    def reader(
        self,
        options: CollectorOptions,
        fetcher: Fetcher | None,
        *,
        mark: str,
        limits: Limits,
        timeout_seconds: float,
    ) -> Reading:
        raise ConfigError(f"{self.name}: {NOTHING_TO_READ}")

    @contextlib.contextmanager
    def eraser(
        self, options: CollectorOptions, objects: Objects | None, timeout_seconds: float
    ) -> Iterator[StoreEraser]:
        yield NothingErased(options)


class NothingErased:
    """Erases nothing, and says so where prompts were forwarded."""

    def __init__(self, options: CollectorOptions) -> None:
        self._options = options

    def extent(self, erasure: Erasure) -> Extent:
        return Extent()

    def erase(self, erasure: Erasure) -> Extent:
        return Extent()

    def detached(self) -> list[str]:
        what = (
            "spans with prompts and answers" if self._options.content == "full" else "spans without payloads"
        )
        return [f"{what} that were forwarded to the collector stay there"]


class Unreadable:
    """A source of no rows. Every method raises ConfigError."""

    def span(self, from_us: int, to_us: int) -> tuple[int, int] | None:
        raise ConfigError(NOTHING_TO_READ)

    def count(self, from_us: int, to_us: int) -> int:
        raise ConfigError(NOTHING_TO_READ)

    def parts(self, from_us: int, to_us: int) -> list[Part]:
        raise ConfigError(NOTHING_TO_READ)

    def rows(self, batch_ids: Sequence[str], from_us: int, to_us: int) -> list[Row]:
        raise ConfigError(NOTHING_TO_READ)
