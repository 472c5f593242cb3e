"""Lookup in a price list of genai-prices: provider, model, tier, region, and the rates at a moment.

Invariant: what is returned is the price of exactly this model, tier and region, or the reason why the
list has none. The list's own calculation takes some hundred times longer than a row may (it searches
providers, models and units in each call), so that only its data is used, and answers are remembered.

Source of the data and of its rules: genai-prices, ``prices/providers`` and its README.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from llmledgerd.errors import ConfigError
from llmledgerd.records.pricing import gaps, list_data, names, regions
from llmledgerd.records.pricing.list_data import Model, PriceVariant, Provider, SetPrices, TieredPrices
from llmledgerd.records.pricing.rates import Rates, Sheet
from llmledgerd.records.pricing.reasons import (
    NO_PRICE,
    NO_PRICE_FOR_REGION,
    NO_PRICE_FOR_TIER,
    OTHER_CURRENCY,
)
from llmledgerd.usage.url_rules import place

_ATTO: Final = 10**18
_ATTO_PER_MTOK: Final = 12
"""Decimal places between dollars per million tokens and atto-dollars per token."""

_TOKEN_KEYS: Final = {
    "input": "input_mtok",
    "cache_read": "cache_read_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
    "input_audio": "input_audio_mtok",
    "output_audio": "output_audio_mtok",
    "cache_audio_read": "cache_audio_read_mtok",
    "input_image": "input_image_mtok",
    "output_image": "output_image_mtok",
    "cache_image_read": "cache_image_read_mtok",
    "input_video": "input_video_mtok",
    "output_video": "output_video_mtok",
    "citation": "output_citation_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
"""Parts in tokens, and the list's keys of their prices."""
_UNIT_KEYS: Final = {
    "web_search": (("web_searches_kcount",), 1000),
    "file_search": (("storage_searches_kcount",), 1000),
    "audio_second": (("input_audio_hours", "audio_hours"), 3600),
    "page": (("input_document_kpages",), 1000),
    "annotated_page": (("input_annotated_document_kpages",), 1000),
    "character": (("input_mchars",), 1_000_000),
    "text_message": (("input_text_messages_kcount",), 1000),
}
"""Parts beside tokens, the list's keys of their prices, and for how many units these are."""

STANDARD: Final = frozenset({"", "default", "standard", "on_demand", "on-demand", "standard_only"})
"""Tiers that the list price is of, in the providers' words."""
_SAME_AS_STANDARD: Final = frozenset({("groq", "flex")})
"""Groq docs, "Flex processing": the same price as on demand."""
_UNKNOWABLE: Final = frozenset({"search_type"})
"""What selects a variant of prices and stands in no answer: such a price is not known."""


class Listed(NamedTuple):
    """A model's rates, or why it has none."""

    sheet: Sheet | None
    reason: str = ""
    name: str = ""
    """The candidate that was found."""


class Query(NamedTuple):
    """What a price is looked up by."""

    provider: str
    url: str
    candidates: tuple[str, ...]
    """Names of the model, the most reliable first."""
    tier: str
    """Lower case; ``batch`` for a batch."""
    region: str


