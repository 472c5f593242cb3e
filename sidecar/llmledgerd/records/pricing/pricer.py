"""Prices of calls: the provider's own word, else an own price, else the list price of the moment.

Invariant: the same call has the same price whenever it is asked, by the same lists; whatever a price
depends on is an argument. What is remembered is bounded, and one set of rates for each model, tier,
region and quarter of an hour.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from llmledgerd.records.pricing import amounts, hosts, names
from llmledgerd.records.pricing.own_prices import NO_OWN_PRICES, OwnPrice, OwnPrices
from llmledgerd.records.pricing.price import CostSource, Price, PricedCall
from llmledgerd.records.pricing.price_list import Listed, PriceList, Query
from llmledgerd.records.pricing.rates import TOKEN_PARTS, Rates, Sheet, add_tokens, add_units
from llmledgerd.records.pricing.reasons import (
    COST_OUT_OF_RANGE,
    NO_PRICE,
    OWN_MODEL,
    USAGE_MISMATCH,
    USAGE_OUT_OF_RANGE,
    USAGE_PARTIAL,
    USAGE_UNKNOWN,
)
from llmledgerd.usage.exchange_facts import Facts

_SLOT_MICROSECONDS: Final = 15 * 60 * 1_000_000
"""List prices change at midnight UTC, and some (DeepSeek's) within the day, on the hour or half hour."""
_REMEMBERED: Final = 4096
_LONGEST_NAMES: Final = 16 << 10
"""Characters of all that a price is looked up by: it is remembered, and matched with patterns of others' making."""
_MOST_TOKENS: Final = (1 << 32) - 1
"""What a count's column holds; a larger one is another number there than in the cost."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ATTO: Final = 10**18
_ATTO_PER_MTOK: Final = 10**12


class Quote(NamedTuple):
    """What calls of one kind cost at one moment."""

    sheet: Sheet | None
    """``None``: they have no price by their usage."""
    reason: str = ""
    source: CostSource = "list_price"
    price_list: str = ""
    per_call: int | None = None
    """Atto-dollars, by an own price that is the whole price."""
    per_second: int | None = None


class Book:
    """The lists that are in force, and what was looked up in them. Never changed, only replaced."""

    def __init__(self, listed: PriceList, own: OwnPrices) -> None:
        self.listed = listed
        self.own = own
        self.moments = own.moments
        self.has_organizations = own.has_organizations
        self.quote = lru_cache(_REMEMBERED)(self._quote)

    def _quote(
        self,
        provider: str,
        url: str,
        models: tuple[str, ...],
        tier: str,
        region: str,
        organization: str,
        slot: int,
        era: int,
    ) -> Quote:
        """Return what such calls cost in a slot of a quarter of an hour, between two changes of own prices."""
        tier, region = tier.lower(), region.lower()
        since_us = slot * _SLOT_MICROSECONDS
        at_us = max(since_us, self.moments[era - 1]) if era else since_us
        models = _candidates(models)
        own = self.own.find(provider, models, organization, region, tier, at_us)
        if own is not None and own.is_whole:
            return self._whole(own)
        moment = _EPOCH + timedelta(microseconds=at_us)
        listed = self._listed(Query(provider, url, models, tier, region), moment)
        if own is None:
            return Quote(listed.sheet, listed.reason, price_list=self.listed.name)
        if own.factor is not None:
            if listed.sheet is None:
                return Quote(None, listed.reason, price_list=self.listed.name)
            sheet = _scaled(listed.sheet, own.factor)
        else:
            sheet = _replaced(listed.sheet, own)
        both = f"{self._named(own)}, {self.listed.name}" if listed.sheet else self._named(own)
        return Quote(sheet, "", "own_price", both, None, _atto(own.per_second))

    def _listed(self, asked: Query, moment: datetime) -> Listed:
        if hosts.is_self_hosted(asked.url) or (
            not asked.url and names.provider_name(asked.provider) in names.SELF_HOSTED
        ):
            return Listed(None, OWN_MODEL)
        return self.listed.look_up(asked, moment)

    def _whole(self, own: OwnPrice) -> Quote:
        if own.flat_plan:
            return Quote(None, "", "own_price", self._named(own), 0)
        return Quote(None, "", "own_price", self._named(own), _atto(own.per_call), _atto(own.per_second))

    def _named(self, own: OwnPrice) -> str:
        label = own.flat_plan or own.name
        return f"{self.own.name} ({label})" if label else self.own.name


def _candidates(models: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that may say which model answered, of the reply's, the request's and the sender's.

    The reply's is the truth. Another counts only where the reply says no more than a version of it, or
    less than it: a router that answers with another model is billed as that one.
    """
    replied, *others = (one for one in dict.fromkeys(models) if one)
    found = [replied]
    last = replied.rpartition("/")[2].lower()
    for other in others:
        if (
            names.is_opaque(replied) or names.is_opaque(other) or last in other.lower()
            or names.is_version_of(replied, other)
        ):  # fmt: skip
            found.append(other)
    return tuple(found)


def _scaled(sheet: Sheet, factor: Decimal) -> Sheet:
    """Return the rates times a factor."""

    def scaled(rates: Rates) -> Rates:
        fields = {name: getattr(rates, name) for name in (*TOKEN_PARTS, "request")}
        return msgspec.structs.replace(
            rates,
            **{name: round(rate * factor) for name, rate in fields.items() if rate is not None},
            units={part: rate * factor for part, rate in rates.units.items()},
        )

    return Sheet(sheet.thresholds, tuple(map(scaled, sheet.rates)))


def _replaced(sheet: Sheet | None, own: OwnPrice) -> Sheet:
    """Return the list's rates, or none, with one's own in their places."""
    sheet = sheet or Sheet((), (Rates(),))
    tokens = {part: round(amount * _ATTO_PER_MTOK) for part, amount in own.tokens.items()}
    units = {part: amount * _ATTO for part, amount in own.units.items()}
    if own.per_call is not None:
        tokens["request"] = round(own.per_call * _ATTO)
    return Sheet(
        sheet.thresholds,
        tuple(
            msgspec.structs.replace(rates, **tokens, units={**rates.units, **units}) for rates in sheet.rates
        ),
    )


def _atto(amount: Decimal | None) -> int | None:
    return None if amount is None else round(amount * _ATTO)


class Pricer:
    """Prices calls by the lists in force. Threads may share one."""

    def __init__(self, listed: PriceList | None = None, own: OwnPrices = NO_OWN_PRICES) -> None:
        """Take another list than the installed release of genai-prices, as files and tests do."""
        self._book = Book(listed or PriceList(), own)

    def use(self, listed: PriceList, own: OwnPrices) -> None:
        """Price from now on by other lists."""
        self._book = Book(listed, own)

    def price(self, facts: Facts, call: PricedCall) -> Price:
        """Return what a call costs, or why that is not known.

        The provider's own word wins. ``facts`` say what was used, ``call`` the rest of what a price
        depends on. A stored row is priced again with the ``Facts`` of its ``usage_json`` and its columns
        ``usage_source``, ``usage_check``, ``usage_units``, ``service_tier``, ``is_batch``, ``region`` and
        ``request_model``, and with ``PricedCall.priced_model``.
        """
        model = call.priced_model or facts.model or call.model
        if facts.cost_usd is not None:
            reported = amounts.reported_cost(facts.cost_usd)
            if reported is not None:
                parts = {"total": reported} if reported else {}
                return Price(reported, "provider", "", model, "", parts)
        book = self._book
        tier = "batch" if facts.is_batch else facts.service_tier
        names_length = len(call.provider) + len(call.url) + len(model) + len(call.model) + len(tier)
        if names_length + len(facts.request_model) + len(facts.region) > _LONGEST_NAMES:
            return Price(reason=NO_PRICE, model=model)
        at_us = call.created_at_us
        era = bisect_right(book.moments, at_us) if book.moments else 0
        slot = at_us // _SLOT_MICROSECONDS
        organization = call.organization_id if book.has_organizations else ""
        models = (model, facts.request_model, call.model)
        quote = book.quote(call.provider, call.url, models, tier, facts.region, organization, slot, era)
        parts: dict[str, int] = {}
        by_usage = quote.sheet is not None or quote.reason
        reason = (_unusable(facts) if by_usage else "") or quote.reason or _add(quote, call, parts)
        if not reason and quote.sheet is not None:
            for used in facts.priced:
                if used.model and used.model != model:
                    other = book.quote(
                        call.provider, call.url, (used.model,), tier, facts.region, organization, slot, era
                    )  # fmt: skip
                    reason = other.reason
                    sheet = other.sheet
                else:
                    sheet = quote.sheet
                if sheet is not None:
                    rates = sheet.at(used.input) if sheet.thresholds else sheet.rates[0]
                    reason = add_tokens(rates, used, parts)
                if reason:
                    break
            else:
                reason = add_units(quote.sheet.rates[0], facts.units, parts)
        if reason:
            return Price(reason=reason, model=model)
        found = amounts.dollars(parts)
        if found is None:
            return Price(reason=COST_OUT_OF_RANGE, model=model)
        return Price(found[0], quote.source, "", model, quote.price_list, found[1])


def _unusable(facts: Facts) -> str:
    """Return why the usage cannot be priced, or ``""``."""
    if facts.usage_source != "reported":
        return USAGE_PARTIAL if facts.usage_source == "partial" else USAGE_UNKNOWN
    if facts.usage_check == "mismatch":
        return USAGE_MISMATCH
    if facts.doubt:
        return facts.doubt
    if not facts.priced and not facts.units:
        return USAGE_UNKNOWN
    for used in facts.priced:
        if used.input > _MOST_TOKENS or used.output > _MOST_TOKENS or used.reasoning > _MOST_TOKENS:
            return USAGE_OUT_OF_RANGE
    return ""


def _add(quote: Quote, call: PricedCall, parts: dict[str, int]) -> str:
    """Add what an own price takes per call and per second of it; return why that is not known, or ``""``."""
    if quote.per_call:
        parts["request"] = quote.per_call
    if quote.per_second is not None:
        if not call.latency_ms:
            return USAGE_UNKNOWN
        parts["duration"] = quote.per_second * call.latency_ms // 1000
    return ""
