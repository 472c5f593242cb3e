"""Blocks and messages of any provider as parts. Pure.

Invariant: a block of an unknown kind is a part of kind ``other``; nothing is left out but what is empty, and
what says only what to cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from llmledgerd.conversations import parts
from llmledgerd.conversations.parts import Part
from llmledgerd.conversations.values import MARKS, parsed

ROLES: Final = {
    "model": "assistant", "CHATBOT": "assistant", "Chatbot": "assistant", "chatbot": "assistant", "ai": "assistant",
    "USER": "user", "User": "user", "human": "user", "developer": "system", "SYSTEM": "system", "System": "system",
    "TOOL": "tool", "Tool": "tool", "function": "tool", "ipython": "tool",
}  # fmt: skip
"""Roles of some providers in the common words."""

CODE: Final = "code_execution"
"""Name of the tool whose blocks have none (Gemini's)."""
MCP: Final = "mcp__"
"""Beginning of the names of MCP servers' tools."""

_EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})
_TEXTS: Final = frozenset({"text", "input_text", "output_text", "summary_text", "model_output"})
_THINKING: Final = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_text"})
_MEDIA: Final = {
    "image": parts.IMAGE, "image_url": parts.IMAGE, "input_image": parts.IMAGE, "input_audio": parts.AUDIO,
    "audio": parts.AUDIO, "audio_url": parts.AUDIO, "document": parts.FILE, "file": parts.FILE,
    "input_file": parts.FILE, "document_url": parts.FILE, "video": parts.FILE, "video_url": parts.FILE,
    "container_upload": parts.FILE, "search_result": parts.FILE,
}  # fmt: skip
_CALLS: Final = frozenset(
    {"tool_use", "function_call", "custom_tool_call", "function", "tool_call", "tool-call"}
)
_SERVER_CALLS: Final = frozenset({"server_tool_use", "mcp_tool_use"})
_SIGNS: Final = frozenset({"type", "thought", "thoughtSignature", "thought_signature", "signature"})
"""Members of a block that has no content."""


def mark_of(block: dict[str, Any]) -> str:
    """Return the lifetime that a block's mark names, ``default`` where it names none; "" without a mark."""
    if MARKS.isdisjoint(block):
        return ""
    for name in MARKS:
        if mark := block.get(name):
            said = mark.get("ttl") if isinstance(mark, dict) else None
            return said if isinstance(said, str) and said else "default"
    return ""


def text(value: Any) -> str:
    """Return a text, and "" for anything else."""
    return value if isinstance(value, str) else ""


def listed(value: Any) -> list[Any]:
    """Return a list, and [] for anything else."""
    return value if isinstance(value, list) else []


def add_content(found: list[Part], content: Any, role: str, message: int, kind: str = parts.TEXT) -> None:
    """Add the parts of a content: a text, a block, or a list of them."""
    if isinstance(content, str):
        if content:
            found.append(Part(kind, role, message, content))
    elif isinstance(content, list):
        for block in content:
            if isinstance(block, dict):
                add_block(found, block, role, message, kind)
            else:
                add_content(found, block, role, message, kind) if isinstance(block, str) else None
    elif isinstance(content, dict):
        add_block(found, content, role, message, kind)


def add_block(found: list[Part], block: dict[str, Any], role: str, message: int, kind: str) -> None:
    """Add one typed block; what only says what to cache marks the part before it."""
    start = len(found)
    said = text(block.get("type"))
    content = block.get("text")
    if isinstance(content, str) and (said in _TEXTS or not said):
        is_thought = block.get("thought") is True
        if content:
            found.append(Part(parts.THINKING if is_thought else kind, role, message, content))
    else:
        _add_other(found, block, said, role, message)
    mark = "" if len(block) == 2 and said and content is not None else mark_of(block)
    if mark and (len(found) > start or start):
        if len(found) == start:  # another message's, which other requests may share
            found[-1] = msgspec.structs.replace(found[-1])
        found[-1].mark = mark


