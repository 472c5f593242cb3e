"""What a call is billed for beside tokens: searches, pages, seconds, pictures.

Invariant: a unit is one that somebody bills, under the name of its part of the cost; what is free is left
out, and what may be billed and has no known price keeps its name, so that no sum is silently low. A large
answer is searched for the names of such items, and only where one is found are its items read.

Sources, for the usage object: Anthropic docs, "Web search tool" and "Web fetch tool" (free); Cohere docs,
"How does Cohere's pricing work" (``billed_units``); Perplexity docs, "Pricing" (request fee by
``search_context_size``, ``num_search_queries``) and "Agent API: Pricing" (``tool_calls_details``); xAI docs,
"Tools: usage and pricing" and "Live Search" (``num_sources_used``); OpenAI API reference, "Create transcription"
(``usage.type: duration``); Mistral docs, "OCR" (``pages_processed``), "Audio & Transcription"
(``prompt_audio_seconds``) and "Conversations" (``connectors``); Gemini docs, "Interactions API"
(``grounding_tool_count``); Alibaba Model Studio docs, "Web search" (``plugins``).

For the rest of an answer: OpenAI docs, "Web search" (``search`` actions alone cost a call; a search model
searches in each call; the preview tool costs models without reasoning more), "Pricing" (the small models' block
of tokens), "File search", "Code Interpreter" (per container) and "Image generation"; OpenAI API reference,
"Create speech" (characters) and "Create image"; Gemini docs, "Grounding with Google Search" (Gemini 3: each
query, the empty and the repeated left out; before: each grounded prompt) and "Grounding with Google Maps";
Anthropic docs, "Code execution tool" (per container; free beside the web tools of 2026-02-09); Amazon Nova user
guide, "Web grounding"; Groq docs, "Built-in tools"; Mistral docs,
"Annotations" (an annotated page has a price of its own).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from llmledgerd.usage.decode import (
    REFUSED,
    Members,
    count,
    is_null,
    is_object,
    items,
    members,
    number,
    text,
    value,
)
from llmledgerd.usage.exchange_facts import Exchange, Facts
from llmledgerd.usage.response_fields import Reply

Units = dict[str, Decimal]

FREE: Final = ""
"""The part of what is counted and costs nothing."""

IN_USAGE: Final = {
    "num_search_queries": "web_search",
    "prompt_audio_seconds": "audio_second",
    "billable_audio_seconds": "audio_second",
    "pages_processed": "page",
    "pages_processed_annotation": "annotated_page",
    "image_count": "image",
    "image_output_count": "image",
}
"""Members of a usage object that are amounts themselves, and their parts."""

INSIDE_USAGE: Final = {
    "server_tool_use": {
        "web_search_requests": "web_search",
        "web_fetch_requests": FREE,
        "tool_search_requests": FREE,
        "code_execution_requests": "code_execution",
    },
    "server_side_tool_usage_details": {
        "web_search_calls": "web_search",
        "x_search_calls": "x_search",
        "code_interpreter_calls": "code_interpreter",
        "file_search_calls": "file_search",
        "document_search_calls": "file_search",
        "image_generation_calls": "image_generation",
        "mcp_calls": FREE,
    },
    "serverToolUsage": {},
    "billed_units": {
        "search_units": "search_unit",
        "classifications": "classification",
        "images": "image",
        "input_tokens": FREE,
        "output_tokens": FREE,
        "image_tokens": FREE,
    },
}
"""Objects inside a usage object, and the parts of their members; an unknown member is its own part."""

INSIDE_USAGE["connectors"] = {}
INSIDE_USAGE["server_tool_use_details"] = INSIDE_USAGE["server_tool_use"]  # OpenRouter's name
INSIDE_USAGE["server_side_tool_usage"] = INSIDE_USAGE["server_side_tool_usage_details"]

GROUNDING_TOOLS: Final = {"google_search": "web_search", "google_maps": "maps_grounding", "url_context": FREE}

INVOKED: Final = {"search_web": "web_search", "web_search": "web_search"}
"""Perplexity's tools in ``tool_calls_details``, each with the number of its invocations."""

