"""Price files of the settings: ``prices_file`` and ``price_list_file``, read and put in force.

Invariant: prices change together or not at all. A file that is wrong ends the start; at a reload the
prices before it stay in force, and the log, a counter and the status say so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.log import log
from llmledgerd.records.pricing import Pricer, own_prices, price_list
from llmledgerd.records.pricing.own_prices import NO_OWN_PRICES, OwnPrices
from llmledgerd.records.pricing.price_list import PriceList

LARGEST_BYTES: Final = 64 << 20
"""Of a price file; genai-prices' data has 2 MB."""


class PriceFile(NamedTuple):
    """A file's name and date, as ``price_list`` of a row says them, and its content."""

    path: str
    name: str
    content: bytes


def lists(config: Config) -> tuple[PriceList, OwnPrices]:
    """Return the price lists that the settings name. Raises ConfigError naming file, entry and field."""
    return _lists(*_files(config))


def pricer(config: Config) -> Pricer:
    """Return what prices by the settings' lists, for commands. Raises ConfigError as ``lists`` does."""
    return Pricer(*lists(config))


def _files(config: Config) -> tuple[PriceFile | None, PriceFile | None]:
    return _read("price_list_file", config.price_list_file), _read("prices_file", config.prices_file)


def _lists(listed: PriceFile | None, own: PriceFile | None) -> tuple[PriceList, OwnPrices]:
    return (
        PriceList() if listed is None else price_list.parsed(listed.content, listed.path, f"genai-prices {listed.name}"),
        NO_OWN_PRICES if own is None else own_prices.parsed(own.content, own.path, own.name),
    )  # fmt: skip


def _read(setting: str, path: str) -> PriceFile | None:
    """Return a file; ``None`` where the setting is empty. Raises ConfigError."""
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
            changed = datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)
    except OSError as error:
        raise ConfigError(f"{setting}: {path}: {error.strerror}") from error
    if len(content) > LARGEST_BYTES:
        raise ConfigError(f"{setting}: {path}: more than {LARGEST_BYTES} bytes")
    return PriceFile(path, f"{Path(path).name} {changed:%Y-%m-%d}", content)


class Prices:
    """The daemon's pricer, and the files that its prices are from."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError for a file that is wrong."""
        self._files = _files(config)
        self.pricer = Pricer(*_lists(*self._files))
        self.failures = 0
        """Reloads since the start that left the prices as they were."""
        self.trouble = ""
        """What was wrong with a file at the last reload; empty where nothing was."""

    def reload(self, config: Config) -> None:
        """Read the files again, and price by them from the next call on, unless one of them is wrong."""
        try:
            files = _files(config)
            if files != self._files:  # a large file takes a moment to check
                self.pricer.use(*_lists(*files))
                self._files = files
                log.info("prices reloaded", files=[file.name for file in files if file])
        except ConfigError as error:
            self.failures += 1
            self.trouble = f"{error}; the prices before it are in force"
            log.error("prices not reloaded, those before stay in force", error=str(error))
        else:
            self.trouble = ""