def _add_other(found: list[Part], block: dict[str, Any], said: str, role: str, message: int) -> None:
    for name, inside in block.items():
        if inside.__class__ is dict and name in _KEYED and said not in _MEDIA:
            part: Part | None = _KEYED[name](inside, role, message)
            break
    else:
        part = _typed(block, said, role, message)
    if part is not None:
        found.append(part)


def _typed(block: dict[str, Any], said: str, role: str, message: int) -> Part | None:
    if said in _TEXTS:  # Aleph Alpha's; an empty one
        return Part(parts.TEXT, role, message, block["data"]) if text(block.get("data")) else None
    if said in _CALLS:
        return call(block, role, message)
    if said in _SERVER_CALLS:
        name, server = text(block.get("name")), text(block.get("server_name"))
        named = mcp_name(server, name)
        return Part(parts.SERVER_CALL, role, message, block.get("input"), named, text(block.get("id")))
    if said == "tool_result" or said == "tool-result":
        return result(block, "tool", message)
    if said.endswith("_tool_result"):
        return _server_result(block, said, role, message)
    if said in _THINKING:
        return Part(
            parts.THINKING,
            role,
            message,
            block.get("thinking") or block.get("text") or block.get("data") or "",
        )
    if said in _MEDIA:
        return Part(_MEDIA[said], role, message, _rest(block))
    if said == "refusal":
        return Part(parts.TEXT, role, message, text(block.get("refusal")))
    rest = _rest(block)
    return None if _SIGNS.issuperset(rest) else Part(parts.OTHER, role, message, rest)


def _server_result(block: dict[str, Any], said: str, role: str, message: int) -> Part:
    """Return the result of a call that the provider ran (Messages', Interactions')."""
    value = block.get("content", block.get("result"))
    own_id = text(block.get("tool_use_id")) or text(block.get("call_id"))
    part = Part(parts.SERVER_RESULT, role, message, content_value(value), said, own_id)
    if isinstance(block.get("is_error"), bool):
        part.is_error = block["is_error"]
    return part


def mcp_name(server: str, name: str) -> str:
    """Return the name of an MCP server's tool in the form in which names say their server.

    >>> mcp_name("deepwiki", "ask_question")
    'mcp__deepwiki__ask_question'
    """
    return f"{MCP}{server}__{name}" if server and not name.startswith(MCP) else name


