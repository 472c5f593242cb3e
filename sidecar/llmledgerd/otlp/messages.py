"""Messages as emitters write them, in the form of OpenAI's chat, which readers of rows show. Pure.

Invariant: nothing here raises, and content of an unknown form is kept as it is.

Sources: OpenTelemetry semantic conventions for generative AI, "Input messages" and "Output messages" (parts);
OpenInference, "message" attributes; OpenLLMetry, ``gen_ai.prompt.N``; Vercel AI SDK, ``ai.prompt.messages``.
"""

from __future__ import annotations

from typing import Any, Final

from llmledgerd.otlp.reading import structured

Message = dict[str, Any]

ROLES: Final = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}
"""LangChain's types of messages that OpenAI calls otherwise."""


def messages_of(found: Any) -> list[Message]:
    """Return messages from a list, an object, or JSON text of one of them."""
    inside = structured(found)
    if isinstance(inside, dict):
        inside = inside.get("messages", [inside])
    if isinstance(inside, str) and inside:
        return [{"role": "user", "content": inside}]
    if isinstance(inside, list) and len(inside) == 1 and isinstance(inside[0], list):
        inside = inside[0]  # LangChain's batch of one
    return [_message(one) for one in inside if isinstance(one, dict)] if isinstance(inside, list) else []


def langchain_answer(found: Any) -> tuple[str, list[dict[str, Any]]]:
    """Return the answer's id and the choices of LangChain's ``LLMResult``; empty for anything else."""
    inside = structured(found)
    generations = inside.get("generations") if isinstance(inside, dict) else None
    if not isinstance(generations, list) or not generations or not isinstance(generations[0], list):
        return "", []
    said = [one.get("message") for one in generations[0] if isinstance(one, dict)]
    messages = [one for one in said if isinstance(one, dict)]
    kwargs = messages[0].get("kwargs") if messages else None
    told = kwargs.get("response_metadata") if isinstance(kwargs, dict) else None
    name = told.get("id") if isinstance(told, dict) else None
    output = inside.get("llm_output")
    name = name or (output.get("id") if isinstance(output, dict) else None)
    return name if isinstance(name, str) else "", choices_of(messages, [])


def system_of(found: Any) -> list[Message]:
    """Return system instructions, which are parts without a role, as messages."""
    inside = structured(found)
    if isinstance(inside, str) and inside:
        return [{"role": "system", "content": inside}]
    if isinstance(inside, list) and inside:
        return [{"role": "system", "content": _content(inside)}]
    return []


def choices_of(found: Any, reasons: list[str]) -> list[dict[str, Any]]:
    """Return output messages as choices of an answer."""
    choices = []
    for index, message in enumerate(messages_of(found)):
        reason = message.pop("finish_reason", None) or (reasons[index] if index < len(reasons) else None)
        message["role"] = message.get("role") or "assistant"
        choices.append({"index": index, "message": message, "finish_reason": reason})
    return choices


def _message(found: Message) -> Message:
    kwargs = found.get("kwargs")
    if isinstance(kwargs, dict) and found.get("lc") == 1:
        kind = str(kwargs.get("type", ""))
        names = ("content", "tool_calls", "tool_call_id")
        return _message(
            {"role": ROLES.get(kind, kind), **{name: kwargs[name] for name in names if kwargs.get(name)}}
        )
    inner = found.get("message")
    if isinstance(inner, dict) and "role" not in found and "content" not in found:
        reason = found.get("finish_reason") or inner.get("finish_reason")
        return _message({**inner, **({"finish_reason": reason} if reason else {})})
    message = dict(found)
    parts = message.pop("parts", None)
    if isinstance(parts, list):
        calls = [_tool_call(part) for part in parts if _is_call(part)]
        results = [part for part in parts if _kind(part) == "tool_call_response"]
        rest = [part for part in parts if not _is_call(part) and part not in results]
        if rest or not (calls or results):
            message["content"] = _content(rest)
        if calls:
            message["tool_calls"] = calls
        if results:
            message["tool_call_id"] = results[0].get("id")
            answer = results[0].get("response", results[0].get("result"))
            message.setdefault("content", answer)
    for name in ("content", "contents", "tool_calls"):
        if isinstance(message.get(name), str):
            message[name] = structured(message[name])
    if isinstance(message.get("tool_calls"), list):
        message["tool_calls"] = [_tool_call(one) for one in message["tool_calls"]]
    if "contents" in message and "content" not in message:
        message["content"] = message.pop("contents")
    return message


def _content(parts: list[Any]) -> Any:
    """Return the text of parts that are all text; else the parts, as they are."""
    said = [_text(part) for part in parts]
    return "\n".join(one for one in said if one is not None) if None not in said else parts


def _text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if _kind(part) in ("text", "") and isinstance(part, dict):
        found = part.get("content", part.get("text"))
        return found if isinstance(found, str) else None
    return None


def _kind(part: Any) -> str:
    return str(part.get("type", "")) if isinstance(part, dict) else ""


def _is_call(part: Any) -> bool:
    return _kind(part) in ("tool_call", "tool-call")


def _tool_call(found: Any) -> Any:
    """Return a tool call in OpenAI's form; one that has it already, or an unknown one, unchanged."""
    if not isinstance(found, dict) or "function" in found:
        return found
    inner = found.get("tool_call")
    if isinstance(inner, dict):
        return {"type": "function", **inner}
    name = found.get("name", found.get("toolName"))
    if not isinstance(name, str):
        return found
    arguments = found.get("arguments", found.get("input", found.get("args")))
    return {
        "id": found.get("id", found.get("toolCallId")),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
