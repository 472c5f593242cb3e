"""Cohere: chat, embed and rerank, versions 1 and 2.

Invariant: ``tokens`` is what the model read and wrote, ``billed_units`` what is charged; the columns
take the first where it is given. Counts are floats in version 1.

Sources: Cohere API reference, "Chat" v2 (``usage``) and v1 (``meta``), "Embed", "Rerank".
"""

from __future__ import annotations

import msgspec

from llmtraced.usage.decode import Json, fit
from llmtraced.usage.facts import Facts, PricedUsage
from llmtraced.usage.tokens import Count, counted, plus


class Units(msgspec.Struct):
    """Counts, of tokens or of billed units."""

    input_tokens: Count = None
    output_tokens: Count = None
    image_tokens: Count = None
    reasoning_tokens: Count = None


class CohereUsage(msgspec.Struct):
    """``usage`` of version 2, ``meta`` of version 1."""

    tokens: Units | None = None
    billed_units: Units | None = None
    cached_tokens: Count = None


_decode = msgspec.json.Decoder(CohereUsage).decode
NOTHING = Units()


def tokens(raw: Json) -> Facts:
    """Return what the usage object comes to; image tokens stand beside the input."""
    usage, is_whole = fit(raw, CohereUsage, _decode)
    units = usage.tokens or NOTHING
    if units.input_tokens is None and units.output_tokens is None:
        units = usage.billed_units or NOTHING
    prompt, completion = plus(units.input_tokens, units.image_tokens), units.output_tokens
    reasoning = (usage.tokens or NOTHING).reasoning_tokens
    priced = PricedUsage(
        input=prompt or 0,
        output=completion or 0,
        cache_read=usage.cached_tokens or 0,
        reasoning=reasoning or 0,
        input_image=units.image_tokens or 0,
    )
    return counted(
        prompt=prompt,
        completion=completion,
        cached=usage.cached_tokens,
        reasoning=reasoning,
        priced=[priced],
        is_whole=is_whole,
    )
