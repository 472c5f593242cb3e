"""A request in parts. Pure.

Invariant: ``read_request`` never raises, and decodes the request once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import xxhash
from msgspec import Raw

from llmledgerd.conversations import parts, prefixes
from llmledgerd.conversations.blocks import add_content, add_message, listed, mark_of, result, text
from llmledgerd.conversations.kept import Kept
from llmledgerd.conversations.parts import Part, Request
from llmledgerd.conversations.prefixes import Prefix, Prefixes
from llmledgerd.conversations.values import MARKS, REFUSED, decoded
from llmledgerd.json_text import TooMuch
from llmledgerd.usage import budget

_ABSENT: Final = Raw(b"")
_TOOLS_BYTES: Final = 16 << 20
"""Limit of what tools' schemas take that are kept, about: they are the same in every call of an agent."""


class _Root(msgspec.Struct, gc=False):
    """The members of a request that say something."""

    messages: Any = None
    contents: Any = None
    input: Raw = _ABSENT
    inputs: Raw = _ABSENT
    tools: Raw = _ABSENT
    tool_config: Raw = msgspec.field(default=_ABSENT, name="toolConfig")
    functions: Raw = _ABSENT
    system: Any = None
    instructions: Any = None
    system_instruction: Any = msgspec.field(default=None, name="systemInstruction")
    plain_system_instruction: Any = msgspec.field(default=None, name="system_instruction")
    preamble: Any = None
    chat_history: Any = None
    message: Any = None
    tool_results: Any = None
    documents: Raw = _ABSENT
    prompt: Raw = _ABSENT
    input_text: Any = msgspec.field(default=None, name="inputText")
    images: Any = None
    previous_response_id: Any = None
    previous_interaction_id: Any = None
    conversation: Any = None
    conversation_id: Any = None
    store: Any = None
    cache_control: Any = None
    prompt_cache_retention: Any = None
    cached_content: Any = msgspec.field(default=None, name="cachedContent")
    plain_cached_content: Any = msgspec.field(default=None, name="cached_content")


_decode_any = msgspec.json.Decoder().decode
_decode_root = msgspec.json.Decoder(_Root).decode
_prefixes: Final = Prefixes()
_kept_tools: Final[Kept[tuple[bytes, tuple[Part, ...]]]] = Kept(_TOOLS_BYTES)

_PLAIN_ROLES: Final = frozenset({"user", "assistant", "system"})


def read_request(request: bytes | memoryview) -> Request:
    """Return a request's parts; empty for what cannot be read."""
    if len(request) < len(b'{"a":[]}'):
        return Request()
    try:
        if len(request) > budget.UNCOUNTED_BYTES:
            budget.spend(request, budget.OBJECT)
            budget.spend(request, budget.LIST)
        if prefixes.LEAST_BYTES <= len(request) <= budget.UNCOUNTED_BYTES:
            return _read_known(request)
        root = decoded(request, _decode_root)
        return Request() if root is None else _request(root)
    except TooMuch:
        return Request()


def _read_known(request: bytes | memoryview) -> Request:
    """Return a request's parts; messages that were sent before are not decoded again."""
    known, hashes = _prefixes.find(request)
    found = None if known is None else _continued(known, request)
    if found is None:
        known = None
        try:
            root = _decode_root(request)
        except REFUSED:  # another shape, or to be mended, which may move what stands where
            root = decoded(request, _decode_root)
            return Request() if root is None else _request(root)
        found = _request(root)
    if found.messages:
        _prefixes.learn(request, hashes, known, found.messages)
    return found


def _continued(known: Prefix, request: bytes | memoryview) -> Request | None:
    """Return the parts of a request that begins with a known one; None where the rest is to be read with it."""
    try:
        root = _decode_root(known.rest(request))
    except REFUSED:
        return None
    said, is_input = root.messages, False
    if said is None:
        said = root.contents
    if said is None and root.input:
        is_input = True
        try:
            said = _decode_any(root.input)
        except REFUSED:
            return None
    if said.__class__ is not list or not said or said[0] != prefixes.SENTINEL:
        return None  # a second member of the name
    del said[0]
    root.messages = said
    found = _request(root, known)
    found.is_input = is_input
    return found


