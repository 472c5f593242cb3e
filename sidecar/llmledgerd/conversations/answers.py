"""An answer in parts. Pure.

Invariant: ``read_answer`` never raises. Streams are read as ``usage`` has put them together.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from llmledgerd.conversations.blocks import add_content, add_message, add_spoken, call, listed, text
from llmledgerd.conversations.parts import Answer, Part
from llmledgerd.conversations.provider_tools import shown_beside
from llmledgerd.conversations.values import decoded
from llmledgerd.json_text import TooMuch
from llmledgerd.usage import budget

_ABSENT: Final = Raw(b"")


class _Root(msgspec.Struct, gc=False):
    """The members of an answer that say something."""

    id: Any = None
    choices: Any = None
    content: Any = None
    role: Any = None
    output: Any = None
    candidates: Any = None
    message: Any = None
    tool_calls: Any = None
    text: Any = None
    generated: Any = msgspec.field(default=None, name="response")
    completion: Any = None
    generation: Any = None
    output_text: Any = msgspec.field(default=None, name="outputText")
    results: Raw = _ABSENT
    outputs: Any = None
    steps: Any = None
    completions: Any = None
    generations: Any = None
    response_id: Any = None
    gemini_id: Any = msgspec.field(default=None, name="responseId")
    conversation: Any = None
    conversation_id: Any = None
    thread_id: Any = None
    result: Any = None
    error: Raw = _ABSENT


_decode_root = msgspec.json.Decoder(_Root).decode


def read_answer(response: bytes | memoryview) -> Answer:
    """Return an answer's parts; empty for what cannot be read."""
    if len(response) < len(b'{"a":[]}'):
        return Answer()
    try:
        if len(response) > budget.UNCOUNTED_BYTES:
            budget.spend(response, budget.ANSWER)
            budget.spend(response, budget.LIST)
        root = decoded(response, _decode_root)
        return Answer() if root is None else _answer(root)
    except TooMuch:
        return Answer()


def _answer(root: _Root) -> Answer:
    if isinstance(root.generated, dict) or isinstance(root.result, dict):
        wrapped = _unwrapped(root)
        if wrapped is not None:
            return _answer(wrapped)
    own = text(root.id) or text(root.gemini_id) or text(root.response_id)
    kept = root.conversation or root.conversation_id or root.thread_id
    if kept:
        kept = text(kept.get("id") if isinstance(kept, dict) else kept)
    if root.choices.__class__ is list and len(root.choices) == 1 and root.choices[0].__class__ is dict:
        said = _spoken(root.choices[0])
        return Answer([said] if said else [], own, kept or "", shown_beside(root.choices[0]))
    found = [one for one in _alternatives(root) if one]
    choices = _in_order(listed(root.choices) or listed(root.candidates))
    return Answer(found, own, kept or "", [part for one in choices for part in shown_beside(one)])


def _unwrapped(root: _Root) -> _Root | None:
    """Return the answer inside a line of a batch's output or a gateway's wrapper."""
    for wrapper in (root.generated, root.result):
        if isinstance(wrapper, dict):
            body = wrapper.get("body") or wrapper.get("message") or wrapper
            if isinstance(body, dict):
                inner = msgspec.convert(body, _Root, strict=False)
                inner.generated = inner.generated if isinstance(inner.generated, str) else None
                inner.result = None
                return inner
    return None


def _alternatives(root: _Root) -> list[list[Part]]:
    if isinstance(root.choices, list):
        return [_spoken(one) for one in _in_order(root.choices)]
    if isinstance(root.candidates, list):
        return [_spoken(one) for one in _in_order(root.candidates)]
    found: list[Part] = []
    if isinstance(root.output, list):
        for number, item in enumerate(root.output):
            _add_said(found, item, number)
    elif isinstance(root.output, dict):  # Converse
        return [_spoken(root.output)]
    elif isinstance(root.message, dict):  # Cohere, Ollama
        add_message(found, root.message, 0, "assistant")
    elif isinstance(root.content, list) or (root.content and root.role):
        add_content(found, root.content, "assistant", 0)
        _add_calls(found, root.tool_calls)
    elif listed(root.outputs) or listed(root.steps):
        for number, item in enumerate(listed(root.outputs) or listed(root.steps)):
            _add_said(found, item, number)
    else:
        return _plain_alternatives(root)
    return [found]


def _plain_alternatives(root: _Root) -> list[list[Part]]:
    for listing in (root.completions, root.generations, decoded(root.results) if root.results else None):
        if isinstance(listing, list):
            return [_plain(one) for one in listing]
    found: list[Part] = []
    for said in (root.text, root.generated, root.completion, root.generation, root.output_text, root.output):
        if isinstance(said, str):
            add_content(found, said, "assistant", 0)
            break
    _add_calls(found, root.tool_calls)
    return [found]


def _plain(one: Any) -> list[Part]:
    found: list[Part] = []
    if isinstance(one, dict):
        said = (one.get(name) for name in ("outputText", "generated_text", "completion", "text"))
        add_content(found, next((text(each) for each in said if isinstance(each, str)), ""), "assistant", 0)
    return found


def _add_calls(found: list[Part], calls: Any) -> None:
    found += [call(one, "assistant", 0) for one in listed(calls) if isinstance(one, dict)]


def _in_order(choices: list[Any]) -> list[dict[str, Any]]:
    """Return the alternatives by their index: streams end in any order."""

    def index(one: dict[str, Any]) -> int:
        found = one.get("index")
        return found if isinstance(found, int) else 0

    return sorted((one for one in choices if isinstance(one, dict)), key=index)


def _spoken(choice: dict[str, Any]) -> list[Part]:
    """Return the message inside one alternative."""
    found: list[Part] = []
    inside = choice.get("message") or choice.get("content")
    if isinstance(inside, dict):
        add_spoken(found, inside, "assistant", 0)
        return found
    add_content(found, choice.get("text") or choice.get("content"), "assistant", 0)
    return found


def _add_said(found: list[Part], item: Any, number: int) -> None:
    """Add an item of what the model said; a message's id stays with its last part."""
    start = len(found)
    add_message(found, item, number, "assistant")
    for part in found[start:]:
        if part.role == "user":
            part.role = "assistant"
    if len(found) > start and isinstance(item, dict) and item.get("type", "message") == "message":
        found[-1].id = text(item.get("id"))