def _rest(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block without what moves: marks, and the number of a piece of a stream."""
    return {name: one for name, one in block.items() if name not in MARKS and name != "index"}


def call(block: dict[str, Any], role: str, message: int) -> Part:
    """Return a tool's call, in any spelling."""
    inside = block.get("function")
    if inside.__class__ is dict and len(inside) == 2:  # Chat Completions', of which there are the most
        found_id, name, named = block.get("id"), inside.get("name"), inside.get("arguments")
        if named.__class__ is str and name.__class__ is str and found_id.__class__ is str and len(named) > 2:
            return Part(parts.CALL, role, message, parsed(named), name, found_id, written=named)
    of = inside if isinstance(inside, dict) else block
    named = next((one for name in _ARGUMENTS if (one := of.get(name)) is not None), None)
    found_id = text(block.get("call_id")) or text(block.get("id")) or text(block.get("toolUseId"))
    arguments = parsed(named)
    return Part(
        parts.CALL,
        role,
        message,
        {} if arguments in _EMPTY else arguments,
        text(of.get("name")),
        found_id or text(block.get("tool_call_id")),
        written=text(named),
    )


_ARGUMENTS: Final = ("arguments", "args", "input", "parameters")


def result(block: dict[str, Any], role: str, message: int) -> Part:
    """Return a tool's result, in any spelling."""
    value = block.get("content")
    if (
        value.__class__ is str and len(block) == 3
    ):  # Chat Completions' and Messages', of which there are the most
        found_id = block.get("tool_call_id") or block.get("tool_use_id")
        if found_id.__class__ is str:
            return Part(parts.RESULT, role, message, value, "", found_id)
    value = next((one for name in _RESULTS if (one := block.get(name)) is not None), None)
    found = Part(parts.RESULT, role, message, content_value(value), text(block.get("name")))
    found.id = next((one for name in _IDS if (one := text(block.get(name)))), "")
    is_error, status = block.get("is_error"), block.get("status")
    if isinstance(is_error, bool):
        found.is_error = is_error
    elif status in ("error", "success", "failed"):
        found.is_error = status != "success"
    found.mark = next((mark for one in listed(value) if isinstance(one, dict) and (mark := mark_of(one))), "")
    return found


_RESULTS: Final = ("content", "output", "response", "outputs", "result", "tools")
_IDS: Final = ("tool_use_id", "tool_call_id", "toolUseId", "call_id", "id")


def content_value(content: Any) -> Any:
    """Return a result's content: the text where it is one, in whatever form; else the value."""
    if isinstance(content, list):
        found = [_inner(one) for one in content]
        found = [one for one in found if one not in _EMPTY]
        return found[0] if len(found) == 1 else found or ""
    if isinstance(content, dict):
        return _inner(content)
    return "" if content is None else content


def _inner(block: Any) -> Any:
    if isinstance(block, dict):
        said = block.get("text")
        if isinstance(said, str) and (text(block.get("type")) in _TEXTS or len(block) == 1):
            return said
        if len(block) == 1 and "json" in block:
            return block["json"]
        return None if set(block) <= MARKS and block else block
    return block


def _function_response(block: dict[str, Any], role: str, message: int) -> Part:
    return result(block, "tool", message)


def _reasoning(block: dict[str, Any], role: str, message: int) -> Part:
    inside = block.get("reasoningText")
    said = inside.get("text") if isinstance(inside, dict) else block.get("redactedContent")
    return Part(parts.THINKING, role, message, said or "")


def _guarded(block: dict[str, Any], role: str, message: int) -> Part:
    inside = block.get("text")
    return Part(parts.TEXT, role, message, text(inside.get("text")) if isinstance(inside, dict) else block)


def _server(kind: str) -> Callable[[dict[str, Any], str, int], Part]:
    def read(block: dict[str, Any], role: str, message: int) -> Part:
        rest = {name: one for name, one in block.items() if name != "id"}
        return Part(kind, role, message, rest, CODE, text(block.get("id")))

    return read


def _medium(kind: str) -> Callable[[dict[str, Any], str, int], Part]:
    def read(block: dict[str, Any], role: str, message: int) -> Part:
        mime = text(block.get("mimeType")) or text(block.get("mime_type"))
        found = {"image": parts.IMAGE, "audio": parts.AUDIO}.get(mime.partition("/")[0], kind)
        return Part(found, role, message, block)

    return read


_KEYED: Final[dict[str, Callable[[dict[str, Any], str, int], Part]]] = {
    "functionCall": call,
    "function_call": call,
    "toolUse": call,
    "functionResponse": _function_response,
    "function_response": _function_response,
    "toolResult": _function_response,
    "reasoningContent": _reasoning,
    "executableCode": _server(parts.SERVER_CALL),
    "codeExecutionResult": _server(parts.SERVER_RESULT),
    "guardContent": _guarded,
    "inlineData": _medium(parts.FILE),
    "inline_data": _medium(parts.FILE),
    "fileData": _medium(parts.FILE),
    "file_data": _medium(parts.FILE),
    "image": _medium(parts.IMAGE),
    "document": _medium(parts.FILE),
    "video": _medium(parts.FILE),
}
"""Blocks that are named by their only member (Gemini, Converse)."""


def add_message(found: list[Part], message: Any, number: int, role: str = "user") -> None:
    """Add the parts of one message; ``role`` is its role where it names none."""
    if not isinstance(message, dict):
        add_content(found, message, role, number)
        return
    named = message.get("role")
    if isinstance(named, str):
        role = ROLES.get(named, named)
    said = message.get("type")
    if isinstance(said, str) and said != "message" and _add_item(found, message, said, number):
        return
    if role == "tool" and ("tool_call_id" in message or "content" in message) and "parts" not in message:
        found.append(result(message, role, number))
        if len(message) > 3 and (mark := mark_of(message)):
            found[-1].mark = mark
        return
    add_spoken(found, message, role, number)


def add_spoken(found: list[Part], message: dict[str, Any], role: str, number: int) -> None:
    """Add the parts of a message that is no item and no result."""
    content = message.get("content")
    if len(message) == 2 and content.__class__ is str and "role" in message:
        if content:
            found.append(Part(parts.TEXT, role, number, content))
        return
    start = len(found)
    if role == "assistant":
        thought = message.get("thinking") or message.get("reasoning_content") or message.get("reasoning")
        if thought.__class__ is str:
            found.append(Part(parts.THINKING, role, number, thought))
    if content is None:
        content = message.get("parts")
        if content is None:
            content = message.get("message") or message.get("text")
    if content:
        add_content(found, content, role, number)
    if refusal := message.get("refusal"):
        add_content(found, refusal, role, number)
    if calls := message.get("tool_calls"):
        found += [call(one, role, number) for one in listed(calls) if isinstance(one, dict)]
    if (older := message.get("function_call")).__class__ is dict:
        found.append(call(older, role, number))
    for name, kind in _MEDIA_BESIDE:
        if medium := message.get(name):
            found += [
                Part(kind, role, number, one) for one in (medium if isinstance(medium, list) else [medium])
            ]
    if len(found) > start and (mark := mark_of(message)):
        found[-1].mark = mark


def _is_the_servers(item: dict[str, Any]) -> bool:
    """Return whether the provider ran a call itself; SDKs fill in its own id for the one that it has not.

    Source: OpenAI, "Tool search" (``tool_search_call.execution``).
    """
    return item.get("execution") == "server" or item["call_id"] == item.get("id")


def _is_a_search_of_x(item: dict[str, Any]) -> bool:
    """Return whether xAI ran this call itself: its searches of X are sent as custom tools of the sender."""
    return text(item.get("call_id")).startswith("xs_call_")


_MEDIA_BESIDE: Final = (("images", parts.IMAGE), ("audio", parts.AUDIO))


def _add_item(found: list[Part], item: dict[str, Any], said: str, number: int) -> bool:
    """Add an item of the Responses API (or a step of Interactions), if it is one."""
    role = "assistant"
    if said == "tool.execution" or (said == "custom_tool_call" and _is_a_search_of_x(item)):
        value = item.get("arguments", item.get("input"))
        part = Part(
            parts.SERVER_CALL, role, number, parsed(value), text(item.get("name")), text(item.get("id"))
        )
    elif said in ("function_call", "custom_tool_call"):
        part = call(item, role, number)
    elif said.endswith("_call") and text(item.get("call_id")) and not _is_the_servers(item):
        part = Part(parts.CALL, role, number, _of_item(item), said, item["call_id"])
    elif said.endswith(("_output", "function_result")) and isinstance(item.get("call_id"), str):
        part = result(item, "tool", number)
    elif said in ("reasoning", "thought"):
        part = Part(parts.THINKING, role, number, item.get("summary") or "", id=text(item.get("id")))
    elif said.endswith("_call"):
        part = Part(parts.SERVER_CALL, role, number, _of_item(item), said, text(item.get("id")))
        part.is_error = True if item.get("status") == "failed" or item.get("error") else None
    elif said.endswith("_result") and text(item.get("call_id")):
        part = _server_result(item, said, role, number)
    elif said in ("item_reference", "compaction", "compaction_summary"):
        part = Part(
            parts.REFERENCE, role, number, item.get("encrypted_content") or "", said, text(item.get("id"))
        )
    elif said in ("mcp_list_tools", "mcp_approval_request"):
        part = Part(parts.OTHER, role, number, _of_item(item), said, text(item.get("id")))
    elif "role" in item or "content" in item:
        return False
    else:
        before = len(found)
        add_block(found, item, "user", number, parts.TEXT)
        return len(found) > before
    found.append(part)
    if mark := mark_of(item):
        part.mark = mark
    return True


def _of_item(item: dict[str, Any]) -> dict[str, Any]:
    """Return what an item says, without its ids and its state."""
    return {name: one for name, one in item.items() if name not in ("id", "call_id", "status", "type")}
