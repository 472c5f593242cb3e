"""Gemini and Vertex: ``generateContent``, ``embedContent``, and the Interactions api.

Invariant: ``promptTokenCount`` holds the cached content but not the tool-use prompt, and thoughts
stand outside the candidates unless the total says that they are inside.

Sources: Gemini API reference, "GenerateContentResponse: UsageMetadata", "Embeddings" and
"Interactions API: Usage"; Vertex AI reference, "GenerateContentResponse".
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmtraced.usage.decode import Json, count, fit
from llmtraced.usage.facts import Facts, PricedUsage
from llmtraced.usage.tokens import Count, counted, first, plus

AUDIO = ("AUDIO", "audio", 4)
IMAGE = ("IMAGE", "image", 2)
"""Modalities by name (the REST api), in lower case (Interactions), by number (protobuf's JSON)."""


class UsageMetadata(msgspec.Struct, rename="camel"):
    """Usage of ``generateContent``, of embeddings, and of the Live api (``responseTokenCount``)."""

    prompt_token_count: Count = None
    candidates_token_count: Count = None
    response_token_count: Count = None
    thoughts_token_count: Count = None
    tool_use_prompt_token_count: Count = None
    cached_content_token_count: Count = None
    total_token_count: Count = None
    prompt_tokens_details: Any = None
    candidates_tokens_details: Any = None
    cache_tokens_details: Any = None


class InteractionUsage(msgspec.Struct):
    """Usage of the Interactions api."""

    total_input_tokens: Count = None
    total_output_tokens: Count = None
    total_thought_tokens: Count = None
    total_tool_use_tokens: Count = None
    total_cached_tokens: Count = None
    total_tokens: Count = None
    input_tokens_by_modality: Any = None
    output_tokens_by_modality: Any = None
    cached_tokens_by_modality: Any = None


_decode = msgspec.json.Decoder(UsageMetadata).decode
_decode_interaction = msgspec.json.Decoder(InteractionUsage).decode


def tokens(raw: Json) -> Facts:
    """Return what ``usageMetadata`` comes to."""
    usage, is_whole = fit(raw, UsageMetadata, _decode)
    return _counted(
        InteractionUsage(
            total_input_tokens=usage.prompt_token_count,
            total_output_tokens=first(usage.candidates_token_count, usage.response_token_count),
            total_thought_tokens=usage.thoughts_token_count,
            total_tool_use_tokens=usage.tool_use_prompt_token_count,
            total_cached_tokens=usage.cached_content_token_count,
            total_tokens=usage.total_token_count,
            input_tokens_by_modality=usage.prompt_tokens_details,
            output_tokens_by_modality=usage.candidates_tokens_details,
            cached_tokens_by_modality=usage.cache_tokens_details,
        ),
        is_whole,
    )


def interaction_tokens(raw: Json) -> Facts:
    """Return what the usage of an interaction comes to."""
    return _counted(*fit(raw, InteractionUsage, _decode_interaction))


def _counted(usage: InteractionUsage, is_whole: bool) -> Facts:
    """Add the thoughts to the candidates, unless these already make the total without them."""
    candidates, thoughts = usage.total_output_tokens, usage.total_thought_tokens
    prompt = plus(usage.total_input_tokens, usage.total_tool_use_tokens)
    are_inside = bool(thoughts and candidates and plus(prompt, candidates) == usage.total_tokens)
    completion = candidates if are_inside else plus(candidates, thoughts)
    priced = PricedUsage(
        input=prompt or 0,
        output=completion or 0,
        cache_read=usage.total_cached_tokens or 0,
        reasoning=thoughts or 0,
        input_audio=_of_modality(usage.input_tokens_by_modality, AUDIO),
        output_audio=_of_modality(usage.output_tokens_by_modality, AUDIO),
        cache_audio_read=_of_modality(usage.cached_tokens_by_modality, AUDIO),
        input_image=_of_modality(usage.input_tokens_by_modality, IMAGE),
        output_image=_of_modality(usage.output_tokens_by_modality, IMAGE),
    )
    return counted(
        prompt=prompt,
        completion=completion,
        total=usage.total_tokens,
        cached=usage.total_cached_tokens,
        reasoning=thoughts,
        priced=[priced],
        is_whole=is_whole,
    )


def _of_modality(details: Any, modality: tuple[str | int, ...]) -> int:
    """Return how many tokens of a modality the details list."""
    found = 0
    for one in details if isinstance(details, list) else ():
        if isinstance(one, dict) and one.get("modality") in modality:
            found += count(one.get("tokenCount", one.get("tokens"))) or 0
    return found
