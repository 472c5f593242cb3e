"""Anthropic Messages, also on Bedrock and Vertex.

Invariant: ``input_tokens`` leaves the cache out; reads and writes are added to make the prompt.

Sources: Anthropic API reference, "Create a Message" (``usage``), "Prompt caching"
(``cache_creation``), "Compaction" and "Advisor tool" (``usage.iterations``: their sum is billed).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from llmtraced.usage.decode import Json, fit
from llmtraced.usage.facts import Facts, PricedUsage
from llmtraced.usage.tokens import Count, add, counted, first, plus


class CacheCreation(msgspec.Struct):
    """Cache writes by how long they are kept."""

    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class OutputDetails(msgspec.Struct):
    """Parts of the output; the second name is that of servers which imitate this api."""

    thinking_tokens: Count = None
    reasoning_tokens: Count = None


class Iteration(msgspec.Struct):
    """One sampling of one model: compaction, an advisor's answer, the message itself."""

    model: str | None = None
    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_creation: CacheCreation | None = None


class MessagesUsage(Iteration):
    """The usage object."""

    output_tokens_details: OutputDetails | None = None
    iterations: list[Iteration] | None = None


_decode = msgspec.json.Decoder(MessagesUsage).decode
NO_CREATION, NO_DETAILS = CacheCreation(), OutputDetails()


def tokens(raw: Json) -> Facts:
    """Return what the usage object comes to.

    Where there are iterations, the columns are their sums, since all of them are billed; the
    top-level counts are those of the last message alone.
    """
    usage, is_whole = fit(raw, MessagesUsage, _decode)
    details = usage.output_tokens_details or NO_DETAILS
    reasoning = first(details.thinking_tokens, details.reasoning_tokens)
    billed: list[Iteration] = list(usage.iterations) if usage.iterations else [usage]
    counts = [_counts(one) for one in billed]
    prompt, completion, read, written = counts[0] if len(counts) == 1 else _sums(counts)
    priced = [_priced(one, found) for one, found in zip(billed, counts, strict=True)]
    priced[-1].reasoning = reasoning or 0
    return counted(
        prompt=prompt,
        completion=completion,
        cached=read,
        cache_write=written,
        reasoning=reasoning,
        priced=priced,
        is_whole=is_whole,
    )


class Counts(NamedTuple):
    """What one iteration comes to."""

    prompt: int | None
    completion: int | None
    read: int | None
    written: int | None


def _counts(one: Iteration) -> Counts:
    read, written = one.cache_read_input_tokens, one.cache_creation_input_tokens
    if written is None and one.cache_creation is not None:  # the sum was not given
        parts = one.cache_creation
        written = plus(parts.ephemeral_5m_input_tokens, parts.ephemeral_1h_input_tokens)
    return Counts(plus(plus(one.input_tokens, read), written), one.output_tokens, read, written)


def _sums(counts: list[Counts]) -> Counts:
    return Counts(*(add(*column) for column in zip(*counts, strict=True)))


def _priced(one: Iteration, found: Counts) -> PricedUsage:
    return PricedUsage(
        model=one.model or "",
        input=found.prompt or 0,
        output=found.completion or 0,
        cache_read=found.read or 0,
        cache_write=found.written or 0,
        cache_write_1h=(one.cache_creation or NO_CREATION).ephemeral_1h_input_tokens or 0,
    )
