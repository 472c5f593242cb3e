"""OpenAI Responses, transcriptions, images, Realtime: ``input_tokens``, ``output_tokens``, a total.

Invariant: the cache is inside ``input_tokens`` and reasoning inside ``output_tokens``. Anthropic uses
the same two names and leaves the cache out; what tells them apart is the total, which Anthropic
never gives.

Sources: OpenAI API reference, "The response object" (``usage``), "Create transcription", "Create
image", "Realtime server events: response.done"; xAI docs, "Responses"; Alibaba Model Studio docs, "DashScope: text generation".
"""

from __future__ import annotations

import msgspec

from llmtraced.usage.decode import Json, fit
from llmtraced.usage.facts import Facts, PricedUsage
from llmtraced.usage.tokens import Count, counted, first, plus


class CachedDetails(msgspec.Struct):
    """Parts of the cached input (Realtime)."""

    audio_tokens: Count = None


class InputDetails(msgspec.Struct):
    """Parts of the input."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    cached_tokens_details: CachedDetails | None = None


class OutputDetails(msgspec.Struct):
    """Parts of the output."""

    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class ResponsesUsage(msgspec.Struct):
    """The usage object; singular names: transcriptions and Realtime, the prompt's details: Alibaba."""

    input_tokens: Count = None
    output_tokens: Count = None
    total_tokens: Count = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None
    input_token_details: InputDetails | None = None
    output_token_details: OutputDetails | None = None
    prompt_tokens_details: InputDetails | None = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None


_decode = msgspec.json.Decoder(ResponsesUsage).decode
NO_INPUT_DETAILS, NO_OUTPUT_DETAILS, NO_CACHED_DETAILS = InputDetails(), OutputDetails(), CachedDetails()


def tokens(raw: Json) -> Facts:
    """Return what the usage object comes to."""
    usage, is_whole = fit(raw, ResponsesUsage, _decode)
    details = usage.input_tokens_details or usage.input_token_details or usage.prompt_tokens_details
    inside = details or NO_INPUT_DETAILS
    outside = usage.output_tokens_details or usage.output_token_details or NO_OUTPUT_DETAILS
    cached = first(inside.cached_tokens, usage.cache_read_input_tokens)
    written = first(inside.cache_write_tokens, usage.cache_creation_input_tokens)
    prompt, completion = _both(usage, outside.reasoning_tokens)
    priced = PricedUsage(
        input=prompt or 0,
        output=completion or 0,
        cache_read=cached or 0,
        cache_write=written or 0,
        reasoning=outside.reasoning_tokens or 0,
        input_audio=inside.audio_tokens or 0,
        output_audio=outside.audio_tokens or 0,
        cache_audio_read=(inside.cached_tokens_details or NO_CACHED_DETAILS).audio_tokens or 0,
        input_image=inside.image_tokens or 0,
        output_image=outside.image_tokens or 0,
    )
    return counted(
        prompt=prompt,
        completion=completion,
        total=usage.total_tokens,
        cached=cached,
        cache_write=written,
        reasoning=outside.reasoning_tokens,
        priced=[priced],
        is_whole=is_whole,
    )


def _both(usage: ResponsesUsage, reasoning: int | None) -> tuple[int | None, int | None]:
    """Return prompt and completion, with what the total says to stand beside them.

    Reasoning as in xAI's chat; the cache as proxies to Anthropic report it.
    """
    prompt, completion = usage.input_tokens, usage.output_tokens
    beside = (usage.total_tokens or 0) - (prompt or 0) - (completion or 0)
    if beside <= 0:
        return prompt, completion
    if beside == reasoning:
        completion = plus(completion, beside)
    elif beside == plus(usage.cache_read_input_tokens, usage.cache_creation_input_tokens):
        prompt = plus(prompt, beside)
    return prompt, completion
