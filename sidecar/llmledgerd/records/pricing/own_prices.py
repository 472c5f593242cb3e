"""Prices of one's own: the file ``prices_file``, parsed and matched.

Invariant: the first entry that matches a call is the one that holds, in the file's order; what it does not
name falls through to the price list. A file is taken whole or not at all. Pure: the caller reads the file.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from llmledgerd.errors import ConfigError
from llmledgerd.records.pricing.names import provider_name
from llmledgerd.records.pricing.price_list import STANDARD
from llmledgerd.records.pricing.rates import TOKEN_PARTS
from llmledgerd.records.timestamps import microseconds

MAX_AMOUNT: Final = Decimal(10**6)
"""Dollars of one amount; more is a mistake in the unit."""
_SMALLEST: Final = Decimal("1e-12")
MAX_ENTRIES: Final = 10_000
_ALWAYS: Final = 1 << 62

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Texts = Text | list[Text]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the file, as it is written. Patterns are globs, and match case-insensitively."""

    name: Text = ""
    """What ``price_list`` calls the entry; for people."""
    provider: Texts | None = None
    model: Texts | None = None
    organization: Texts | None = None
    region: Texts | None = None
    tier: Texts | None = None
    """``standard``, ``batch``, ``flex``, …; ``*`` is every tier."""
    from_: Any = msgspec.field(name="from", default=None)
    """First moment, inclusive; a date is its midnight in UTC, and a time without a zone is UTC."""
    until: Any = None
    """Last moment, exclusive."""
    per_million_tokens: dict[Text, Any] = {}
    per_unit: dict[Text, Any] = {}
    """Per search, page, image, …, by the part's name in ``usage_units``."""
    per_call: Any = None
    per_second: Any = None
    """Of the call's duration, ``latency_ms``."""
    discount_percent: Any = None
    markup_percent: Any = None
    flat_plan: Text = ""
    """Name of a plan that covers the calls: they cost nothing themselves."""
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "USD"
    usd_rate: Any = None
    """US dollars for one unit of ``currency``."""