class PriceList:
    """A release of genai-prices' data."""

    def __init__(self, providers: Sequence[Provider] | None = None, name: str = "") -> None:
        """Take another list than the release in this package, as tests and files do."""
        self._providers = providers
        self._name = name

    @property
    def name(self) -> str:
        """What ``price_list`` of a row says: ``genai-prices`` and the release."""
        if not self._name:
            self._name = f"genai-prices {list_data.bundled_release()}"
        return self._name

    @property
    def providers(self) -> Sequence[Provider]:
        """The list's providers. The release in this package is loaded at the first question."""
        if self._providers is None:
            self._providers = list_data.bundled()
        return self._providers

    def look_up(self, asked: Query, moment: datetime) -> Listed:
        """Return the rates of a call at a moment, or the reason why the list has none."""
        provider = self.seller(asked)
        if provider is None:
            return Listed(None, NO_PRICE)
        if provider.id in gaps.CONVERTED:
            return Listed(None, OTHER_CURRENCY)
        for candidate in _in_order(asked, provider.id):
            found = self._model(provider, candidate)
            if found is not None:
                model, spelled = found
                break
        else:
            if provider.id == "openrouter" and asked.candidates[-1].endswith(":free"):
                return Listed(
                    Sheet((), (FREE,)), "", asked.candidates[-1]
                )  # OpenRouter docs, "Model variants"
            return Listed(None, NO_PRICE)
        if not regions.has_list_price(provider.id, model.id, spelled, asked.region) or _hides_region(
            provider.id, spelled, asked
        ):
            return Listed(None, NO_PRICE_FOR_REGION, candidate)
        is_own = any(each is model for each in provider.models)
        # A model of another provider (Azure sells OpenAI's) has its list price per token and nothing else:
        # a discount or a fee there says nothing of this one.
        variants = (model.price_variants or ()) if is_own else ()
        context = _context(variants, provider.id, asked.tier, moment)
        if context is None:
            return Listed(None, NO_PRICE_FOR_TIER, candidate)
        if gaps.hides_price(model, moment):
            return Listed(None, NO_PRICE, candidate)
        prices = _known(model.prices_at(moment, context), variants, is_own=is_own)
        sheet = gaps.without_long_context(_sheet(prices, provider.id, model.id, spelled), model)
        return Listed(sheet, "", candidate)

    def seller(self, asked: Query) -> Provider | None:
        """Return who bills: by the endpoint's URL, else by the provider's name.

        A host that is known as another provider's wins over the name: senders name the SDK that they use.
        """
        if asked.url:
            for provider in self.providers:
                if re.match(provider.api_pattern, asked.url):
                    return provider
        wanted = names.provider_name((place(asked.url).provider if asked.url else "") or asked.provider)
        if wanted in names.HUGGING_FACE or "router.huggingface.co" in asked.url:
            wanted = "huggingface-" + next(
                (one.rpartition(":")[2].lower() for one in asked.candidates if ":" in one), ""
            )
        return next((one for one in self.providers if one.id.replace("_", "-") == wanted), None)

    def _model(self, provider: Provider, candidate: str) -> tuple[Model, str] | None:
        """Return the model that a name means, and the spelling that the list knows it by."""
        name = candidate
        if provider.id.startswith("huggingface_"):
            name = candidate.partition(":")[0]
        sellers = [provider]
        for other in provider.fallback_model_providers or ():
            sellers += [one for one in self.providers if one.id == other]
        for spelled in names.spellings(name, provider.id):
            for seller in sellers:
                for model in seller.models:
                    if names.matches(model.match, model.id, spelled):
                        return model, spelled
        for spelled in names.spellings(name, provider.id):
            dashed = _with_dashed_date(spelled)
            if dashed != spelled:
                for model in (model for seller in sellers for model in seller.models):
                    if names.matches(model.match, model.id, dashed):
                        return model, spelled
        return None


_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(\d{2})(\d{2})(?=[-:@]|$)")


def _with_dashed_date(name: str) -> str:
    """Return the name with its date as OpenAI writes it; gateways write ``-20251211``."""
    return _COMPACT_DATE.sub(r"-\1-\2-\3", name)


def _in_order(asked: Query, seller: str) -> tuple[str, ...]:
    """Return the candidates that may name the model, the most reliable first.

    Bedrock's and Hugging Face's replies leave out what the price depends on (the geography, the provider
    behind the router), which the request's name has.
    """
    found = tuple(one for one in asked.candidates if one)
    if seller == "aws":
        ids = [one for one in found if "." in one]
        return (*ids, *(one for one in found if one not in ids))
    if seller == "openrouter" and found and found[-1].endswith(":free"):
        return found[-1:]
    if seller.startswith("huggingface_"):
        routed = [one for one in found if ":" in one]
        return (*routed, *(one for one in found if one not in routed))
    return found


def _hides_region(seller: str, spelled: str, asked: Query) -> bool:
    """Return whether a profile of one's own stands between a Bedrock call and the region that serves it."""
    return (
        seller == "aws"
        and "." not in spelled.replace("/", ".").partition("-")[0]
        and any(names.is_opaque(one) for one in asked.candidates)
    )


