"""Amazon Bedrock: Converse, and the counts that InvokeModel gives beside a model's own body.

Invariant: ``inputTokens`` leaves the cache out, and ``totalTokens`` counts it.

Sources: Amazon Bedrock API reference, "TokenUsage", "CacheDetail" and "InvokeModelWithResponseStream";
Amazon Nova user guide, "Complete request schema"; Bedrock user guide, "Prompt caching".
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llmtraced.usage.decode import Json, count, encode, fit
from llmtraced.usage.facts import Facts, PricedUsage
from llmtraced.usage.tokens import Count, add, counted, first

HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
"""InvokeModel's headers, and the names that its stream gives the same counts."""


class CacheDetail(msgspec.Struct, rename="camel"):
    """Cache writes of one lifetime."""

    ttl: str | None = None
    input_tokens: Count = None


class ConverseUsage(msgspec.Struct, rename="camel"):
    """Converse's usage, Nova's own body, and the invocation metrics of InvokeModel."""

    input_tokens: Count = None
    output_tokens: Count = None
    total_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_write_input_tokens: Count = None
    cache_read_input_token_count: Count = None
    cache_write_input_token_count: Count = None
    input_token_count: Count = None
    output_token_count: Count = None
    cache_details: list[CacheDetail] | None = None


_decode = msgspec.json.Decoder(ConverseUsage).decode


def tokens(raw: Json) -> Facts:
    """Return what the usage object comes to."""
    usage, is_whole = fit(raw, ConverseUsage, _decode)
    read = first(usage.cache_read_input_tokens, usage.cache_read_input_token_count)
    written = first(usage.cache_write_input_tokens, usage.cache_write_input_token_count)
    prompt = add(first(usage.input_tokens, usage.input_token_count), read, written)
    completion = first(usage.output_tokens, usage.output_token_count)
    priced = PricedUsage(
        input=prompt or 0,
        output=completion or 0,
        cache_read=read or 0,
        cache_write=written or 0,
        cache_write_1h=sum(one.input_tokens or 0 for one in usage.cache_details or () if one.ttl == "1h"),
    )
    return counted(
        prompt=prompt,
        completion=completion,
        total=usage.total_tokens,
        cached=read,
        cache_write=written,
        priced=[priced],
        is_whole=is_whole,
    )


def usage_in_headers(headers: Mapping[str, str] | None) -> bytes:
    """Return the counts of InvokeModel's headers as one object, named as its stream names them."""
    found: dict[str, int] = {}
    for name, content in (headers or {}).items():
        ours = HEADERS.get(name.lower())
        counts = count(content) if ours else None
        if ours and counts is not None:
            found[ours] = counts
    return encode(found) if found else b""