UNNAMED: Final = "server_side_tool"
"""Calls of xAI's tools that the usage does not name; the items of the answer may."""

MARKS: Final = frozenset(
    {*IN_USAGE, *INSIDE_USAGE, "num_sources_used", "search_context_size", "seconds", "tool_calls_details"}
    | {"grounding_tool_count", "num_server_side_tools_used", "plugins"}
)
"""Members that make a usage object more than counts of tokens."""

WHOLE_USAGE: Final = frozenset(
    {"search_unit", "classification", "image", "audio_second", "page", "annotated_page", "character"}
)
"""Units that say all that a call used; a search says nothing about the tokens around it."""


def units_in(usage: Members) -> Units:
    """Return what a usage object counts beside tokens, by part; amounts of 0 are left out."""
    if MARKS.isdisjoint(usage):
        return {}
    found: Units = {}
    for name, part in IN_USAGE.items():
        if name in usage:
            _add(found, part, number(value(usage[name])))
    for name, parts in INSIDE_USAGE.items():
        if is_object(inner := usage.get(name)):
            for member, raw in members(inner).items():
                _add(found, parts.get(member, member), number(value(raw)))
    if "seconds" in usage and text(usage.get("type")) == "duration":
        _add(found, "audio_second", number(value(usage["seconds"])))
    if size := text(usage.get("search_context_size")):
        found[f"request_{size}"] = Decimal(1)
    _add_invoked(found, usage)
    _add_sources(found, usage)
    return found


def _add_invoked(found: Units, usage: Members) -> None:
    """Add the tools that Perplexity's agents and Gemini's interactions count one by one."""
    for tool, raw in members(usage.get("tool_calls_details", b"")).items():
        invoked = members(raw).get("invocation") if is_object(raw) else raw
        _add(found, INVOKED.get(tool, tool), number(value(invoked)))
    searched = members(usage.get("plugins", b"")).get("search", b"")
    _add(found, "web_search", number(value(members(searched).get("count"))) if searched else None)
    for one in items(usage.get("grounding_tool_count", b"")):
        counted = members(one)
        kind = text(counted.get("type"))
        _add(found, GROUNDING_TOOLS.get(kind, kind or "grounding"), number(value(counted.get("count"))))


def _add_sources(found: Units, usage: Members) -> None:
    """Add xAI's: sources of a live search, or calls of tools that nothing beside tells apart."""
    if is_null(usage.get("server_side_tool_usage_details")):
        _add(found, UNNAMED, number(value(usage.get("num_server_side_tools_used"))))
        if UNNAMED not in found:
            _add(found, "search_source", number(value(usage.get("num_sources_used"))))


def _add(found: Units, part: str, amount: Decimal | None) -> None:
    if part and amount:
        found[part] = found.get(part, Decimal(0)) + amount


# -- beside the usage object ------------------------------------------------------


TOOL_CALLS: Final = {
    "web_search_call": "web_search",
    "x_search_call": "x_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "shell_call": "shell",
    "image_generation_call": "image_generation",
}
"""Output items of Responses that are billed as such."""

BILLED_ITEM: Final = re.compile(rb'_call"|google_search|google_maps')
"""What stands in a list of items where one of them may be billed: a text's own quotes are escaped."""

NOVA_SEARCH: Final = re.compile(rb'"name"\s*:\s*"nova_grounding"')
"""A search of Amazon Nova's, which the service itself carries out."""

PER_CONTAINER: Final = frozenset({"code_interpreter", "shell"})

