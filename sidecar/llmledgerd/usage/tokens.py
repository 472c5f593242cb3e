"""Token columns of a usage object.

Invariant: the columns follow from the usage object alone, so that the view
``llm_traces_recomputed`` can compute them again without the payloads.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from llmledgerd.usage.exchange_facts import Facts, PricedUsage, UsageCheck

WholeCount = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Count = WholeCount | None
"""Leaf of a usage object; other types are read by ``decode.count``."""


READ_BESIDE_TOKENS: Final = frozenset(
    {"cost", "cost_in_usd_ticks", "cost_details", "cost_currency", "currency", "is_byok"}
    | {"service_tier", "serviceTier", "trafficType", "extra_properties", "speed", "inference_geo"}
    | {
        "server_tool_use",
        "server_tool_use_details",
        "server_side_tool_usage",
        "server_side_tool_usage_details",
    }
    | {"num_sources_used", "num_server_side_tools_used", "num_search_queries", "search_context_size"}
    | {"tool_calls_details", "grounding_tool_count", "billed_units", "seconds", "pages_processed"}
    | {"pages_processed_annotation", "prompt_audio_seconds", "billable_audio_seconds"}
    | {"image_count", "image_output_count", "connectors", "plugins", "serverToolUsage", "extra_properties"}
)
"""Members of a usage object that are no tokens: cost, tier, region, and what is billed beside them."""


class CacheCreation(msgspec.Struct, gc=False):
    """Cache writes by how long they are kept (Anthropic, and proxies to it)."""

    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


NO_CREATION = CacheCreation()


def counted(
    *,
    prompt: int | None,
    completion: int | None,
    total: int | None = None,
    cached: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
    priced: list[PricedUsage],
    is_whole: bool,
    has_parts: bool = True,
    has_output: bool = True,
) -> Facts:
    """Return the facts of one usage object.

    ``total`` is the provider's own. ``is_whole`` is False where a count was there and was none
    (text, a negative number), ``has_parts`` where the total is all that was given, ``has_output`` where
    the call may be one that writes nothing (embeddings). A count that is missing makes the usage partial,
    unless the total says that the other is all there was.
    """
    sum_of_parts = plus(prompt, completion)
    known = total if sum_of_parts is None else sum_of_parts
    if (prompt is None or (completion is None and has_output)) and (total is None or total != sum_of_parts):
        is_whole = False
    return Facts(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total or known,
        cached_input_tokens=cached,
        cache_write_tokens=cache_write,
        reasoning_tokens=reasoning,
        usage_source="unknown" if known is None else "reported" if is_whole else "partial",
        usage_check=_check(total, sum_of_parts) if has_parts else "",
        priced=priced,
    )


def _check(total: int | None, sum_of_parts: int | None) -> UsageCheck:
    """Check whether the provider's total is the sum of its parts; without a total nothing is checked."""
    if not total or sum_of_parts is None:
        return ""
    return "ok" if total == sum_of_parts else "mismatch"


def plus(one: int | None, other: int | None) -> int | None:
    """Return the sum of two reported counts; None if neither was reported."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


def add(*parts: int | None) -> int | None:
    """Return the sum of all reported counts; None if none was reported."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def first(*found: int | None) -> int | None:
    """Return the first count that was reported."""
    for one in found:
        if one is not None:
            return one
    return None
