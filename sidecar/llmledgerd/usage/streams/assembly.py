"""Which api a stream's events belong to, and the answer that they make up.

Invariant: the events' own shape decides, whatever the provider is called; a stream of no known
shape is kept event by event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmledgerd.usage.decode import encode, is_null, members, value
from llmledgerd.usage.providers import (
    anthropic,
    bedrock,
    cohere,
    gemini,
    ollama,
    openai_chat,
    openai_responses,
)
from llmledgerd.usage.streams import other
from llmledgerd.usage.streams.assembled import Whole
from llmledgerd.usage.streams.sse import Events, events

LOOKED_AT = 8
"""Events read to tell the shape: pings and comments may come first."""

Assembler = Callable[[Events], Whole]

BY_TYPE: dict[str, Assembler] = {
    "message_start": anthropic.assemble,
    "content_block_start": anthropic.assemble,
    "content_block_delta": anthropic.assemble,
    "completion": anthropic.assemble_completion,
    "message-start": cohere.assemble,
    "content-delta": cohere.assemble,
}
"""Apis whose events name themselves in ``type``."""


MEDIA = ("transcript.text.", "image_generation.", "image_edit.")
"""Beginnings of the types of OpenAI's events for audio and images."""


def assemble(stream: str) -> Whole:
    """Return the answer that a stream's text makes up."""
    found = events(stream)
    if found.data and bedrock.PACKED in members(found.data[0]):
        found = bedrock.unpacked(found)
    whole = _assembled(found)
    if is_null(whole.response.get("error")) and is_null(whole.beside.get("error")):
        error = _named_error(found)
        if error:
            whole.beside = {**whole.beside, "error": error}
    return whole


def _assembled(found: Events) -> Whole:
    for position in range(min(LOOKED_AT, len(found.data))):
        assembler = _assembler(found.name(position), members(found.data[position]))
        if assembler is not None:
            try:
                return assembler(found)
            except RecursionError:  # nested too deep to be joined; then the events are kept
                break
    return other.assemble_unknown(found)


def _assembler(name: str, event: dict[str, Any]) -> Assembler | None:
    """Return the family that an event tells, or None where it tells none."""
    kind = str(value(event["type"])) if "type" in event else ""
    if kind.startswith("response."):
        return openai_responses.assemble
    if kind in BY_TYPE:
        return BY_TYPE[kind]
    if kind.startswith(MEDIA):
        return other.assemble_media
    if "choices" in event:
        return openai_chat.assemble
    if "candidates" in event or "usageMetadata" in event:
        return gemini.assemble
    if name.startswith("thread."):
        return other.assemble_run
    if "event_type" in event:
        is_cohere = "is_finished" in event
        return cohere.assemble_version_1 if is_cohere else other.assemble_interaction
    return _assembler_without_type(name, event)


def _assembler_without_type(name: str, event: dict[str, Any]) -> Assembler | None:
    if name in bedrock.CONVERSE_EVENTS or not event.keys().isdisjoint(bedrock.CONVERSE_EVENTS):
        return bedrock.assemble
    if "done" in event and ("message" in event or "response" in event):
        return ollama.assemble
    if bedrock.is_flat(event):
        return bedrock.assemble_flat
    return other.assemble_watsonx if "results" in event else None


def _named_error(found: Events) -> bytes:
    """Return the error that an event's name tells: ``error``, or one of Bedrock's exceptions."""
    for name in sorted(found.distinct_names()):
        if name == "error" or name.endswith("Exception"):
            position = next(one for one in range(len(found.data)) if found.name(one) == name)
            said = found.value(position)
            nested = said.get("error") if isinstance(said, dict) else None
            return encode(nested) if nested else bedrock.error_of(name, found.data[position])
    return b""