def _context(
    variants: Sequence[PriceVariant], seller: str, tier: str, moment: datetime
) -> dict[str, str] | None:
    """Return what selects the call's prices among the variants; ``None`` where they are unknown."""
    tier = tier.removeprefix("on_demand_")
    wanted = [{"processing": "batch"}] if tier == "batch" else [{"service_tier": tier}, {"speed": tier}]
    for variant in variants:
        if variant.when in wanted and (variant.constraint is None or variant.constraint.active(moment)):
            return variant.when
    return {} if tier in STANDARD or (seller, tier) in _SAME_AS_STANDARD else None


def _known(prices: SetPrices, variants: Sequence[PriceVariant], *, is_own: bool) -> SetPrices:
    """Return the prices that hold for this call, by their keys."""
    by_key = prices
    if not is_own:
        by_key = {key: value for key, value in by_key.items() if key.endswith("_mtok")}
    for variant in variants:
        if _UNKNOWABLE.intersection(variant.when):
            by_key = {key: value for key, value in by_key.items() if variant.prices.get(key) is None}
    return by_key


def _sheet(by_key: SetPrices, seller: str, model: str, spelled: str) -> Sheet:
    """Return a model's rates, one set per threshold."""
    if not by_key:
        # The list's way to say that a model is free of charge.
        return Sheet((), (FREE,))
    tiered = [value for value in by_key.values() if isinstance(value, TieredPrices)]
    thresholds = sorted({tier.start for value in tiered for tier in value.tiers})
    return Sheet(
        tuple(thresholds), tuple(_rates(by_key, above, seller, model, spelled) for above in (-1, *thresholds))
    )


FREE: Final = Rates(input=0, output=0, cache_read=0, cache_write_5m=0, cache_write_1h=0)


def _rates(by_key: SetPrices, above: int, seller: str, model: str, spelled: str) -> Rates:
    """Return the rates of calls with more input tokens than ``above``, up to the next threshold."""
    tokens = {part: _atto(by_key[key], above) for part, key in _TOKEN_KEYS.items() if key in by_key}
    write = by_key.get("cache_write_5m_mtok", by_key.get("cache_write_mtok"))
    if write is not None:
        tokens["cache_write_5m"] = _atto(write, above)
    if "output" in tokens:
        # The one output price of a model that makes only images, or only speech, is theirs.
        if "input_image" in tokens and "output_audio" not in tokens:
            tokens.setdefault("output_image", tokens["output"])
        if "tts" in model:
            tokens.setdefault("output_audio", tokens["output"])
    elif "input" in tokens and seller in _FREE_OUTPUT:
        tokens["output"] = 0
    units = {}
    for part, (keys, per) in _UNIT_KEYS.items():
        key = next((key for key in keys if key in by_key), "")
        if key:
            units[part] = _price(by_key[key], above) * _ATTO / per
    request: int | None = 0
    if "requests_kcount" in by_key:
        fee = _price(by_key["requests_kcount"], above) * _ATTO / 1000
        if seller == "perplexity":
            # Its fee depends on how much was searched, and the list has the highest one.
            request, units["request_high"] = None, fee
        else:
            request = round(fee)
    return Rates(**tokens, request=request, units=units, least_seconds=_LEAST_SECONDS.get(seller, 0))


_LEAST_SECONDS: Final = {"groq": 10}
"""Groq docs, "Speech to text": a request is billed for at least ten seconds."""
_FREE_OUTPUT: Final = frozenset({"typesafe", "voyageai"})
"""Providers whose output tokens are free, as their pricing pages say."""


def _price(price: Decimal | TieredPrices, above: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    reached = [tier for tier in price.tiers if tier.start <= above]
    return max(reached, key=lambda tier: tier.start).price if reached else price.base


def _atto(price: Decimal | TieredPrices, above: int) -> int:
    return round(_price(price, above).scaleb(_ATTO_PER_MTOK))


def parsed(text: bytes, file: str, name: str) -> PriceList:
    """Return the list of a release of genai-prices' data: its ``data.json``. Raises ConfigError."""
    try:
        providers = list_data.parsed(text)
    except ValueError as error:  # msgspec's are ValueErrors
        raise ConfigError(f"{file}: no data of genai-prices: {str(error).splitlines()[0]}") from None
    return PriceList(providers, name)
