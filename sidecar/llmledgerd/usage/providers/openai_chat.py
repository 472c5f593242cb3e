"""OpenAI Chat Completions and everything that speaks it; embeddings and rerank with a total alone.

Invariant: cached, cache-write and reasoning tokens are inside ``prompt_tokens`` and
``completion_tokens``, except where the provider's own total says that they stand beside them.

Sources: OpenAI API reference, "The chat completion object" and "Create embeddings" (``usage``);
DeepSeek API docs, "Create Chat Completion" (``prompt_cache_hit_tokens``); Mistral API docs, "Chat";
xAI docs, "Chat completions"; OpenRouter docs, "Usage accounting"; Voyage AI docs, "Text embeddings"
and "Rerankers" (``total_tokens`` alone); LiteLLM docs, "Prompt caching"
(``cache_creation_token_details``); Writer API reference, "Chat completion" (``completion_token_details``);
Perplexity API docs, "Sonar deep research" (``citation_tokens``).
"""

from __future__ import annotations

from typing import Final, cast

import msgspec

from llmledgerd.usage.api import Api, StreamShape, UsageShape
from llmledgerd.usage.compatible_hosts import HOSTS
from llmledgerd.usage.decode import REFUSED, Json, fit
from llmledgerd.usage.exchange_facts import Facts, PricedUsage
from llmledgerd.usage.streams.chat import assemble
from llmledgerd.usage.tokens import (
    NO_CREATION,
    READ_BESIDE_TOKENS,
    CacheCreation,
    Count,
    WholeCount,
    counted,
    first,
    plus,
)


class PromptDetails(msgspec.Struct, gc=False):
    """Parts of the prompt; those of cache creation are LiteLLM's."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    video_tokens: Count = None
    cache_creation_tokens: Count = None
    cache_creation_token_details: CacheCreation | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """Parts of the completion."""

    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    video_tokens: Count = None


class ChatUsage(msgspec.Struct, gc=False):
    """The usage object, with the names of all who speak this dialect."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_token_details: PromptDetails | None = None
    prompt_cache_hit_tokens: Count = None
    cached_tokens: Count = None
    num_cached_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    reasoning_tokens: Count = None
    completion_token_details: CompletionDetails | None = None
    cache_creation_token_details: CacheCreation | None = None
    cache_creation: CacheCreation | None = None
    citation_tokens: Count = None


PlainUsage = cast(
    "type[ChatUsage]",
    msgspec.defstruct(
        "PlainUsage",
        [(name, None, None) for name in sorted({"citation_tokens"} | READ_BESIDE_TOKENS)],
        bases=(ChatUsage,),
        gc=False,
    ),
)
"""The same where nothing else in it is read: such a member may only be null."""


