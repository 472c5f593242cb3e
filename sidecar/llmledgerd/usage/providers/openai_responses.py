"""OpenAI Responses, transcriptions, images, Realtime: ``input_tokens``, ``output_tokens``, a total.

Invariant: the cache is inside ``input_tokens`` and reasoning inside ``output_tokens``. Anthropic uses
the same two names and leaves the cache out; what tells them apart is the total, which Anthropic
never gives.

Sources: OpenAI API reference, "The response object" (``usage``), "Create transcription", "Create
image", "Realtime server events: response.done"; xAI docs, "Responses"; Alibaba Model Studio docs, "DashScope: text generation".

Streams. Responses events, made whole.

Invariant: a terminal event's ``response`` is the answer, and the events before it are not read;
without one, the answer is what ``response.created`` announced and the items' deltas filled.

Source: OpenAI API reference, "Responses: Streaming events".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from llmledgerd.usage.api import Api, StreamShape, UsageShape
from llmledgerd.usage.decode import Json, Members, encode, fit, is_object, members, text
from llmledgerd.usage.exchange_facts import Facts, PricedUsage
from llmledgerd.usage.streams.assembled import Whole, add_text, encoded, listed
from llmledgerd.usage.streams.sse import Events
from llmledgerd.usage.tokens import NO_CREATION, CacheCreation, Count, counted, first, plus


class CachedDetails(msgspec.Struct):
    """Parts of the cached input (Realtime, images)."""

    audio_tokens: Count = None
    image_tokens: Count = None


class InputDetails(msgspec.Struct):
    """Parts of the input."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    video_tokens: Count = None
    cached_tokens_details: CachedDetails | None = None
    cache_creation_token_details: CacheCreation | None = None


class OutputDetails(msgspec.Struct):
    """Parts of the output."""

    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    video_tokens: Count = None


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
    cache_creation: CacheCreation | None = None


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
    return counted(
        prompt=prompt,
        completion=completion,
        total=usage.total_tokens,
        cached=cached,
        cache_write=written,
        reasoning=outside.reasoning_tokens,
        priced=[_priced(usage, inside, outside, (prompt, completion, cached, written))],
        is_whole=is_whole,
    )


def _priced(
    usage: ResponsesUsage,
    inside: InputDetails,
    outside: OutputDetails,
    sums: tuple[int | None, int | None, int | None, int | None],
) -> PricedUsage:
    prompt, completion, cached, written = sums
    cached_inside = inside.cached_tokens_details or NO_CACHED_DETAILS
    lifetimes = inside.cache_creation_token_details or usage.cache_creation or NO_CREATION
    return PricedUsage(
        input=prompt or 0,
        output=completion or 0,
        cache_read=cached or 0,
        cache_write=written or 0,
        cache_write_1h=lifetimes.ephemeral_1h_input_tokens or 0,
        reasoning=outside.reasoning_tokens or 0,
        input_audio=inside.audio_tokens or 0,
        output_audio=outside.audio_tokens or 0,
        cache_audio_read=cached_inside.audio_tokens or 0,
        input_image=inside.image_tokens or 0,
        output_image=(completion or 0) if _is_of_images(usage) else outside.image_tokens or 0,
        cache_image_read=cached_inside.image_tokens or 0,
        input_video=inside.video_tokens or 0,
        output_video=outside.video_tokens or 0,
    )


def _is_of_images(usage: ResponsesUsage) -> bool:
    """Whether the answer is pictures alone: only the images api counts them in the input and says nothing of
    the output, nor of a cache."""
    inside = usage.input_tokens_details
    return (
        inside is not None
        and inside.image_tokens is not None
        and inside.cached_tokens is None
        and usage.output_tokens_details is None
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


# -- streams ----------------------------------------------------------------------


TERMINAL = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done"}
)
"""Events whose ``response`` is final; the last one is Realtime's."""

LOOKED_AT = 4
"""Events from the end among which the terminal one is looked for."""

TEXT_OF_ITEM = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}
"""Deltas of a text that stands directly in an output item."""

TEXT_OF_PART = {
    "response.output_text.delta": ("content", "content_index", "output_text", "text"),
    "response.refusal.delta": ("content", "content_index", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "content_index", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "summary_text", "text"),
    "response.output_audio_transcript.delta": ("content", "content_index", "output_audio", "transcript"),
}
"""Deltas of a text in a part of an item: the list of parts, its index, the part's type, the text."""

