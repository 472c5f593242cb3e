"""Request and response of any provider as a readable conversation.

Invariant: no payload makes this raise, and a payload of an unknown shape is shown as JSON, truncated
where it is long. The result is for display only; no number is taken from here.

Providers are not distinguished. They use a handful of names for the same few things, and the names
do not collide, so one walk over the JSON covers them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

SPEAKERS = {"model": "assistant", "CHATBOT": "assistant", "USER": "user", "developer": "system"}
"""Role names of some providers, mapped to the common ones."""

TEXTS = ("text", "outputText", "generated_text", "completion")
"""Keys under which providers put the text of a block."""

ANSWERS = ("choices", "candidates", "results", "outputs", "completions", "generations")
"""Keys of a response that hold its alternatives."""

OTHER_CHARACTERS = 2_000
"""Limit of text shown for unknown content: embeddings and images run to megabytes."""

REASONING_TYPES = ("thinking", "reasoning", "summary_text", "reasoning_text")


class Part(msgspec.Struct, frozen=True):
    """One part of a message. ``kind`` is text, thinking, call, result or other."""

    kind: str
    text: str


class Turn(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: str
    parts: list[Part]


class Exchange(msgspec.Struct, frozen=True):
    """The messages of one call, by whether an earlier call of the same conversation had them already."""

    repeated: list[Turn]
    """System prompt and history: everything up to the model's last answer."""
    new: list[Turn]
    """What was added to that answer, and the answer to it; in a first call, everything."""


def read_conversation(request: bytes, response: bytes) -> list[Turn]:
    """Return the messages of request and response in order; empty ones are left out."""
    return [*_read(request, "user", _request_turns), *_read(response, "assistant", _response_turns)]


def read_exchange(request: bytes, response: bytes) -> Exchange:
    """Return the same messages, those that the conversation had before apart from the new ones.

    The bytes of the call alone decide: an agent sends back what the model answered last, so that all before
    it is history. A request that ends with the model's own words has them as the beginning of the answer.
    """
    sent = _read(request, "user", _request_turns)
    answer = _read(response, "assistant", _response_turns)
    answers = [place for place, turn in enumerate(sent[:-1]) if _is_answer(turn)]
    while answers and all(_is_answer(turn) for turn in sent[answers[-1] :]):
        answers.pop()
    first = answers[-1] + 1 if answers else 0
    return Exchange(sent[:first], [*sent[first:], *answer])


def _is_answer(turn: Turn) -> bool:
    """Return whether the model said it. An item of the Responses API has no role."""
    return turn.role == "assistant" or any(part.kind in ("call", "thinking") for part in turn.parts)


def _read(payload: bytes, role: str, read: Callable[[Any], Iterator[Turn]]) -> list[Turn]:
    if not payload:
        return []
    said = _decode(payload)
    try:
        found = [turn for turn in read(said) if turn.parts]
    except RecursionError:
        found = []
    return found or [Turn(role, [Part("other", _as_json(said))])]


def _decode(payload: bytes) -> Any:
    if not payload:
        return None
    text = payload.decode("utf-8", "replace")
    try:
        return json.loads(text, strict=False)  # a raw control character is acceptable for display
    except (ValueError, RecursionError):
        return text  # an HTML page, or nesting too deep for the parser


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
    """Return the message inside one alternative, if it has one."""
    inside = [choice.get("message"), choice.get("content")] if isinstance(choice, dict) else []
    return next((message for message in inside if message), choice)


def _turn(message: Any, role: str) -> Turn:
    """Return one message; ``role`` is used when the message names no role."""
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
    """Return the parts of a content: a text, a block, or a list of them."""
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
    """Return the texts of a content joined into one."""
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