class OwnPrice(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, checked: whom it is for, and its amounts in dollars."""

    name: str
    providers: tuple[str, ...]
    models: tuple[str, ...]
    organizations: tuple[str, ...]
    regions: tuple[str, ...]
    tiers: tuple[str, ...]
    from_us: int
    until_us: int
    tokens: Mapping[str, Decimal]
    """Dollars per million, by part."""
    units: Mapping[str, Decimal]
    per_call: Decimal | None
    per_second: Decimal | None
    factor: Decimal | None
    """What the list price is multiplied by."""
    flat_plan: str

    @property
    def is_whole(self) -> bool:
        """Whether the entry says the whole price without the call's tokens."""
        by_call = self.per_call is not None or self.per_second is not None
        return bool(self.flat_plan) or (by_call and not self.tokens)

    def matches(
        self, provider: str, models: tuple[str, ...], organization: str, region: str, tier: str
    ) -> bool:
        """Return whether the entry is for such calls; all texts but the organization in lower case."""
        return (
            _any(self.providers, provider)
            and (not self.models or any(_any(self.models, model) for model in models))
            and _any(self.organizations, organization)
            and _any(self.regions, region)
            and _any(self.tiers, "standard" if tier in STANDARD else tier)
        )


class OwnPrices(msgspec.Struct, frozen=True):
    """All entries of a file, in its order."""

    name: str
    """The file and its date, as ``price_list`` has them."""
    entries: tuple[OwnPrice, ...]

    @property
    def moments(self) -> tuple[int, ...]:
        """The moments at which prices change, in microseconds since 1970, ascending."""
        found = {moment for one in self.entries for moment in (one.from_us, one.until_us)}
        return tuple(sorted(found - {-_ALWAYS, _ALWAYS}))

    @property
    def has_organizations(self) -> bool:
        """Whether the price depends on the organization."""
        return any(one.organizations for one in self.entries)

    def find(
        self, provider: str, models: tuple[str, ...], organization: str, region: str, tier: str, at_us: int
    ) -> OwnPrice | None:
        """Return the first entry that is for such a call at a moment."""
        plain = provider_name(provider)
        lower = tuple(model.lower() for model in models)
        for one in self.entries:
            if one.from_us <= at_us < one.until_us and one.matches(plain, lower, organization, region, tier):
                return one
        return None


NO_OWN_PRICES: Final = OwnPrices("", ())


def _any(patterns: tuple[str, ...], text: str) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prices: Annotated[list[Any], Meta(max_length=MAX_ENTRIES)]


def parsed(text: bytes, file: str, name: str) -> OwnPrices:
    """Return the prices of a file's text, TOML or JSON by what it begins with.

    ``name`` is what ``price_list`` will say. Raises ConfigError naming the file, the entry and the field.
    """
    try:
        content = text.decode()
        is_json = content.lstrip().startswith("{")
        raw = (
            json.loads(content, parse_float=Decimal)
            if is_json
            else tomllib.loads(content, parse_float=Decimal)
        )
        entries = msgspec.convert(raw, _File).prices
    except (ValueError, RecursionError) as error:  # of each of the parsers
        raise ConfigError(f"{file}: {error}") from None
    return OwnPrices(name, tuple(_checked(one, file, number) for number, one in enumerate(entries, 1)))


class _Wrong(ValueError):
    """A field, and what is wrong with it."""


def _checked(raw: Any, file: str, number: int) -> OwnPrice:
    name = raw.get("name") if isinstance(raw, dict) else None
    where = f"{file}: entry {number}" + (f" ({name})" if isinstance(name, str) else "")
    try:
        return _own_price(msgspec.convert(raw, Entry))
    except ValueError as error:  # msgspec's among them, which names the field
        raise ConfigError(f"{where}: {error}") from None


def _own_price(entry: Entry) -> OwnPrice:
    rate = _usd_rate(entry)
    tokens = {part: rate * _amount(part, value) for part, value in entry.per_million_tokens.items()}
    for part in tokens:
        if part not in TOKEN_PARTS:
            raise _Wrong(f"`per_million_tokens`: `{part}` is no part (choose from {', '.join(TOKEN_PARTS)})")
    units = {part: rate * _amount(part, value) for part, value in entry.per_unit.items()}
    per_call = None if entry.per_call is None else rate * _amount("per_call", entry.per_call)
    per_second = None if entry.per_second is None else rate * _amount("per_second", entry.per_second)
    factor = _factor(entry)
    has_amounts = bool(tokens or units or per_call is not None or per_second is not None)
    if has_amounts + (factor is not None) + bool(entry.flat_plan) != 1:
        raise _Wrong("give amounts, or one of `discount_percent`, `markup_percent` and `flat_plan`")
    from_us, until_us = _moment("from", entry.from_, -_ALWAYS), _moment("until", entry.until, _ALWAYS)
    if from_us >= until_us:
        raise _Wrong("`until`: not after `from`")
    tiers = _lower(entry.tier)
    return OwnPrice(
        name=entry.name,
        providers=tuple(provider_name(one) for one in _lower(entry.provider)),
        models=_lower(entry.model),
        organizations=_texts(entry.organization),
        regions=_lower(entry.region),
        # An amount is not one for tiers that cost something else unless it says so; a percentage is of any.
        tiers=tiers or (("standard",) if has_amounts else ()),
        from_us=from_us,
        until_us=until_us,
        tokens=tokens,
        units=units,
        per_call=per_call,
        per_second=per_second,
        factor=factor,
        flat_plan=entry.flat_plan,
    )


def _usd_rate(entry: Entry) -> Decimal:
    if entry.currency == "USD":
        if entry.usd_rate is not None:
            raise _Wrong("`usd_rate`: only with another `currency`")
        return Decimal(1)
    if entry.usd_rate is None:
        raise _Wrong(f"`usd_rate` is required: US dollars for one {entry.currency}")
    rate = _amount("usd_rate", entry.usd_rate)
    if not rate:
        raise _Wrong("`usd_rate`: must be above 0")
    return rate


def _factor(entry: Entry) -> Decimal | None:
    if entry.discount_percent is not None and entry.markup_percent is not None:
        raise _Wrong("`markup_percent`: not together with `discount_percent`")
    if entry.discount_percent is not None:
        percent = _amount("discount_percent", entry.discount_percent)
        if percent > 100:
            raise _Wrong("`discount_percent`: above 100")
        return 1 - percent / 100
    if entry.markup_percent is not None:
        percent = _amount("markup_percent", entry.markup_percent)
        if percent > 1000:
            raise _Wrong("`markup_percent`: above 1000")
        return 1 + percent / 100
    return None


def _amount(field: str, value: Any) -> Decimal:
    """Return a number from 0 up, written as a number or as text."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise _Wrong(f"`{field}`: not a number")
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise _Wrong(f"`{field}`: `{value}` is not a number") from None
    if not amount.is_finite() or amount < 0 or amount > MAX_AMOUNT:
        raise _Wrong(f"`{field}`: {value} is not between 0 and {MAX_AMOUNT}")
    if amount % _SMALLEST:
        raise _Wrong(f"`{field}`: {value} has more than 12 decimal places")
    return amount


def _moment(field: str, value: Any, otherwise: int) -> int:
    """Return a date or a time as microseconds since 1970."""
    if value is None:
        return otherwise
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _Wrong(f"`{field}`: `{value}` is neither a date nor a time (ISO 8601)") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise _Wrong(f"`{field}`: not a date or a time")
    return microseconds(value)


def _texts(value: Texts | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _lower(value: Texts | None) -> tuple[str, ...]:
    return tuple(text.lower() for text in _texts(value))