FREE_BESIDE_WEB_TOOLS: Final = re.compile(rb'"web_(?:search|fetch)_20260209"')
SEARCH_MODEL: Final = re.compile(r"-search-(preview|api)\b")
ANNOTATED: Final = re.compile(rb'"(?:bbox|document)_annotation_format"\s*:\s*\{')
LONGER: Final = re.compile(rb'"(?:ttl|prompt_cache_retention)"\s*:\s*"(?:1|12|24)h"')
SAYS_LIFETIME: Final = re.compile(
    rb'"(?:cache_creation|cache_creation_token_details|cacheDetails)"\s*:\s*[\[{]'
)
PREVIEW: Final = "web_search_preview"
PREVIEW_TOOL: Final = re.compile(rb'"web_search_preview')
WITHOUT_REASONING: Final = "gpt-4"
SMALL: Final = re.compile(r"4(?:o|\.1)-mini")
EXECUTED: Final = re.compile(rb'"executed_tools"\s*:\s*\[\s*\{')
"""Groq's built-in tools; a text's own quotes are escaped."""
GENERATION: Final = re.compile(r"gemini-(\d+)")
QUERIES: Final = ("webSearchQueries", "imageSearchQueries")
FIRST_BILLED_BY_QUERY: Final = 3
"""Gemini's generation from which each query is billed, and not the grounded prompt."""


def add_units(facts: Facts, reply: Reply, exchange: Exchange) -> None:
    """Add what the rest of an answer says to the units of its usage object.

    What both count, the usage object counts: it is the bill.
    """
    found: Units = {}
    if reply.choices:
        if searching := SEARCH_MODEL.search(facts.model):
            found[PREVIEW if searching[1] == "preview" else "web_search"] = Decimal(1)
        elif facts.provider == "groq" and any(EXECUTED.search(one.message) for one in reply.choices):
            found[UNNAMED] = Decimal(1)
    elif reply.candidates:
        if any(one.grounding for one in reply.candidates):
            found = _grounding(reply, facts)
    else:
        found = _of_items(reply)
        if "web_search" in found and WITHOUT_REASONING in facts.model:
            _name_by_price(found, facts.model, reply, exchange)
        if not is_null(reply.container) and not FREE_BESIDE_WEB_TOOLS.search(exchange.request):
            found["code_execution"] = Decimal(1)
        if facts.call_type in MEDIA and facts.usage_source == "unknown":
            found = _of_media(facts, reply, exchange)
    for part, amount in found.items():
        facts.units.setdefault(part, amount)
    if UNNAMED not in found and sum(found.values()) >= facts.units.get(UNNAMED, 1):
        facts.units.pop(UNNAMED, None)
    if "page" in facts.units:
        _split_pages(facts.units, exchange.request)
    if facts.cache_write_tokens and _lasts_unknown(facts, exchange):
        facts.units["cache_write_1h"] = Decimal(facts.cache_write_tokens)
    if facts.units and facts.usage_source == "unknown" and not WHOLE_USAGE.isdisjoint(facts.units):
        facts.usage_source = "reported"


def _split_pages(units: Units, request: bytes | memoryview) -> None:
    """Tell pages that were annotated from those that were read alone: each kind has a price of its own."""
    pages = units.pop("page")
    annotated = units.get("annotated_page", pages if ANNOTATED.search(request) else Decimal(0))
    for part, amount in (("page", pages - annotated), ("annotated_page", annotated)):
        if amount > 0:
            units[part] = amount


def _lasts_unknown(facts: Facts, exchange: Exchange) -> bool:
    """Return whether a cache was asked to be kept for longer, and the usage does not say how much of it was."""
    return SAYS_LIFETIME.search(facts.usage_json) is None and LONGER.search(exchange.request) is not None


def _name_by_price(found: Units, model: str, reply: Reply, exchange: Exchange) -> None:
    """Name the searches of models that do not reason by what they cost.

    The preview's cost more than others, and its content nothing; otherwise the small models pay for a block
    of tokens with each search, which their usage may leave out.
    """
    if PREVIEW_TOOL.search(exchange.request) or PREVIEW_TOOL.search(reply.tools):
        found[PREVIEW] = found.pop("web_search")
    elif SMALL.search(model):
        found["web_search_content"] = found["web_search"]