def _request(root: _Root, known: Prefix | None = None) -> Request:
    messages: list[Part] = [] if known is None else known.parts[:]
    found = Request(tools=_tools(root), messages=messages)
    if known is not None:
        found.known, found.notes = len(messages), known.notes
    if (
        root.system or root.instructions or root.documents
        or root.system_instruction or root.plain_system_instruction or root.preamble
    ):  # fmt: skip
        _add_system(found, root)
    if root.messages is not None:
        _add_all(messages, root.messages, 0 if known is None else known.messages)
    elif root.contents is not None:
        _add_all(messages, root.contents)
    elif root.input:
        _add_input(found, messages, root.input)
    elif root.inputs:  # Mistral's conversations
        _add_input(found, messages, root.inputs)
    elif root.chat_history is not None or root.message is not None:
        _add_cohere(messages, root)
    else:
        found.is_plain = True
        prompt = decoded(root.prompt) if root.prompt else root.input_text
        for number, one in enumerate(prompt if isinstance(prompt, list) else [prompt]):
            add_content(messages, one, "user", number)
        messages += [Part(parts.IMAGE, "user", 0, one) for one in listed(root.images)]
    if root.cache_control:
        found.mark = mark_of({"cache_control": root.cache_control})
    if root.prompt_cache_retention:
        found.retention = text(root.prompt_cache_retention)
    if root.cached_content or root.plain_cached_content:
        found.cached = text(root.cached_content) or text(root.plain_cached_content)
    if root.previous_response_id or root.previous_interaction_id:
        found.previous = text(root.previous_response_id) or text(root.previous_interaction_id)
    if kept := root.conversation or root.conversation_id:
        found.conversation = text(kept.get("id") if isinstance(kept, dict) else kept)
    if isinstance(root.store, bool):
        found.is_kept = root.store
    return found


def _add_all(found: list[Part], said: Any, first: int = 0) -> None:
    if not isinstance(said, list):
        add_message(found, said, 0)
        return
    for number, message in enumerate(said, first):
        # Most messages are a role and a text: the rest of the way costs three times as much.
        if message.__class__ is dict and len(message) == 2:
            role, content = message.get("role"), message.get("content")
            if content.__class__ is role.__class__ is str and content and role in _PLAIN_ROLES:
                found.append(Part(parts.TEXT, role, number, content))
                continue
        add_message(found, message, number)


def _add_input(request: Request, found: list[Part], raw: Raw) -> None:
    """Add Responses' input: a text, or items. Lists of texts and numbers are to be embedded, and are no messages."""
    start = bytes(memoryview(raw)[:64]).lstrip()
    if start[:1] == b"[" and start[1:].lstrip()[:1] != b"{":
        return
    said = decoded(raw)
    if isinstance(said, dict):  # Replicate's
        request.is_plain = True
        add_content(found, said.get("prompt"), "user", 0)
        return
    request.is_plain = isinstance(said, str)
    request.is_input = True
    _add_all(found, said)


def _add_cohere(found: list[Part], root: _Root) -> None:
    """Add the messages of Cohere's first version: history, then the message, then tools' results."""
    history = listed(root.chat_history)
    _add_all(found, history)
    number = len(history)
    add_content(found, root.message, "user", number)
    for one in listed(root.tool_results):
        called = one.get("call") if isinstance(one, dict) else None
        if isinstance(called, dict):
            part = result(one, "tool", number + 1)
            part.name = text(called.get("name"))
            found.append(part)


def _add_system(found: Request, root: _Root) -> None:
    beside = (
        root.system, root.instructions, root.system_instruction, root.plain_system_instruction, root.preamble,
    )  # fmt: skip
    for said in filter(None, beside):
        if not found.system:
            found.system = []
        content = (said.get("parts") or said) if isinstance(said, dict) else said
        add_content(found.system, content, "system", -1, parts.SYSTEM)
    if root.documents:
        documents = listed(decoded(root.documents))
        found.system = found.system + [Part(parts.FILE, "system", -1, one) for one in documents]


def _tools(root: _Root) -> tuple[Part, ...]:
    raw = root.tools or root.functions
    if not raw and root.tool_config:
        raw = root.tool_config
    if not raw:
        return ()
    text = bytes(raw)
    key = xxhash.xxh3_64_intdigest(text)
    known = _kept_tools.get(key)
    if known is not None and known[0] == text:
        return known[1]
    found = _read_tools(text)
    _kept_tools.put(key, (text, found), text)
    return found


def _read_tools(raw: bytes) -> tuple[Part, ...]:
    said = decoded(raw)
    if isinstance(said, dict):
        said = said.get("tools")
    found: list[Part] = []
    for tool in listed(said):
        if isinstance(tool, dict):
            _add_tool(found, tool)
    return tuple(found)


def _add_tool(found: list[Part], tool: dict[str, Any]) -> None:
    start = len(found)
    for name in ("functionDeclarations", "function_declarations"):
        if isinstance(tool.get(name), list):
            found += [_schema(one) for one in tool[name] if isinstance(one, dict)]
            tool = {key: one for key, one in tool.items() if key != name}
    if tool and not MARKS.issuperset(tool):
        inside = tool.get("function") or tool.get("toolSpec")
        found.append(_schema(inside if isinstance(inside, dict) else tool))
    if found and (len(found) > start or start) and (mark := mark_of(tool)):
        found[-1].mark = mark


def _schema(tool: Mapping[str, Any]) -> Part:
    named = text(tool.get("name")) or text(tool.get("type")) or next(iter(tool), "")
    return Part(parts.TOOL, "", -1, {key: one for key, one in tool.items() if key not in MARKS}, named)
