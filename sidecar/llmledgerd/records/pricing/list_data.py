"""Data of genai-prices: providers, models, and their prices at a moment.

Invariant: what is read is what the library itself reads from the same data, without the library. Of its
fields only those are read that a price depends on; an unknown rule or condition is an error.

Source of the form: genai-prices, ``prices/data.schema.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec


class Tier(msgspec.Struct, frozen=True):
    """The price of calls with at least ``start`` input tokens; for all of their tokens."""

    start: int
    price: Decimal


class TieredPrices(msgspec.Struct, frozen=True):
    """A price that depends on the number of input tokens."""

    base: Decimal
    tiers: tuple[Tier, ...]


SetPrices = dict[str, Decimal | TieredPrices]
Prices = dict[str, Decimal | TieredPrices | None]
"""In dollars, by what they are for: ``input_mtok`` is per million input tokens."""


class Rule(msgspec.Struct, frozen=True):
    """What a model's name is compared with. Exactly one of the fields is set."""

    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None
    equals: str | None = None
    regex: str | None = None
    any_of: tuple[Rule, ...] | None = msgspec.field(default=None, name="or")
    all_of: tuple[Rule, ...] | None = msgspec.field(default=None, name="and")

    def __post_init__(self) -> None:
        if sum(value is not None for value in msgspec.structs.astuple(self)) != 1:
            raise ValueError("a rule for names has exactly one comparison")

    def is_match(self, name: str) -> bool:
        """Return whether the rule means a name in lower case."""
        if self.any_of is not None:
            return any(one.is_match(name) for one in self.any_of)
        if self.all_of is not None:
            return all(one.is_match(name) for one in self.all_of)
        if self.starts_with is not None:
            return name.startswith(self.starts_with.lower())
        if self.ends_with is not None:
            return name.endswith(self.ends_with.lower())
        if self.contains is not None:
            return self.contains.lower() in name
        if self.equals is not None:
            return name == self.equals.lower()
        return re.search(self.regex or "", name) is not None

    def leaves(self) -> Iterator[Rule]:
        """Yield the comparisons of which the rule consists."""
        inner = self.any_of if self.any_of is not None else self.all_of
        if inner is None:
            yield self
        for each in inner or ():
            yield from each.leaves()


class Condition(msgspec.Struct, frozen=True):
    """When a price holds: from a date on, or daily from a time to another. UTC where no zone is named."""

    start_date: date | None = None
    start_time: time | None = None
    end_time: time | None = None

    def __post_init__(self) -> None:
        is_window = self.start_time is not None and self.end_time is not None
        if (self.start_date is None) is not is_window:
            raise ValueError("a condition is a start date, or a start and an end time")

    def active(self, moment: datetime) -> bool:
        """Return whether the price holds at a moment."""
        moment = moment.astimezone(UTC)
        if self.start_time is None or self.end_time is None:
            return self.start_date is not None and moment.date() >= self.start_date
        start, end = _in_utc(self.start_time), _in_utc(self.end_time)
        if end < start:
            return moment.time() >= start or moment.time() < end
        return start <= moment.time() < end


def _in_utc(at: time) -> time:
    if at.tzinfo is None:
        return at
    return datetime.combine(date(1970, 1, 1), at).astimezone(UTC).time()


class ConditionalPrice(msgspec.Struct, frozen=True):
    """Prices under a condition; without one they hold always."""

    prices: Prices
    constraint: Condition | None = None


class PriceVariant(msgspec.Struct, frozen=True):
    """Prices of calls of a kind, such as batches, that take the place of the standard ones."""

    when: dict[str, str]
    prices: Prices
    constraint: Condition | None = None

    def __post_init__(self) -> None:
        if not self.when:
            raise ValueError("a variant of prices names no call")


class Model(msgspec.Struct, frozen=True):
    """One model of a provider."""

    id: str
    match: Rule
    context_window: int | None = None
    price_comments: str | None = None
    prices: Prices | tuple[ConditionalPrice, ...] = ()
    price_variants: tuple[PriceVariant, ...] | None = None

    def prices_at(self, moment: datetime, context: Mapping[str, str]) -> SetPrices:
        """Return the prices of a call; of conditional ones the last that holds, of variants the first."""
        found = self.prices if isinstance(self.prices, dict) else _last_active(self.prices, moment)
        overrides: SetPrices = {}
        for variant in (self.price_variants or ()) if context else ():
            if variant.constraint is not None and not variant.constraint.active(moment):
                continue
            if all(context.get(key) == value for key, value in variant.when.items()):
                overrides = {**_set(variant.prices), **overrides}
        return {**_set(found), **overrides}


def _last_active(conditional: tuple[ConditionalPrice, ...], moment: datetime) -> Prices:
    for one in reversed(conditional):
        if one.constraint is None or one.constraint.active(moment):
            return one.prices
    return conditional[0].prices if conditional else {}


def _set(prices: Prices) -> SetPrices:
    return {key: value for key, value in prices.items() if value is not None}


class Provider(msgspec.Struct, frozen=True):
    """Who sells models, and the prices that it asks."""

    id: str
    api_pattern: str
    """Regular expression for the beginning of its endpoints' URLs."""
    fallback_model_providers: tuple[str, ...] | None = None
    """Providers whose models it sells too, at their prices."""
    models: tuple[Model, ...] = ()


class Release(msgspec.Struct, frozen=True):
    """The release of genai-prices that this package contains."""

    release: str
    providers: tuple[Provider, ...]


BUNDLED: Final = Path(__file__).with_name("genai_prices.json")
"""Made from the library's own data when the package is built (``build_prices.py``)."""


class _Named(msgspec.Struct):
    """The release without its providers, which take longer to read."""

    release: str


def bundled_release() -> str:
    """Return the version of genai-prices whose data this package contains."""
    return msgspec.json.decode(BUNDLED.read_bytes(), type=_Named).release


def bundled() -> tuple[Provider, ...]:
    """Return the providers of the release that this package contains."""
    return msgspec.json.decode(BUNDLED.read_bytes(), type=Release).providers


def parsed(text: bytes) -> tuple[Provider, ...]:
    """Return the providers of a release's ``data.json``. Raises ValueError."""
    found = msgspec.json.decode(text, type=tuple[Provider, ...])
    if not found:
        raise ValueError("not a list of providers")
    for provider in found:
        try:
            re.compile(provider.api_pattern)
        except re.error as error:
            raise ValueError(f"{provider.id}: api_pattern: {error}") from None
    return found
