"""How providers write the requests and the answers of generated calls. Pure.

Invariant: a turn is written in later requests as in the answer that it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

Body = dict[str, Any]


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of one call: ``cached`` and ``written`` are parts of ``prompt``, ``reasoning`` is part of ``completion``."""

    prompt: int
    cached: int
    written: int
    """To the cache, where an API tells it."""
    completion: int
    reasoning: int


class Tool(msgspec.Struct, frozen=True):
    """A tool with one argument."""

    name: str
    description: str
    argument: str

    @property
    def schema(self) -> Body:
        """The JSON schema of its arguments."""
        return {
            "type": "object",
            "properties": {self.argument: {"type": "string"}},
            "required": [self.argument],
        }


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool, and what it returned."""

    id: str
    name: str
    arguments: dict[str, str]
    result: str
    is_error: bool


class Turn(msgspec.Struct, frozen=True):
    """What the model was asked, a question or a tool's result, and what it said: a text, or a call of a tool."""

    asked: str | ToolCall
    said: str | ToolCall


class Format(msgspec.Struct, frozen=True):
    """An API's way to write a request (of model, system prompt, tools, turns, and what is asked) and an answer."""

    request: Callable[[str, str, Sequence[Tool], Sequence[Turn], str | ToolCall], Body]
    answer: Callable[[str, Tokens, str | ToolCall], Body]


def _in_order(turns: Sequence[Turn], asked: str | ToolCall) -> Iterator[tuple[bool, str | ToolCall]]:
    """Yield what was said, and whether the model said it."""
    for turn in turns:
        yield False, turn.asked
        yield True, turn.said
    yield False, asked


def _chat_request(
    model: str, system: str, tools: Sequence[Tool], turns: Sequence[Turn], asked: str | ToolCall
) -> Body:
    messages = [{"role": "system", "content": system}]
    messages += [_chat_message(is_model, said) for is_model, said in _in_order(turns, asked)]
    functions = [
        {"name": tool.name, "description": tool.description, "parameters": tool.schema} for tool in tools
    ]
    listed = [{"type": "function", "function": one} for one in functions]
    return {"model": model, "messages": messages, **({"tools": listed} if listed else {})}


def _chat_message(is_model: bool, said: str | ToolCall) -> Body:
    if isinstance(said, str):
        return {"role": "assistant" if is_model else "user", "content": said}
    if not is_model:
        return {"role": "tool", "tool_call_id": said.id, "content": said.result}
    function = {"name": said.name, "arguments": msgspec.json.encode(said.arguments).decode()}
    call = {"id": said.id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _chat_answer(model: str, tokens: Tokens, said: str | ToolCall) -> Body:
    usage = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
    reason = "stop" if isinstance(said, str) else "tool_calls"
    choices = [{"index": 0, "message": _chat_message(True, said), "finish_reason": reason}]
    return {"object": "chat.completion", "model": model, "choices": choices, "usage": usage}


def _messages_request(
    model: str, system: str, tools: Sequence[Tool], turns: Sequence[Turn], asked: str | ToolCall
) -> Body:
    messages = [
        {"role": "assistant" if is_model else "user", "content": _messages_content(is_model, said)}
        for is_model, said in _in_order(turns, asked)
    ]
    listed = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in tools
    ]
    return {
        "model": model,
        "max_tokens": 16_000,
        "cache_control": {"type": "ephemeral"},
        "system": system,
        **({"tools": listed} if listed else {}),
        "messages": messages,
    }


def _messages_content(is_model: bool, said: str | ToolCall) -> list[Body]:
    if isinstance(said, str):
        return [{"type": "text", "text": said}]
    if is_model:
        return [{"type": "tool_use", "id": said.id, "name": said.name, "input": said.arguments}]
    failed = {"is_error": True} if said.is_error else {}
    return [{"type": "tool_result", "tool_use_id": said.id, "content": said.result, **failed}]


def _messages_answer(model: str, tokens: Tokens, said: str | ToolCall) -> Body:
    usage = {
        "input_tokens": tokens.prompt - tokens.cached - tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": tokens.written,
        "output_tokens": tokens.completion,
    }
    content, reason = _messages_content(True, said), "end_turn" if isinstance(said, str) else "tool_use"
    return {"type": "message", "model": model, "content": content, "stop_reason": reason, "usage": usage}


def _gemini_request(
    model: str, system: str, tools: Sequence[Tool], turns: Sequence[Turn], asked: str | ToolCall
) -> Body:
    contents = [
        {"role": "model" if is_model else "user", "parts": [_gemini_part(is_model, said)]}
        for is_model, said in _in_order(turns, asked)
    ]
    listed = [
        {"name": tool.name, "description": tool.description, "parameters": tool.schema} for tool in tools
    ]
    declared = {"tools": [{"functionDeclarations": listed}]} if listed else {}
    return {"systemInstruction": {"parts": [{"text": system}]}, **declared, "contents": contents}


def _gemini_part(is_model: bool, said: str | ToolCall) -> Body:
    if isinstance(said, str):
        return {"text": said}
    if is_model:
        return {"functionCall": {"name": said.name, "args": said.arguments}}
    response = {"error" if said.is_error else "result": said.result}
    return {"functionResponse": {"name": said.name, "response": response}}


def _gemini_answer(model: str, tokens: Tokens, said: str | ToolCall) -> Body:
    usage = {
        "promptTokenCount": tokens.prompt,
        **({"cachedContentTokenCount": tokens.cached} if tokens.cached else {}),
        "candidatesTokenCount": tokens.completion - tokens.reasoning,
        "thoughtsTokenCount": tokens.reasoning,
        "totalTokenCount": tokens.prompt + tokens.completion,
    }
    candidate = {"content": {"role": "model", "parts": [_gemini_part(True, said)]}, "finishReason": "STOP"}
    return {"candidates": [candidate], "modelVersion": model, "usageMetadata": usage}


CHAT: Final = Format(_chat_request, _chat_answer)
MESSAGES: Final = Format(_messages_request, _messages_answer)
GEMINI: Final = Format(_gemini_request, _gemini_answer)
