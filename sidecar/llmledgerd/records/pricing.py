"""Cost of a call in US dollars: as reported by the provider, otherwise by the list price at its time.

Invariant: a cost is exact for the price that it names, or it is ``None``; never a guess and never
0 for "unknown". The arithmetic is in whole atto-dollars, rounded once, to the column's nine
places.

Prices come from genai-prices. Its own calculation takes some hundred times longer than a row may
(it searches providers, models and units in each call), so that it is asked once for each model,
tier and quarter of an hour; what is remembered is one multiplier per kind of token.

Not covered, because the facts do not count them: searches, pages, characters, hours of audio.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from llmledgerd.usage.exchange_facts import Facts, PricedUsage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, PriceVariant, Provider, TieredPrices

CostSource = Literal["provider", "list_price", ""]

MAX_COST: Final = Decimal("999999999.999999999")
"""Maximum of Decimal(18, 9)."""

_SLOT_MICROSECONDS: Final = 15 * 60 * 1_000_000
"""Prices change at midnight UTC, and some (DeepSeek's) within the day, on the hour or half hour."""
_REMEMBERED: Final = 4096
_LONGEST_NAMES: Final = 16 << 10
"""Limit in characters of all names in a price lookup, which are cached and matched with foreign patterns."""

_ATTO_PER_MTOK: Final = 12
"""Decimal places between dollars per million tokens and atto-dollars per token."""
_ATTO_PER_NANO: Final = 10**9
_NANO: Final = Decimal("1e-9")
_MAX_NANO: Final = int(MAX_COST.scaleb(9))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_ALIASES: Final = {
    "openai-chat": "openai",
    "openai-responses": "openai",
    "openai-completions": "openai",
    "azure-openai": "azure",
    "azureopenai": "azure",
    "azure-ai": "azure",
    "azure-foundry": "azure",
    "claude": "anthropic",
    "gemini": "google",
    "google-ai": "google",
    "google-gemini": "google",
    "google-genai": "google",
    "google-vertex": "google",
    "google-vertexai": "google",
    "vertex": "google",
    "vertex-ai": "google",
    "vertexai": "google",
    "bedrock": "aws",
    "aws-bedrock": "aws",
    "amazon-bedrock": "aws",
    "amazon": "aws",
    "mistralai": "mistral",
    "mistral-ai": "mistral",
    "xai": "x-ai",
    "grok": "x-ai",
    "together-ai": "together",
    "togetherai": "together",
    "fireworks-ai": "fireworks",
    "moonshot": "moonshotai",
    "kimi": "moonshotai",
    "voyage": "voyageai",
    "voyage-ai": "voyageai",
    "z-ai": "zai",
    "zhipu": "zhipuai",
}
"""Senders' names of providers, and genai-prices' name. Matched whole: ``lmstudio_openai`` runs on the
user's own machine, and a rule that finds ``openai`` in it would bill that."""

_OFF_LIST_TIERS: Final = frozenset(
    {"batch", "fast", "flex", "performance", "priority", "provisioned", "provisioned_throughput", "reserved"}
    | {"scale"}
)
"""Tiers that do not cost the list price; unless a price is listed for them, the cost is unknown."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Atto-dollars per token; the rate of a part is the difference to the rate of the whole.

    So the price of a call is one sum: the whole at its rate, plus each part at its difference.
    """

    request: int
    """Atto-dollars per call."""
    input: int
    output: int | None
    cache_read: int
    cache_write: int
    cache_write_1h: int | None
    reasoning: int
    input_audio: int
    output_audio: int
    cache_audio_read: int
    input_image: int
    output_image: int


class Sheet(msgspec.Struct, frozen=True):
    """One model's rates at one moment; ``rates[i]`` holds up to ``thresholds[i]`` input tokens.

    Beyond a threshold all tokens of the call have the higher tier's rate, not only those above.
    """

    thresholds: tuple[int, ...]
    rates: tuple[Rates, ...]

    def at(self, input_tokens: int) -> Rates:
        """Return the rates of a call with so many input tokens."""
        for threshold, rates in zip(self.thresholds, self.rates, strict=False):
            if input_tokens <= threshold:
                return rates
        return self.rates[-1]


class Pricer:
    """Pricing of calls. Pure except for a bounded cache."""

    def __init__(self, providers: Sequence[Provider] | None = None) -> None:
        """Use another price list than genai-prices' own, for tests."""
        self._providers = providers
        self._provider = lru_cache(_REMEMBERED)(self._find_provider)
        self._sheet = lru_cache(_REMEMBERED)(self._find_sheet)
        self._model = lru_cache(_REMEMBERED)(self._find_model)

    def cost(
        self, facts: Facts, provider: str, model: str, url: str, created_at_us: int
    ) -> tuple[Decimal | None, CostSource]:
        """Return dollars and their source, or ``(None, "")``.

        A cost that the provider reports wins (SPEC section 4). ``model`` is the sender's word and
        is asked only where the reply names no model that has a price; ``url`` says better than
        ``provider`` who bills, because senders name the SDK that they use.
        """
        if facts.cost_usd is not None:
            reported = reported_cost(facts.cost_usd)
            if reported is not None:
                return reported, "provider"
        if facts.usage_source == "unknown" or not facts.priced:
            return None, ""
        slot, tier, is_batch = created_at_us // _SLOT_MICROSECONDS, facts.service_tier, facts.is_batch
        total = 0
        for used in facts.priced:
            replied = used.model or facts.model
            if len(provider) + len(url) + len(replied) + len(model) + len(tier) > _LONGEST_NAMES:
                return None, ""
            sheet = self._sheet(provider, url, replied, model, tier, is_batch, slot)
            atto = None if sheet is None else price(sheet, used)
            if atto is None:
                return None, ""
            total += atto
        return in_dollars(total), "list_price"

    def _price_list(self) -> Sequence[Provider]:
        if self._providers is None:
            # 25 MB and 0.15 s: not for a process that never prices anything.
            from genai_prices.data_snapshot import get_snapshot

            self._providers = get_snapshot().providers
        return self._providers

    def _find_provider(self, name: str, url: str) -> str | None:
        providers = self._price_list()
        for provider in providers if url else ():
            if re.match(provider.api_pattern, url):
                return provider.id
        plain = name.strip().lower().replace("_", "-").replace(" ", "-")
        wanted = _ALIASES.get(plain, plain)
        return wanted if any(provider.id == wanted for provider in providers) else None

    def _find_sheet(
        self, provider: str, url: str, replied: str, sent: str, tier: str, is_batch: bool, slot: int
    ) -> Sheet | None:
        seller = self._provider(provider, url)
        found = seller and (self._model(seller, replied) or self._model(seller, sent))
        if not found:
            return None
        model, variants = found
        moment = _EPOCH + timedelta(microseconds=slot * _SLOT_MICROSECONDS)
        context = _context(variants, tier.lower(), is_batch, moment)
        return None if context is None else sheet_of(model.get_prices(moment, context))

    def _find_model(self, provider_id: str, name: str) -> tuple[ModelInfo, Sequence[PriceVariant]] | None:
        """Return the model and its prices for batches and tiers.

        A model found at another provider (Azure sells OpenAI's) has its list price and none of
        its variants: a discount there says nothing about a discount here.
        """
        providers = list(self._price_list())
        provider = next(each for each in providers if each.id == provider_id)
        model = provider.find_model(name, all_providers=providers) if name else None
        if model is None:
            return None
        is_own = any(each is model for each in provider.models)
        return model, (model.price_variants or ()) if is_own else ()


def _context(
    variants: Sequence[PriceVariant], tier: str, is_batch: bool, moment: datetime
) -> dict[str, str] | None:
    """Return the variant of the prices that applies to the call; ``None`` if it is unknown."""
    wanted = (
        [{"processing": "batch"}]
        if is_batch or tier == "batch"
        else [{"service_tier": tier}, {"speed": tier}]
    )
    for variant in variants:
        if variant.when in wanted and (variant.constraint is None or variant.constraint.active(moment)):
            return variant.when
    return None if is_batch or tier in _OFF_LIST_TIERS else {}


def sheet_of(prices: ModelPrice) -> Sheet | None:
    """Return the model's rates, one set per tier; ``None`` where its input has no price per token."""
    by_key = prices.__dict__
    if by_key.get("input_mtok") is None:
        return None
    thresholds = sorted({tier.start for value in by_key.values() for tier in getattr(value, "tiers", ())})
    return Sheet(tuple(thresholds), tuple(_rates(by_key, above) for above in (-1, *thresholds)))


def _rates(by_key: Mapping[str, Decimal | TieredPrices | None], above: int) -> Rates:
    """Return the rates of calls with more input tokens than ``above``, up to the next threshold.

    A part without a price of its own costs what the whole costs, as in genai-prices. An hour of
    cache is the exception: it always costs more than five minutes.
    """

    def rate(key: str, otherwise: int) -> int:
        value = by_key.get(key)
        return otherwise if value is None else _atto(value, above)

    whole = rate("input_mtok", 0)
    out = rate("output_mtok", 0)
    read = rate("cache_read_mtok", whole)
    write = rate("cache_write_5m_mtok", rate("cache_write_mtok", whole))
    audio = rate("input_audio_mtok", whole)
    return Rates(
        request=rate("requests_kcount", 0) * 1000,  # this one is dollars per thousand
        input=whole,
        output=None if by_key.get("output_mtok") is None else out,
        cache_read=read - whole,
        cache_write=write - whole,
        cache_write_1h=None
        if by_key.get("cache_write_1h_mtok") is None
        else rate("cache_write_1h_mtok", 0) - write,
        reasoning=rate("output_reasoning_mtok", out) - out,
        input_audio=audio - whole,
        output_audio=rate("output_audio_mtok", out) - out,
        # Such a token is in both the cache's and the audio's part: undo both, then price it.
        cache_audio_read=rate("cache_audio_read_mtok", read) - read - audio + whole,
        input_image=rate("input_image_mtok", whole) - whole,
        output_image=rate("output_image_mtok", out) - out,
    )


def _atto(price: Decimal | TieredPrices, above: int) -> int:
    if not isinstance(price, Decimal):
        reached = [tier.price for tier in price.tiers if tier.start <= above]
        price = reached[-1] if reached else price.base
    return round(price.scaleb(_ATTO_PER_MTOK))


def price(sheet: Sheet, used: PricedUsage) -> int | None:
    """Return the atto-dollars of one model's tokens; ``None`` where a kind of them has no price."""
    rates = sheet.at(used.input) if sheet.thresholds else sheet.rates[0]
    total = rates.request + used.input * rates.input
    if used.output:
        if rates.output is None:
            return None
        total += used.output * rates.output
    if (
        used.cache_read or used.cache_write or used.reasoning or used.input_audio or used.output_audio
        or used.input_image or used.output_image
    ):  # fmt: skip
        parts = _parts(rates, used)
        return None if parts is None else total + parts
    return total


def _parts(rates: Rates, used: PricedUsage) -> int | None:
    """Return the additional price of the parts; ``None`` if they contradict the whole or have no price."""
    if used.cache_read + used.cache_write > used.input or used.cache_write_1h > used.cache_write:
        return None
    # Without a price of its own its count changes nothing, and of iterations one may bear them all.
    if rates.reasoning and used.reasoning > used.output:
        return None
    total = (
        used.cache_read * rates.cache_read
        + used.cache_write * rates.cache_write
        + used.reasoning * rates.reasoning
    )
    if used.cache_write_1h:
        if rates.cache_write_1h is None:
            return None
        total += used.cache_write_1h * rates.cache_write_1h
    if (
        used.input_audio or used.output_audio or used.cache_audio_read or used.input_image or used.output_image
    ):  # fmt: skip
        media = _media(rates, used)
        return None if media is None else total + media
    return total


def _media(rates: Rates, used: PricedUsage) -> int | None:
    """Return the additional price of audio and images; ``None`` as in ``_parts``."""
    if used.input_audio > used.input or used.output_audio > used.output:
        return None
    return (
        used.input_audio * rates.input_audio
        + used.output_audio * rates.output_audio
        + used.cache_audio_read * rates.cache_audio_read
        + used.input_image * rates.input_image
        + used.output_image * rates.output_image
    )


def in_dollars(atto: int) -> Decimal:
    """Return the dollars, rounded to nine places and held within the column."""
    nano = (atto + _ATTO_PER_NANO // 2) // _ATTO_PER_NANO
    return MAX_COST if nano > _MAX_NANO else nano * _NANO


def reported_cost(text: float | str) -> Decimal | None:
    """Return the cost as the provider wrote it; ``None`` where that is no number from 0 up."""
    try:
        dollars = Decimal(str(text))
    except InvalidOperation:
        return None
    if not dollars.is_finite() or dollars < 0:
        return None
    return MAX_COST if dollars > MAX_COST else dollars.quantize(_NANO)
