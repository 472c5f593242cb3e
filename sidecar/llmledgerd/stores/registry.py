"""Registry of the kinds of store, and what is done with stores by name or by URL.

Invariant: a kind of store is one package and one line in ``KINDS``. Only this module names kinds; other
packages use ``Kind`` and ``ConfiguredStore``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from llmledgerd.config import loading
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.query.backend import Limits, Reading
from llmledgerd.stores.clickhouse.kind import ClickHouseKind
from llmledgerd.stores.collector.kind import CollectorKind
from llmledgerd.stores.kind import AnyKind, ConfiguredStore
from llmledgerd.stores.postgres.kind import PostgresKind

if TYPE_CHECKING:
    from llmledgerd.query.payloads import Fetcher

KINDS: Final[Mapping[str, AnyKind]] = {
    kind.name: kind
    for kind in (
        ClickHouseKind(),
        PostgresKind(),
        CollectorKind(),
    )
}
"""Kinds by name. The first one is the default of ``stores``."""

OPTIONS: Final = {name: kind.options_type for name, kind in KINDS.items()}


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    *,
    assigned: Mapping[str, str] | None = None,
    with_password: bool = True,
) -> tuple[Config, list[str]]:
    """Return the settings in force with the options of all kinds, and warnings; see ``loading.load``."""
    return loading.load(
        file, environment, flags, kinds=OPTIONS, assigned=assigned, with_password=with_password
    )


def opened(config: Config, names: Sequence[str] | None = None) -> list[ConfiguredStore]:
    """Return the stores of ``names``, by default those of the settings. No connection is made yet."""
    return [KINDS[name].opened(config) for name in names or config.stores]


def kind_of(url: str) -> AnyKind:
    """Return the kind that has the URL's scheme. Raises ConfigError, without the URL, which may have a password."""
    for kind in KINDS.values():
        if kind.recognizes(url):
            return kind
    schemes = ", ".join(scheme for kind in KINDS.values() for scheme in kind.schemes)
    raise ConfigError(f"not the URL of a store (supported schemes: {schemes})")


def reader_at(
    url: str, fetcher: Fetcher | None = None, *, password_file: str = "", timeout_seconds: float = 60.0
) -> Reading:
    """Return a query backend for the store at a URL. Raises ConfigError if there can be none."""
    kind = kind_of(url)
    kind.require(url)
    options = kind.options_type(url=url, password_file=password_file)
    return kind.reader(
        options.with_password({}), fetcher, mark="", limits=Limits(), timeout_seconds=timeout_seconds
    )


def first_reader(config: Config, fetcher: Fetcher | None, *, mark: str, limits: Limits) -> Reading:
    """Return a query backend for the first store of the settings."""
    kind = KINDS[config.stores[0]]
    return kind.reader(kind.options(config), fetcher, mark=mark, limits=limits, timeout_seconds=60.0)


def first_address(config: Config) -> tuple[str, str]:
    """Return the URL of the first store, and its password file if that is read at each connection."""
    options = KINDS[config.stores[0]].options(config)
    return options.url, options.file_read_at_connection


def default_address() -> str:
    """Return the URL of the store that is used if the settings name none."""
    kind = next(iter(KINDS.values()))
    return str(kind.options_type().url)


def pointed_at(config: Config, url: str) -> Config:
    """Return the settings with the store at this URL in first place, instead of another of its kind."""
    kind = kind_of(url)
    options = msgspec.structs.replace(kind.options(config), url=url)
    return msgspec.structs.replace(
        config,
        stores=(kind.name, *(name for name in config.stores if name != kind.name)),
        store_options={**config.store_options, kind.name: options},
    )


def exporting(config: Config, url: str) -> ConfiguredStore:
    """Return the receiver of spans at a URL, with the other options of the settings. Raises ConfigError."""
    kind = CollectorKind()
    options = msgspec.structs.replace(kind.options(config), url=url)
    return kind.opened(
        msgspec.structs.replace(config, store_options={**config.store_options, kind.name: options})
    )


def exports_content(config: Config) -> bool:
    """Return whether spans have the messages of their calls."""
    return CollectorKind().options(config).content == "full"