class UsualPromptDetails(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The parts of a prompt that nearly every answer names."""

    cached_tokens: Count = None
    audio_tokens: Count = None


class UsualCompletionDetails(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The parts of a completion that nearly every answer names."""

    reasoning_tokens: Count = None
    audio_tokens: Count = None
    accepted_prediction_tokens: Count = None
    rejected_prediction_tokens: Count = None


class UsualUsage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The usage object of nearly every answer. It has few fields, since each costs time where it is absent."""

    prompt_tokens: WholeCount
    completion_tokens: WholeCount
    total_tokens: WholeCount
    prompt_tokens_details: UsualPromptDetails | None = None
    completion_tokens_details: UsualCompletionDetails | None = None


_decode = msgspec.json.Decoder(ChatUsage).decode
_decode_usual = msgspec.json.Decoder(UsualUsage).decode
NO_USUAL_PROMPT, NO_USUAL_COMPLETION = UsualPromptDetails(), UsualCompletionDetails()
_decode_plain = msgspec.json.Decoder(PlainUsage).decode
NO_PROMPT_DETAILS, NO_COMPLETION_DETAILS = PromptDetails(), CompletionDetails()


def tokens(raw: Json) -> Facts:
    """Return what the usage object comes to."""
    return _facts(*fit(raw, ChatUsage, _decode))


def plain_facts(raw: Json) -> Facts | None:
    """Return what a usage object comes to that holds counts of this dialect and nothing else that is read.

    Nearly every one does; one decoding then tells what kind it is and what it says. None for the rest,
    be it an object or not.
    """
    try:
        facts = _usual_facts(_decode_usual(raw))
    except REFUSED:
        facts = None
    if facts is not None:
        facts.usage_json = bytes(raw)
        return facts
    try:
        usage = _decode_plain(raw)
    except REFUSED:
        return None
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return None
    facts = _facts(usage, True)
    facts.usage_json = bytes(raw)
    return facts


def _usual_facts(usage: UsualUsage) -> Facts | None:
    """Return the same as ``_facts`` where prompt and completion add up to the total; None for the rest."""
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    if not total or total != prompt + completion:
        return None
    inside = usage.prompt_tokens_details or NO_USUAL_PROMPT
    outside = usage.completion_tokens_details or NO_USUAL_COMPLETION
    cached, reasoning = inside.cached_tokens, outside.reasoning_tokens
    priced = PricedUsage(
        input=prompt,
        output=completion,
        cache_read=cached or 0,
        reasoning=reasoning or 0,
        input_audio=inside.audio_tokens or 0,
        output_audio=outside.audio_tokens or 0,
    )
    return Facts(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        cached_input_tokens=cached,
        reasoning_tokens=reasoning,
        usage_source="reported",
        usage_check="ok",
        priced=[priced],
    )


def _facts(usage: ChatUsage, is_whole: bool) -> Facts:
    has_parts = usage.prompt_tokens is not None or usage.completion_tokens is not None
    inside = usage.prompt_tokens_details or usage.prompt_token_details or NO_PROMPT_DETAILS
    outside = usage.completion_tokens_details or usage.completion_token_details or NO_COMPLETION_DETAILS
    reasoning = outside.reasoning_tokens
    if reasoning is None:
        reasoning = usage.reasoning_tokens
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    if prompt is None or completion is None or total != prompt + completion:
        prompt, completion = _both(usage, inside.audio_tokens, reasoning)
    cached = inside.cached_tokens
    if cached is None:
        cached = _cached_beside(usage)
    written = inside.cache_write_tokens
    if written is None:
        written = inside.cache_creation_tokens
        if written is None:
            written = usage.cache_creation_input_tokens
    priced = PricedUsage(
        input=prompt or 0,
        output=completion or 0,
        cache_read=cached or 0,
        cache_write=written or 0,
        reasoning=reasoning or 0,
        input_audio=inside.audio_tokens or 0,
        output_audio=outside.audio_tokens or 0,
        input_image=inside.image_tokens or 0,
        output_image=outside.image_tokens or 0,
        input_video=inside.video_tokens or 0,
        output_video=outside.video_tokens or 0,
    )
    if written:
        lifetimes = inside.cache_creation_token_details or usage.cache_creation_token_details
        priced.cache_write_1h = (
            lifetimes or usage.cache_creation or NO_CREATION
        ).ephemeral_1h_input_tokens or 0
    if usage.citation_tokens is not None:
        _add_research(priced, usage)
    return counted(
        prompt=prompt,
        completion=completion,
        total=total,
        cached=cached,
        cache_write=written,
        reasoning=reasoning,
        priced=[priced],
        is_whole=is_whole and has_parts,
        has_parts=has_parts,
    )


def _add_research(priced: PricedUsage, usage: ChatUsage) -> None:
    """Add what Perplexity's deep research counts beside prompt and completion, in neither of them."""
    priced.citation = usage.citation_tokens or 0
    priced.input += priced.citation
    priced.output += usage.reasoning_tokens or 0


def total_alone(raw: Json) -> Facts:
    """Return what a usage object comes to that has a total and no name of a part: all of it is input."""
    usage, is_whole = fit(raw, ChatUsage, _decode)
    facts = _facts(usage, is_whole)
    if is_whole and facts.usage_source == "partial":
        facts.usage_source = "reported"
    return facts


def _both(usage: ChatUsage, audio: int | None, reasoning: int | None) -> tuple[int | None, int | None]:
    """Return prompt and completion, with what the total says to stand beside them.

    - Only a total (Voyage): all of it is input.
    - total = prompt + completion + reasoning (xAI): reasoning stands beside the completion.
    - total = prompt + completion + audio (Mistral): audio stands beside the prompt.
    """
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    if prompt is None and completion is None:
        return total, None
    beside = (total or 0) - (prompt or 0) - (completion or 0)
    if beside <= 0:
        return prompt, completion
    if beside == reasoning:
        completion = plus(completion, beside)
    elif beside == audio:
        prompt = plus(prompt, beside)
    return prompt, completion


def _cached_beside(usage: ChatUsage) -> int | None:
    """Return the cached tokens that stand beside the counts, under the first name that has them.

    DeepSeek: hits; Together and Novita: ``cached_tokens``; older Mistral: ``num_cached_tokens``;
    proxies to Anthropic: its name.
    """
    return first(
        usage.prompt_cache_hit_tokens,
        usage.cached_tokens,
        usage.num_cached_tokens,
        usage.cache_read_input_tokens,
    )


API: Final = Api(
    hosts=HOSTS,
    usage=(UsageShape(tokens, any_of=frozenset({"prompt_tokens", "completion_tokens"})),),
    streams=(StreamShape(assemble, lambda name, kind, event: "choices" in event),),
)

TOTAL_ALONE: Final = Api(usage=(UsageShape(total_alone, any_of=frozenset({"total_tokens"})),))
"""Embeddings and rerankers that report a total and nothing else; the last shape that is tried."""
