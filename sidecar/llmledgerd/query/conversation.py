"""A request and its answer as a conversation that a person can read, whoever the provider was.

Invariant: no payload makes this raise, and a payload of which nothing is understood is shown as its
JSON, cut where it is long. It is for eyes only; no number is taken from here.

Providers are not told apart. They use a handful of names for the same few things, and the names
do not collide, so one walk over the JSON reads them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

SPEAKERS = {"model": "assistant", "CHATBOT": "assistant", "USER": "user", "developer": "system"}
"""Words of some providers for what the others call by one name."""

TEXTS = ("text", "outputText", "generated_text", "completion")
"""What providers call the text of a block."""

ANSWERS = ("choices", "candidates", "results", "outputs", "completions", "generations")
"""Where an answer keeps its alternatives."""

OTHER_CHARACTERS = 2_000
"""How much is shown of what has no reading: embeddings and images run to megabytes."""

REASONING_TYPES = ("thinking", "reasoning", "summary_text", "reasoning_text")


class Part(msgspec.Struct, frozen=True):
    """One piece of what was said. ``kind`` is text, thinking, call, result or other."""

    kind: str
    text: str


class Turn(msgspec.Struct, frozen=True):
    """What one speaker said at once."""

    role: str
    parts: list[Part]


def read_conversation(request: bytes, response: bytes) -> list[Turn]:
    """Return what was asked and what was answered, in order; empty turns are left out."""
    turns = []
    for payload, role, read in ((request, "user", _request_turns), (response, "assistant", _response_turns)):
        said = _decode(payload)
        try:
            found = [turn for turn in read(said) if turn.parts]
        except RecursionError:
            found = []
        turns += found or [Turn(role, [Part("other", _as_json(said))])] if payload else []
    return turns


def _decode(payload: bytes) -> Any:
    if not payload:
        return None
    text = payload.decode("utf-8", "replace")
    try:
        return json.loads(text, strict=False)  # for eyes, a raw control character will do
    except (ValueError, RecursionError):
        return text  # an HTML page, or nesting that only a machine reads


def _request_turns(request: Any) -> Iterator[Turn]:
    if not isinstance(request, dict):
        yield Turn("user", _parts(request))
        return
    for name in ("system", "instructions", "systemInstruction", "system_instruction", "preamble"):
        yield Turn("system", _parts(request.get(name)))
    for name in ("messages", "contents", "chat_history", "input"):
        said = request.get(name)
        if isinstance(said, list):
            yield from (_turn(message, "user") for message in said)
        else:
            yield Turn("user", _parts(said))
    for name in ("prompt", "message", "inputText"):
        yield Turn("user", _parts(request.get(name)))


def _response_turns(response: Any) -> Iterator[Turn]:
    if not isinstance(response, dict):
        yield Turn("assistant", _parts(response))
        return
    if response.get("error"):
        yield Turn("error", [Part("other", _as_json(response["error"]))])
    for choice in (choice for name in ANSWERS for choice in _list(response.get(name))):
        yield _turn(_spoken(choice), "assistant")
    for item in _list(response.get("output")):
        yield _turn(item, "assistant")
    for name in ("message", "output"):
        if isinstance(response.get(name), dict):
            yield _turn(response[name], "assistant")
    for name in ("content", "text", "response", "completion", "outputText"):
        if not isinstance(response.get(name), dict):
            yield Turn("assistant", _parts(response.get(name)))


def _spoken(choice: Any) -> Any:
    """Return the message inside one alternative, where it has one."""
    inside = [choice.get("message"), choice.get("content")] if isinstance(choice, dict) else []
    return next((message for message in inside if message), choice)


def _turn(message: Any, role: str) -> Turn:
    """Return one message, whose speaker is ``role`` where it does not say so itself."""
    if not isinstance(message, dict):
        return Turn(role, _parts(message))
    if isinstance(message.get("message"), dict):
        return _turn(message["message"], role)
    spoken = message.get("role")
    role = SPEAKERS.get(spoken, spoken) if isinstance(spoken, str) else role
    parts = _parts(message.get("reasoning_content") or message.get("reasoning"), "thinking")
    body = message.get("content", message.get("parts", message.get("message")))
    if message.get("type", "message") != "message" or (body is None and not message.get("tool_calls")):
        body = [message]  # an item of the Responses API, or a bare block, is its own part
    parts += _parts(body, "result" if role == "tool" else "text")
    for call in _list(message.get("tool_calls")):
        parts += _parts(call)
    return Turn(role, parts)


def _parts(value: Any, kind: str = "text") -> list[Part]:
    """Return what a content says: a text, a block, or a list of them."""
    if value is None or value in ("", [], {}):
        return []
    if isinstance(value, str):
        return [Part(kind, value)]
    if isinstance(value, list):
        return [part for item in value for part in _parts(item, kind)]
    if isinstance(value, dict):
        return [_block(value, kind)]
    return [Part("other", _as_json(value))]


def _block(block: dict[str, Any], kind: str) -> Part:
    """Return one typed block of any provider."""
    for name in ("function", "functionCall", "function_call", "toolUse"):
        if isinstance(block.get(name), dict):
            return _call(block[name])
    for name in ("functionResponse", "toolResult"):
        if isinstance(block.get(name), dict):
            return Part("result", _as_json(block[name]))
    named = block.get("type")
    if named in ("tool_use", "server_tool_use", "function_call"):
        return _call(block)
    if named in ("tool_result", "function_call_output"):
        return Part("result", _plain(block.get("content", block.get("output"))))
    for name in ("reasoningContent", "reasoningText"):
        if isinstance(block.get(name), dict):
            return _block(block[name], "thinking")
    if named in REASONING_TYPES or block.get("thought") is True:
        return Part("thinking", _plain(block.get("thinking") or block.get("summary") or block.get("text")))
    if isinstance(block.get("parts"), list):
        return Part(kind, _plain(block["parts"]))
    for name in TEXTS:
        if isinstance(block.get(name), str):
            return Part(kind, block[name])
    return Part("other", _as_json(block))


def _call(call: dict[str, Any]) -> Part:
    given = call.get("arguments", call.get("args", call.get("input", {})))
    return Part("call", f"{call.get('name', '?')}({given if isinstance(given, str) else _as_json(given)})")


def _plain(value: Any) -> str:
    """Return the texts of a content in one, for a place that takes one."""
    return "\n".join(part.text for part in _parts(value))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _as_json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to show)"
    more = len(text) - OTHER_CHARACTERS
    return text if more <= 0 else f"{text[:OTHER_CHARACTERS]}… ({more:,} more characters)"
