"""Prices of calls: the provider's own word, else an own price, else the list price of the moment.

Invariant: the same call has the same price whenever it is asked, by the same lists; whatever a price
depends on is an argument. What is remembered is bounded, and one set of rates for each model, tier,
region and quarter of an hour.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from llmledgerd.records.pricing import amounts, names
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
from llmledgerd.records.timestamps import EPOCH
from llmledgerd.usage.exchange_facts import Facts
from llmledgerd.usage.self_hosted import host_of, is_self_hosted

_SLOT_MICROSECONDS: Final = 15 * 60 * 1_000_000
"""List prices change at midnight UTC, and some (DeepSeek's) within the day, on the hour or half hour."""
_REMEMBERED: Final = 4096
_LONGEST_NAMES: Final = 16 << 10
"""Characters of all that a price is looked up by: it is remembered, and matched with patterns of others' making."""
_MOST_TOKENS: Final = (1 << 32) - 1
"""What a count's column holds; a larger one is another number there than in the cost."""
_NANO: Final = Decimal("1e-9")
_MOST_PLAIN_RATE: Final = 10**7
"""Nano-dollars per token of a usual call: so much for all tokens that a count holds fits its column."""
_ATTO: Final = 10**18
_ATTO_PER_MTOK: Final = 10**12


Lost = tuple[int | None, int | None]
"""``Price.lost_rates``."""

Plain = tuple[tuple[int, ...], tuple[tuple[int, int, int, int, Lost], ...]]
"""Thresholds, and nano-dollars per token of input, cache reads, cache writes and output up to each (-1: none), with what
a token costs that the cache lost."""


class Quote(msgspec.Struct, frozen=True):
    """What calls of one kind cost at one moment."""

    sheet: Sheet | None
    """``None``: they have no price by their usage."""
    reason: str = ""
    source: CostSource = "list_price"
    price_list: str = ""
    per_call: int | None = None
    """Atto-dollars, by an own price that is the whole price."""
    per_second: int | None = None
    plain: Plain | None = None
    """The same where the rates are whole and nothing else of a usual call has a price: no fee, no price of
    reasoning."""


class Kind(NamedTuple):
    """What calls have in common that have the same rates."""

    provider: str
    url: str
    replied: str
    """Names of the model: the reply's, the request's, the sender's."""
    requested: str
    sent: str
    tier: str
    region: str
    organization: str
    slot: int
    """Quarter of an hour since 1970."""
    era: int
    """How many changes of own prices there were before."""


class Book:
    """The lists that are in force, and what was looked up in them. Never changed, only replaced."""

    def __init__(self, listed: PriceList, own: OwnPrices) -> None:
        self.listed = listed
        self.own = own
        self.moments = own.moments
        self.has_organizations = own.has_organizations
        self.quotes: dict[tuple[object, ...], Quote] = {}
        """What is remembered, for who asks in haste."""

    def quote(self, kind: Kind) -> Quote:
        """Return what such calls cost."""
        found = self.quotes.get(kind)
        if found is None:
            if sum(map(len, kind[:8])) > _LONGEST_NAMES:
                return Quote(None, NO_PRICE)
            found = self._found(kind)
            if found.sheet is not None and found.per_second is None:
                found = msgspec.structs.replace(found, plain=_plain(found.sheet))
            if len(self.quotes) >= _REMEMBERED:
                self.quotes.clear()  # at once: to forget one by one costs each call more than this does a few
            self.quotes[kind] = found
        return found

    def _found(self, kind: Kind) -> Quote:
        """Return what such calls cost in a slot of a quarter of an hour, between two changes of own prices."""
        tier, region = kind.tier.lower(), kind.region.lower()
        since_us = kind.slot * _SLOT_MICROSECONDS
        at_us = max(since_us, self.moments[kind.era - 1]) if kind.era else since_us
        models = _candidates((kind.replied, kind.requested, kind.sent))
        own = self.own.find(kind.provider, models, kind.organization, region, tier, at_us)
        if own is not None and own.is_whole:
            return self._whole(own)
        moment = EPOCH + timedelta(microseconds=at_us)
        listed = self._listed(Query(kind.provider, kind.url, models, tier, region), moment)
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
        if is_self_hosted(host_of(asked.url)) or (
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
    replied, *others = [one for one in dict.fromkeys(models) if one] or [""]
    return (
        replied,
        *(
            other
            for other in others
            if names.is_opaque(replied)
            or names.is_opaque(other)
            or names.is_version_of(replied, other)
            or names.says_more(other, replied)
        ),
    )


def _plain(sheet: Sheet) -> Plain | None:
    """Return the rates of usual calls in nano-dollars, where all of them are whole."""
    found = []
    for rates in sheet.rates:
        if rates.request != 0 or rates.reasoning is not None or not rates.input or not rates.output:
            return None
        row = (rates.input, rates.cache_read, rates.cache_write_5m, rates.output)
        if any(rate is not None and rate % amounts.ATTO_PER_NANO for rate in row) or 0 in row:
            return None
        nano = [-1 if rate is None else rate // amounts.ATTO_PER_NANO for rate in row]
        if max(nano) > _MOST_PLAIN_RATE:
            return None
        found.append((nano[0], nano[1], nano[2], nano[3], _lost_rates(rates, is_of_hour=False)))
    return sheet.thresholds, tuple(found)


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
        """Take another list than the release of genai-prices in this package, as files and tests do."""
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
                return Price(reported, "provider", "", model, "", {"total": reported} if reported else {})
        book, at_us = self._book, call.created_at_us
        kind = (
            call.provider, call.url, model, facts.request_model, call.model,
            "batch" if facts.is_batch else facts.service_tier, facts.region,
            call.organization_id if book.has_organizations else "",
            at_us // _SLOT_MICROSECONDS,
            bisect_right(book.moments, at_us) if book.moments else 0,
        )  # fmt: skip
        quote = book.quotes.get(kind) or book.quote(Kind(*kind))
        if quote.plain is not None:
            found = _plainly(quote.plain, facts)
            if found is not None:
                return Price(found[0], quote.source, "", model, quote.price_list, found[1], found[2])
        parts: dict[str, int] = {}
        reason = self._reason(book, Kind(*kind), quote, facts, call, parts)
        dollars = None if reason else amounts.dollars(parts)
        if dollars is None:
            return Price(reason=reason or COST_OUT_OF_RANGE, model=model)
        return Price(
            dollars[0], quote.source, "", model, quote.price_list, dollars[1], lost_rates(quote, facts)
        )

    def quote(self, call: PricedCall, tier: str = "", region: str = "") -> Quote:
        """Return what calls of such a kind cost, whatever their usage: rates, or the reason without any."""
        book, at_us = self._book, call.created_at_us
        kind = Kind(
            call.provider, call.url, call.model, "", "", tier, region, call.organization_id,
            at_us // _SLOT_MICROSECONDS, bisect_right(book.moments, at_us),
        )  # fmt: skip
        return book.quote(kind)

    def sellers(self) -> tuple[str, ...]:
        """Return the providers that the lists in force name; patterns are left out."""
        listed = [provider.id for provider in self._book.listed.providers]
        own = [name for one in self._book.own.entries for name in one.providers if not set(name) & set("*?[")]
        return tuple(dict.fromkeys((*listed, *own)))

    @staticmethod
    def _reason(
        book: Book, kind: Kind, quote: Quote, facts: Facts, call: PricedCall, parts: dict[str, int]
    ) -> str:
        """Add all that a call costs to the parts; return why that is not known, or ``""``."""
        by_usage = quote.sheet is not None or quote.reason
        reason = (_unusable(facts) if by_usage else "") or quote.reason or _add(quote, call, parts)
        if reason or quote.sheet is None:
            return reason
        for used in facts.priced:
            sheet = quote.sheet
            if used.model and used.model != kind.replied:
                other = book.quote(kind._replace(replied=used.model, requested="", sent=""))
                if other.sheet is None:
                    return other.reason or NO_PRICE
                sheet = other.sheet
            reason = add_tokens(sheet.at(used.input), used, parts)
            if reason:
                return reason
        return add_units(quote.sheet.rates[0], facts.units, parts)


_ATTO_PER_PICO: Final = 10**6


def lost_rates(quote: Quote, facts: Facts) -> Lost:
    """Return ``Price.lost_rates`` of a call with such a quote: by the tier of its whole input."""
    if quote.sheet is None or not facts.priced:
        return None, None
    used = facts.priced[0]
    is_of_hour = 2 * used.cache_write_1h > used.cache_write
    return _lost_rates(quote.sheet.at(used.input), is_of_hour=is_of_hour)


def _lost_rates(rates: Rates, *, is_of_hour: bool) -> Lost:
    if rates.input is None or rates.cache_read is None:
        return None, None
    write = rates.cache_write_1h if is_of_hour else rates.cache_write_5m
    write = rates.input if write is None else write
    fresh, written = rates.input - rates.cache_read, write - rates.cache_read
    most = 10**6 * _ATTO  # a million dollars for a token
    return min(most, max(0, fresh)) // _ATTO_PER_PICO, min(most, max(0, written)) // _ATTO_PER_PICO


def _plainly(plain: Plain, facts: Facts) -> tuple[Decimal, dict[str, Decimal], Lost] | None:
    """Return what a usual call costs, by part, and what lost tokens cost: text in and out, and a cache of five minutes;
    ``None`` for all others.

    The same as by all parts, in a third of the time.
    """
    if facts.usage_source != "reported" or facts.usage_check == "mismatch" or facts.doubt or facts.units:
        return None
    priced = facts.priced
    if len(priced) != 1:
        return None
    used = priced[0]
    whole, output, read, write = used.input, used.output, used.cache_read, used.cache_write
    fresh = whole - read - write
    if (
        used.model or used.input_audio or used.output_audio or used.input_image or used.output_image
        or used.input_video or used.output_video or used.citation or used.cache_audio_read
        or used.cache_image_read or used.cache_write_1h or fresh < 0 or whole > _MOST_TOKENS or output > _MOST_TOKENS
    ):  # fmt: skip
        return None
    thresholds, rates = plain
    input_rate, read_rate, write_rate, output_rate, lost = (
        rates[bisect_left(thresholds, whole)] if thresholds else rates[0]
    )
    if (read and read_rate < 0) or (write and write_rate < 0):
        return None
    total = fresh * input_rate
    parts = {"input": total * _NANO} if fresh else {}
    if read:
        amount = read * read_rate
        total += amount
        parts["cache_read"] = amount * _NANO
    if write:
        amount = write * write_rate
        total += amount
        parts["cache_write_5m"] = amount * _NANO
    if output:
        amount = output * output_rate
        total += amount
        parts["output"] = amount * _NANO
    return total * _NANO, parts, lost


def _unusable(facts: Facts) -> str:
    """Return why the usage cannot be priced, or ``""``."""
    if facts.usage_source != "reported":
        has_parts = facts.prompt_tokens is not None or facts.completion_tokens is not None
        is_total_alone = facts.total_tokens is not None and not has_parts
        return USAGE_PARTIAL if facts.usage_source == "partial" and not is_total_alone else USAGE_UNKNOWN
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
