"""Interface of a kind of store to the rest of the daemon.

Invariant: everything that differs between kinds of store is behind ``Kind`` and what its methods return.
Drivers are imported when something is opened, so that a kind whose driver is missing harms no other.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from llmledgerd.config.settings import Config
from llmledgerd.config.store_options import StoreOptions
from llmledgerd.errors import ConfigError
from llmledgerd.query.backend import Limits, Reading
from llmledgerd.query.erasure import Erasure, Extent, Objects
from llmledgerd.query.repricing import Reprice, Repriced

if TYPE_CHECKING:
    from llmledgerd.query.payloads import Fetcher
    from llmledgerd.records.pricing import Pricer
    from llmledgerd.records.schema import Row
    from llmledgerd.stores.base import Buffer, Destination, Doubts, Source

Options = TypeVar("Options", bound=StoreOptions)


class Reconciled(msgspec.Struct):
    """Result of one comparison of a store's rollup with its rows."""

    agreed: list[int] = []
    """Hours whose rollup is correct, by their first second since 1970."""
    rebuilt: list[int] = []
    """Hours whose rollup was rebuilt; they stay in doubt until a later comparison."""


class ConfiguredStore(msgspec.Struct, frozen=True, kw_only=True):
    """One opened store and its operations. They block; those that send a query raise StoreBusy."""

    name: str
    address: str
    """For people, without the password."""
    destination: Destination
    doubts: Doubts
    version: Callable[[], str]
    missing: Callable[[], list[str]]
    """Return what the store lacks, a sentence each."""
    unsynced: Callable[[], list[str]]
    """Return which tables can lose rows in a power failure, a sentence each."""
    migrate: Callable[[], list[str]]
    """Create what is missing; return what was done."""
    reconcile: Callable[[], Reconciled]
    """Compare the rollup with the rows and rebuild hours that differ."""
    doubted_hours: Callable[[], int | None]
    """Return the number of hours in which they may differ; None if the store has no rollup."""
    log_in_as: Callable[[str], None]
    """Use the user and the password of this URL from now on."""
    close: Callable[[], None]
    source: Source
    """Rows of this store, for a copy to another store."""
    counts: Mapping[str, int] = {}
    """Number of values that the store changed or left out."""
    encode_in_pieces: Callable[[str, Sequence[str], Sequence[Sequence[object]]], list[Buffer]] | None = None
    """Encode rows to blocks that refer to large payloads instead of copying them; None if unsupported."""
    takes_views: bool = False
    """``encode`` and ``encode_in_pieces`` accept payloads that are views of their line."""
    pointed: Callable[[Sequence[str]], set[str]] | None = None
    """Return which of these names of objects its rows have; None if the store answers SQL about that."""
    is_ours: bool = False
    """The store runs in this process, so that no other process can open or migrate it."""


class StoreEraser(Protocol):
    """Eraser of one store. Its methods block, and raise StoreBusy."""

    def extent(self, erasure: Erasure) -> Extent:
        """Return what ``erase`` would find now."""

    def erase(self, erasure: Erasure) -> Extent:
        """Erase, and return what there was."""

    def detached(self) -> list[str]:
        """Return data that no statement of the eraser reaches, a sentence each."""


class MarkedRows(Protocol):
    """Calls of one store that have a certain ``source``. Its methods block, and raise StoreBusy."""

    def are_alone(self) -> bool:
        """Return whether the store holds no other calls."""

    def insert(self, rows: Sequence[Row], batch_id: str) -> None:
        """Insert rows with that ``source`` as one batch."""

    def delete(self) -> int:
        """Delete them all; return how many there were."""


class Kind(abc.ABC, Generic[Options]):
    """One kind of store. ``name`` is the one in ``stores`` and of the table of its options."""

    name: str
    title: str
    """For people."""
    schemes: tuple[str, ...]
    """URL schemes of this kind, which no other kind has."""
    can_reprice: bool = False
    """Costs can be recomputed in it."""
    options_type: type[Options]

    def recognizes(self, url: str) -> bool:
        """Return whether a URL is one of this kind."""
        return url.partition("://")[0].lower() in self.schemes

    def options(self, config: Config) -> Options:
        """Return the options of this kind in the settings."""
        return config.options_of(self.name, self.options_type)

    @abc.abstractmethod
    def opened(self, config: Config) -> ConfiguredStore:
        """Return the store of the settings. No connection is made yet. Raises ConfigError."""

    @abc.abstractmethod
    def reader(
        self, options: Options, fetcher: Fetcher | None, *, mark: str, limits: Limits, timeout_seconds: float
    ) -> Reading:
        """Return a query backend. Raises ConfigError for a URL that the kind does not support.

        ``fetcher`` gets payloads from object storage; ``mark`` identifies the queries in the store.
        """

    @abc.abstractmethod
    def eraser(
        self, options: Options, objects: Objects | None, timeout_seconds: float
    ) -> AbstractContextManager[StoreEraser]:
        """Return an eraser; ``objects`` is the object storage of the payloads, if there is one."""

    def require(self, url: str) -> None:
        """Raise ConfigError if it is known without a connection that there is no store at the URL."""

    def check_operators_sql(self, options: Options) -> tuple[list[str], list[str]]:
        """Return notes and faults about the rights of operators' SQL, a sentence each."""
        return [], []

    def reprice(
        self, options: Options, pricer: Pricer, wanted: Reprice, by: str, on_page: Callable[[Repriced], None]
    ) -> Repriced:
        """Recompute the costs of calls; ``by`` is who asks, for the record. Raises ConfigError, StoreBusy."""
        raise ConfigError(f"{self.title}: recomputing costs is not supported")

    def marked_rows(self, url: str, source: str, config: Config) -> AbstractContextManager[MarkedRows]:
        """Return the calls with this ``source``; an embedded store is migrated first. Raises ConfigError."""
        raise ConfigError(f"{self.title}: generated calls are not supported")


AnyKind = Kind[Any]
