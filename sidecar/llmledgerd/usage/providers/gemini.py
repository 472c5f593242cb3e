"""Gemini and Vertex: ``generateContent``, ``embedContent``, and the Interactions api.

Invariant: ``promptTokenCount`` holds the cached content but not the tool-use prompt, and thoughts
stand outside the candidates unless the total says that they are inside.

Sources: Gemini API reference, "GenerateContentResponse: UsageMetadata", "Embeddings" and
"Interactions API: Usage"; Vertex AI reference, "GenerateContentResponse".

Streams. Gemini's chunks, each a whole response object of its own, made one.

Invariant: the usage is that of the last chunk that has ``usageMetadata``, that chunk alone: its counts
are cumulative, and a last chunk may drop some.

Source: Gemini API reference, "models.streamGenerateContent".
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from llmledgerd.usage.api import Api, StreamShape, UsageShape
from llmledgerd.usage.decode import Json, count, fit, value
from llmledgerd.usage.exchange_facts import Facts, PricedUsage
from llmledgerd.usage.streams.assembled import Pieces, Whole, add_text, encoded, inside, listed, merge
from llmledgerd.usage.streams.coalesce import Runs, one_of, strict, text_field
from llmledgerd.usage.streams.sse import Events
from llmledgerd.usage.tokens import Count, counted, first, plus

Modality = frozenset[str | int]

AUDIO: Final[Modality] = frozenset({"AUDIO", "audio", 4})
IMAGE: Final[Modality] = frozenset({"IMAGE", "image", 2, "DOCUMENT", "document", 5})
VIDEO: Final[Modality] = frozenset({"VIDEO", "video", 3})
"""Modalities by name (the REST api), in lower case (Interactions), by number (protobuf's JSON); a document's
pages are pictures."""


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
    response_tokens_details: Any = None
    cache_tokens_details: Any = None
    tool_use_prompt_tokens_details: Any = None
    prompt_token_details: Any = None
    """Of embeddings."""


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
    tool_use_tokens_by_modality: Any = None


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
            output_tokens_by_modality=usage.candidates_tokens_details or usage.response_tokens_details,
            cached_tokens_by_modality=usage.cache_tokens_details,
            tool_use_tokens_by_modality=usage.tool_use_prompt_tokens_details,
        ),
        is_whole,
        has_output=usage.prompt_token_details is None,
    )


def interaction_tokens(raw: Json) -> Facts:
    """Return what the usage of an interaction comes to."""
    return _counted(*fit(raw, InteractionUsage, _decode_interaction))


def _counted(usage: InteractionUsage, is_whole: bool, *, has_output: bool = True) -> Facts:
    """Add the thoughts to the candidates, unless these already make the total without them."""
    candidates, thoughts = usage.total_output_tokens, usage.total_thought_tokens
    prompt = plus(usage.total_input_tokens, usage.total_tool_use_tokens)
    are_inside = bool(thoughts and candidates and plus(prompt, candidates) == usage.total_tokens)
    completion = candidates if are_inside else plus(candidates, thoughts)
    return counted(
        prompt=prompt,
        completion=completion,
        total=usage.total_tokens,
        cached=usage.total_cached_tokens,
        reasoning=thoughts,
        priced=[_priced(usage, prompt, completion)],
        is_whole=is_whole,
        has_output=has_output,
    )


def _priced(usage: InteractionUsage, prompt: int | None, completion: int | None) -> PricedUsage:
    """Return the counts with what is known of their modalities; a tool's prompt is input as well."""
    inputs = [*_listed(usage.input_tokens_by_modality), *_listed(usage.tool_use_tokens_by_modality)]
    outputs, cached = _listed(usage.output_tokens_by_modality), _listed(usage.cached_tokens_by_modality)
    return PricedUsage(
        input=prompt or 0,
        output=completion or 0,
        cache_read=usage.total_cached_tokens or 0,
        reasoning=usage.total_thought_tokens or 0,
        input_audio=_of_modality(inputs, AUDIO),
        output_audio=_of_modality(outputs, AUDIO),
        cache_audio_read=_of_modality(cached, AUDIO),
        input_image=_of_modality(inputs, IMAGE),
        output_image=_of_modality(outputs, IMAGE),
        cache_image_read=_of_modality(cached, IMAGE),
        input_video=_of_modality(inputs, VIDEO),
        output_video=_of_modality(outputs, VIDEO),
    )


def _listed(details: Any) -> list[Any]:
    return details if isinstance(details, list) else []


def _of_modality(details: list[Any], modality: Modality) -> int:
    """Return how many tokens of a modality the details list."""
    found = 0
    for one in details:
        if isinstance(one, dict) and isinstance(kind := one.get("modality"), str | int) and kind in modality:
            found += count(one.get("tokenCount", one.get("tokens"))) or 0
    return found


# -- streams ----------------------------------------------------------------------


USAGE = "usageMetadata"

KEPT_FIRST = frozenset({"modelVersion", "responseId", "createTime"})
"""Members that every chunk repeats."""

TEXT_ALONE = frozenset({"text", "thought"})


def _joined(found: list[Any]) -> dict[str, Any]:
    """Return one chunk that says what all of them say, less the usages that the last one replaces."""
    last = found[-1]
    text = "".join([one.candidates[0].content.parts[0].piece for one in found])
    content = {"parts": [{"text": text}], "role": last.candidates[0].content.role}
    usage = {USAGE: value(last.usageMetadata)} if last.usageMetadata else {}
    return {"candidates": [{"content": content}], **usage}


PART = strict("Part", text_field("text"))
CONTENT = strict("Content", ("parts", one_of(PART)), ("role", str, "model"))
CANDIDATE = strict("Candidate", ("content", CONTENT), ("index", Literal[0], 0))
MIDDLE = strict(
    "Middle",
    ("candidates", one_of(CANDIDATE)),
    (USAGE, Raw, Raw(b"")),
    *((name, str, "") for name in sorted(KEPT_FIRST)),
)
"""A chunk from the middle of a stream: more of the answer's text, and no thought."""

MORE_TEXT = Runs((MIDDLE, _joined))


def assemble(events: Events) -> Whole:
    """Return the response that the chunks make up."""
    root: dict[str, Any] = {}
    candidates: dict[int, dict[str, Any]] = {}
    for chunk in MORE_TEXT.shortened(events):
        if not isinstance(chunk, dict):
            continue
        _take_candidates(candidates, chunk.pop("candidates", None))
        if not isinstance(chunk.get(USAGE), dict):
            chunk.pop(USAGE, None)
        for name, field in chunk.items():
            if field and not (name in KEPT_FIRST and name in root):
                root[name] = field
    if candidates:
        root["candidates"] = [candidates[index] for index in sorted(candidates)]
    is_finished = "promptFeedback" in root or any(one.get("finishReason") for one in candidates.values())
    return Whole(response=encoded(root), complete=is_finished, usage_is_final=is_finished)


def _take_candidates(into: dict[int, dict[str, Any]], found: Any) -> None:
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict):
            index = one.get("index")
            _take_candidate(into.setdefault(index if isinstance(index, int) else 0, {}), one)


