"""Messages of a call as attributes of its span. Pure.

Invariant: no payload makes this raise, and no attribute is longer than ``LARGEST``; one that would be is left out, and
``llmledger.content_left_out`` names it.

Source: OpenTelemetry semantic conventions for generative AI, ``gen_ai.input.messages``, ``gen_ai.output.messages`` and
``gen_ai.system_instructions`` as JSON.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec

from llmledgerd.query.conversation import Part, Turn, read_conversation
from llmledgerd.stores.collector.wire import Value

LARGEST: Final = 1 << 20
"""Bytes of an attribute; collectors take requests of 4 to 20 MiB."""
LEFT_OUT: Final = "llmledger.content_left_out"
TYPES: Final = {"text": "text", "thinking": "reasoning", "call": "tool_call", "result": "tool_call_response"}
"""Types of parts in the conventions; ``text`` for all others."""


def messages_of(request: bytes, response: bytes, finish_reason: str = "") -> dict[str, Value]:
    """Return the attributes with a call's messages; none for a call without payloads."""
    asked, answered = read_conversation(request, b""), read_conversation(b"", response)
    system = [_part(part) for turn in asked if turn.role == "system" for part in turn.parts]
    said: dict[str, list[dict[str, object]]] = {
        "gen_ai.system_instructions": system,
        "gen_ai.input.messages": [_message(turn) for turn in asked if turn.role != "system"],
        "gen_ai.output.messages": [{**_message(turn), "finish_reason": finish_reason} for turn in answered],
    }
    found: dict[str, Value] = {}
    left_out: list[str] = []
    for name, value in said.items():
        if not value:
            continue
        encoded = _encoded(value)
        if len(encoded) > LARGEST:
            left_out.append(name)
        else:
            found[name] = encoded.decode()
    return {**found, LEFT_OUT: left_out} if left_out else found


def _encoded(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape
        return json.dumps(value).encode()


def _message(turn: Turn) -> dict[str, object]:
    return {"role": turn.role, "parts": [_part(part) for part in turn.parts]}


def _part(part: Part) -> dict[str, object]:
    kind = TYPES.get(part.kind, "text")
    if kind == "tool_call":
        name, _, given = part.text.partition("(")
        return {"type": kind, "name": name, "arguments": given.removesuffix(")")}
    return {"type": kind, "response" if kind == "tool_call_response" else "content": part.text}