def _of_items(reply: Reply) -> Units:
    """Return the tools of a Responses answer, by its own sums where it has some."""
    found: Units = {}
    if is_object(reply.output):  # Converse's
        _add(found, "web_search", Decimal(len(NOVA_SEARCH.findall(reply.output))))
        return found
    for listed in (reply.output, reply.steps):
        if listed and BILLED_ITEM.search(listed):
            for part, amount in _billed(map(members, items(listed))).items():
                found[part] = Decimal(amount)
    if is_object(reply.tool_usage):
        searched = members(members(reply.tool_usage).get("web_search", b""))
        if (requests := count(value(searched.get("num_requests")))) is not None:
            found["web_search"] = Decimal(requests)
    if is_object(reply.server_side_tool_usage):
        for tool, raw in members(reply.server_side_tool_usage).items():
            name = tool.removeprefix("SERVER_SIDE_TOOL_").lower()
            _add(found, FREE if name == "mcp" else name, number(value(raw)))
    return {part: amount for part, amount in found.items() if amount}


def _billed(output: Iterable[Members]) -> Counter[str]:
    found: Counter[str] = Counter()
    containers: dict[str, set[str]] = {part: set() for part in PER_CONTAINER}
    for item in output:
        kind = text(item.get("type"))
        part = TOOL_CALLS.get(kind, "")
        if part in PER_CONTAINER:
            containers[part].add(text(item.get("container_id")) or text(item.get("id")))
        elif part == "web_search" and is_object(action := item.get("action")):
            found[part] += text(members(action).get("type")) in ("search", "")
        elif part:
            found[part] += 1
        elif kind in ("google_search_call", "google_maps_call"):
            found[GROUNDING_TOOLS[kind.removesuffix("_call")]] += 1
    for part, ids in containers.items():
        found[part] = len(ids)
    return found


def _grounding(reply: Reply, facts: Facts) -> Units:
    """Return Gemini's searches: by query from its third generation on, else one for the prompt."""
    queries: set[str] = set()
    has_sources: Counter[str] = Counter()
    for one in reply.candidates or ():
        metadata = members(one.grounding) if is_object(one.grounding) else {}
        for name in QUERIES:
            queries.update(filter(None, map(text, items(metadata.get(name, b"")))))
        for chunk in items(metadata.get("groundingChunks", b"")):
            has_sources.update(members(chunk).keys())
        has_sources["retrievedContext"] += bool(items(metadata.get("retrievalQueries", b"")))
    found: Units = {}
    if queries or has_sources["web"]:
        generation = GENERATION.search(facts.model)
        is_by_query = generation is None or int(generation[1]) >= FIRST_BILLED_BY_QUERY
        found["web_search"] = Decimal(len(queries) or 1) if is_by_query else Decimal(1)
    if has_sources["maps"]:
        found["maps_grounding"] = Decimal(1)
    if has_sources["retrievedContext"] and facts.provider == "vertex":
        found["grounding"] = Decimal(1)
    return found


MEDIA: Final = frozenset({"image", "speech", "transcription"})
"""Kinds of calls that are billed by what they made where they report no usage."""


class SpeechRequest(msgspec.Struct):
    """The text to be spoken: OpenAI's name, and ElevenLabs'."""

    input: str | None = None
    text: str | None = None


_decode_speech = msgspec.json.Decoder(SpeechRequest).decode


def _of_media(facts: Facts, reply: Reply, exchange: Exchange) -> Units:
    """Return the pictures that were made, the characters that were spoken, the seconds that were heard."""
    if facts.call_type == "image":
        return _positive("image", Decimal(len(items(reply.data))) if reply.data else None)
    if facts.call_type == "transcription":
        return _positive("audio_second", number(value(reply.duration)))
    if not exchange.request or exchange.status_code >= 400:
        return {}
    try:
        said = _decode_speech(exchange.request)
    except REFUSED:
        return {}
    return _positive("character", Decimal(len(said.input or said.text or "")))


def _positive(part: str, amount: Decimal | None) -> Units:
    return {part: amount} if amount else {}