def _take_candidate(into: dict[str, Any], one: dict[str, Any]) -> None:
    for name, field in one.items():
        if name == "content" and isinstance(field, dict):
            _take_content(inside(into, "content"), field)
        elif field is not None:
            into[name] = field


def _take_content(into: dict[str, Any], content: dict[str, Any]) -> None:
    for name, field in content.items():
        if name != "parts" or not isinstance(field, list):
            into[name] = field
            continue
        parts = listed(into, "parts")
        for part in field:
            if parts and _goes_on(parts[-1], part):
                add_text(parts[-1], "text", part["text"])
            else:
                parts.append(part)


def _goes_on(last: Any, part: Any) -> bool:
    """Whether a part is more text of the same kind, thought or answer, with nothing beside it."""
    return (
        isinstance(part, dict)
        and isinstance(last, dict)
        and isinstance(part.get("text"), str)
        and isinstance(last.get("text"), str | Pieces)
        and part.keys() <= TEXT_ALONE
        and last.keys() <= TEXT_ALONE
        and part.get("thought") == last.get("thought")
    )


def assemble_interaction(events: Events) -> Whole:
    """Return the interaction: the newest one announced, with the steps that were streamed."""
    interaction: dict[str, Any] = {}
    steps: dict[int, dict[str, Any]] = {}
    is_complete = False
    for event in events.values():
        if not isinstance(event, dict):
            continue
        if isinstance(announced := event.get("interaction"), dict):
            interaction.update(announced)
            is_complete = is_complete or event.get("event_type") == "interaction.completed"
        if isinstance(index := event.get("index"), int):
            _take_step(steps.setdefault(index, {}), event)
    if steps:
        interaction.setdefault("steps", [steps[index] for index in sorted(steps)])
    return Whole(response=encoded(interaction), complete=is_complete, usage_is_final=is_complete)


def _take_step(step: dict[str, Any], event: dict[str, Any]) -> None:
    """Add to a step; a delta's type says what it carries and is no part of the step."""
    start, delta = event.get("step"), event.get("delta")
    if isinstance(start, dict):
        merge(step, start)
    if isinstance(delta, dict):
        delta.pop("type", None)
        merge(step, delta)


API: Final = Api(
    hosts=(
        ("generativelanguage.googleapis.com", "google"),
        ("aiplatform.googleapis.com", "vertex"),
        ("aiplatform.*.rep.googleapis.com", "vertex"),
    ),
    usage=(
        UsageShape(
            tokens,
            any_of=frozenset(
                {
                    "promptTokenCount",
                    "candidatesTokenCount",
                    "responseTokenCount",
                    "thoughtsTokenCount",
                    "toolUsePromptTokenCount",
                    "totalTokenCount",
                }
            ),
        ),
        UsageShape(interaction_tokens, any_of=frozenset({"total_input_tokens", "total_output_tokens"})),
    ),
    streams=(
        StreamShape(assemble, lambda name, kind, event: "candidates" in event or "usageMetadata" in event),
        StreamShape(
            assemble_interaction,
            lambda name, kind, event: "event_type" in event and "is_finished" not in event,
        ),
    ),
)