PARTS = {
    "response.content_part.added": ("content", "content_index"),
    "response.content_part.done": ("content", "content_index"),
    "response.reasoning_part.added": ("content", "content_index"),
    "response.reasoning_part.done": ("content", "content_index"),
    "response.reasoning_summary_part.added": ("summary", "summary_index"),
    "response.reasoning_summary_part.done": ("summary", "summary_index"),
}
"""Events that carry a part of an item: the list of parts and its index."""


def assemble(events: Events) -> Whole:
    """Return the answer that the events make up."""
    final = _terminal(events.data)
    announced = _announced(events.data[:1])
    if len(bytes(final.get("output", b""))) > len(b"[]"):
        return Whole(response={**announced, **final}, complete=True)
    found = [event for event in events.values() if isinstance(event, dict)]
    output = encoded({"output": _output(found)})
    return Whole(
        response={**announced, **_announced(events.data), **final, **output},
        beside=_error(found),
        complete=bool(final),
        usage_is_final=bool(final),
    )


def _terminal(data: list[str]) -> Members:
    """Return the terminal event's response, or {}; it is the last event but for ``[DONE]``."""
    for one in reversed(data[-LOOKED_AT:]):
        event = members(one)
        if text(event.get("type")) in TERMINAL and is_object(event.get("response")):
            return members(event["response"])
    return {}


def _announced(data: Iterable[str]) -> Members:
    """Return the newest ``response`` that any of the events carries."""
    found: Members = {}
    for one in data:
        response = members(one).get("response")
        if response is not None and is_object(response):
            found.update(members(response))
    return found


def _error(found: list[dict[str, Any]]) -> Members:
    """Return the ``error`` event as an error member, or {}; it holds its fields itself or in one."""
    for event in found:
        if event.get("type") == "error":
            own = {name: event.get(name) for name in ("code", "message", "param")}
            return {"error": encode(event.get("error") or own)}
    return {}


def _output(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items: dict[int, dict[str, Any]] = {}
    for event in found:
        index = event.get("output_index")
        if isinstance(index, int):
            _take(items, index, event)
    return [items[index] for index in sorted(items)]


def _take(items: dict[int, dict[str, Any]], index: int, event: dict[str, Any]) -> None:
    """Add one event to the item that it belongs to."""
    kind, item = str(event.get("type")), items.setdefault(index, {})
    delta = event.get("delta")
    if kind in ("response.output_item.added", "response.output_item.done"):
        if isinstance(event.get("item"), dict):
            items[index] = event["item"]
    elif kind in PARTS:
        parts, position = PARTS[kind]
        _set_part(item, parts, event.get(position), event.get("part"))
    elif kind in TEXT_OF_ITEM and isinstance(delta, str):
        add_text(item, TEXT_OF_ITEM[kind], delta)
    elif kind in TEXT_OF_PART and isinstance(delta, str):
        parts, position, part_type, name = TEXT_OF_PART[kind]
        add_text(_part(item, parts, event.get(position), part_type), name, delta)


def _set_part(item: dict[str, Any], parts: str, position: Any, part: Any) -> None:
    if isinstance(part, dict):
        existing = _part(item, parts, position, "")
        existing.clear()
        existing.update(part)


def _part(item: dict[str, Any], parts: str, position: Any, part_type: str) -> dict[str, Any]:
    """Return the part at a position, made where it is not there; an odd position is a new one."""
    found = listed(item, parts)
    if not isinstance(position, int) or not 0 <= position < len(found):
        found.append({"type": part_type})
        position = -1
    if not isinstance(found[position], dict):
        found[position] = {"type": part_type}
    part: dict[str, Any] = found[position]
    return part


INPUT_OUTPUT: Final = frozenset({"input_tokens", "output_tokens"})
"""Names that Anthropic's usage object has as well, with another meaning."""

RESPONSES_ALONE: Final = frozenset({"total_tokens", "input_tokens_details", "input_token_details"})
"""Members that OpenAI has beside ``input_tokens`` and Anthropic never has."""

API: Final = Api(
    usage=(UsageShape(tokens, any_of=INPUT_OUTPUT, and_any_of=RESPONSES_ALONE),),
    streams=(StreamShape(assemble, lambda name, kind, event: kind.startswith("response.")),),
)
