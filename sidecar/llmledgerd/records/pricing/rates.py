"""Rates of one model, and what its usage costs by them.

Invariant: every count that is above 0 is in exactly one part, and every part has a rate or the call
has none. The arithmetic is in whole atto-dollars (1e-18), so that nothing is rounded before the end.

Tokens of images and video count as text where a list has no price of their own: OpenAI's, Anthropic's
and Google's chat models bill them as input tokens (OpenAI docs, "Images and vision", section on costs;
Anthropic docs, "Vision", section on image costs; Gemini API docs, "Pricing", rows "text / image / video").
Tokens of audio never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from llmledgerd.records.pricing.reasons import USAGE_MISMATCH, USAGE_OUT_OF_RANGE, missing
from llmledgerd.usage.exchange_facts import PricedUsage

TOKEN_PARTS: Final = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "input_audio",
    "output_audio", "cache_audio_read", "input_image", "output_image", "cache_image_read", "input_video",
    "output_video", "citation",
)  # fmt: skip
"""The parts that are counted in tokens."""

MOST_UNITS: Final = Decimal("999999999999.999999")
"""The largest count that ``usage_units`` holds; nobody says what a larger one was."""

_SIZED: Final = "request_"
"""Perplexity's fee per request, by the size of its search context (docs, "Pricing")."""

Rate = int | None
"""Atto-dollars for one; ``None``: the list has no price."""


class Rates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Atto-dollars per token of each part, and per unit of what is billed beside tokens."""

    input: Rate = None
    cache_read: Rate = None
    cache_write_5m: Rate = None
    cache_write_1h: Rate = None
    output: Rate = None
    reasoning: Rate = None
    """``None``: reasoning is output and costs what output costs."""
    input_audio: Rate = None
    output_audio: Rate = None
    cache_audio_read: Rate = None
    input_image: Rate = None
    """``None``: images are input and cost what text costs; so for ``cache_image_read``, ``input_video``."""
    output_image: Rate = None
    cache_image_read: Rate = None
    input_video: Rate = None
    output_video: Rate = None
    citation: Rate = None
    request: Rate = 0
    """Once per call; ``None``: there is a fee, which depends on what a unit ``request_<size>`` says."""
    units: Mapping[str, Decimal] = {}
    """Atto-dollars of one unit, by its part."""
    least_seconds: int = 0
    """What a shorter recording is billed as."""


class Sheet(msgspec.Struct, frozen=True):
    """One model's rates at one moment; ``rates[i]`` holds up to ``thresholds[i]`` input tokens.

    Beyond a threshold all tokens of the call have the higher tier's rate, not only those above. A
    provider whose threshold belongs to the higher tier (xAI's "at least 200k") is listed one token lower.
    """

    thresholds: tuple[int, ...]
    rates: tuple[Rates, ...]

    def at(self, input_tokens: int) -> Rates:
        """Return the rates of a call with so much input."""
        for threshold, rates in zip(self.thresholds, self.rates, strict=False):
            if input_tokens <= threshold:
                return rates
        return self.rates[-1]


def add_tokens(rates: Rates, used: PricedUsage, parts: dict[str, int]) -> str:
    """Add what one model's tokens cost to the parts; return why they cannot be priced, or ``""``."""
    plain, out = used.input, used.output
    if (
        used.cache_read or used.cache_write or used.cache_write_1h or used.cache_audio_read
        or used.cache_image_read or used.citation
    ):  # fmt: skip
        counts = _cached(rates, used)
        if isinstance(counts, str):
            return counts
        plain -= sum(counts.values())
        if plain < 0:
            return USAGE_MISMATCH
        reason = _add_each(rates, counts, parts)
        if reason:
            return reason
    if used.input_audio or used.input_image or used.input_video:
        counts = _input_media(rates, used)
        plain -= sum(counts.values())
        if plain < 0 or min(counts.values()) < 0:
            return USAGE_MISMATCH
        reason = _add_each(rates, counts, parts)
        if reason:
            return reason
    if used.reasoning or used.output_audio or used.output_image or used.output_video:
        counts = _output_parts(rates, used)
        out -= sum(counts.values())
        if out < 0:
            return USAGE_MISMATCH
        reason = _add_each(rates, counts, parts)
        if reason:
            return reason
    if plain:
        if rates.input is None:
            return missing("input")
        parts["input"] = parts.get("input", 0) + plain * rates.input
    if out:
        if rates.output is None:
            return missing("output")
        parts["output"] = parts.get("output", 0) + out * rates.output
    return ""


def _add_each(rates: Rates, counts: Mapping[str, int], parts: dict[str, int]) -> str:
    for part, count in counts.items():
        if count:
            rate = getattr(rates, part)
            if rate is None:
                return missing(part)
            parts[part] = parts.get(part, 0) + count * rate
    return ""


def _cached(rates: Rates, used: PricedUsage) -> dict[str, int] | str:
    """Return the parts of the input that are cached or cited, each exclusive; or why they contradict."""
    image = used.cache_image_read if rates.input_image is not None else 0
    read = used.cache_read - used.cache_audio_read - image
    write = used.cache_write - used.cache_write_1h
    # A count above its whole says that one of them is wrong.
    if (
        read < 0 or write < 0 or used.cache_audio_read > used.input_audio or image > used.input_image
        or used.cache_read + used.cache_write + used.citation > used.input
    ):  # fmt: skip
        return USAGE_MISMATCH
    return {
        "cache_read": read,
        "cache_audio_read": used.cache_audio_read,
        "cache_image_read": image,
        "cache_write_5m": write,
        "cache_write_1h": used.cache_write_1h,
        "citation": used.citation,
    }


def _input_media(rates: Rates, used: PricedUsage) -> dict[str, int]:
    """Return the audio of the input, and what else has a price of its own, without what was cached of it."""
    counts = {"input_audio": used.input_audio - used.cache_audio_read}
    if rates.input_image is not None:
        counts["input_image"] = used.input_image - used.cache_image_read
    if rates.input_video is not None:
        counts["input_video"] = used.input_video
    return counts


def _output_parts(rates: Rates, used: PricedUsage) -> dict[str, int]:
    counts = {
        "output_audio": used.output_audio,
        "output_image": used.output_image,
        "output_video": used.output_video,
    }
    if rates.reasoning is not None:
        counts["reasoning"] = used.reasoning
    return counts


def add_units(rates: Rates, units: Mapping[str, Decimal], parts: dict[str, int]) -> str:
    """Add what is billed beside tokens to the parts; return why that cannot be priced, or ``""``."""
    if rates.request is None and not any(part.startswith(_SIZED) for part in units):
        return missing("request")
    if rates.request:
        parts["request"] = rates.request
    for part, count in units.items():
        if count >= MOST_UNITS:
            return USAGE_OUT_OF_RANGE
        if count > 0:
            rate = rates.units.get(part)
            part = "request" if part.startswith(_SIZED) else part
            if rate is None:
                return missing(part)
            billed = max(count, Decimal(rates.least_seconds)) if part == "audio_second" else count
            parts[part] = parts.get(part, 0) + round(billed * rate)
    return ""
