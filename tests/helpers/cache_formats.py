"""Requests and answers of the providers whose caches ``cache_worlds`` plays, as their API references spell them.

Sources: Anthropic (Messages, "Prompt caching"), OpenAI (Chat Completions, Responses), Google (generateContent), AWS
(Converse, InvokeModel), DeepSeek ("Context caching"), xAI, OpenRouter ("Prompt caching").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

Json = dict[str, Any]
Rendered = tuple[str, Json, Any]
"""URL, request, and the response; a text where it is streamed."""


class Format(NamedTuple):
    """One API, and the rules of its cache."""

    name: str
    render: Callable[..., Rendered]
    models: tuple[str, str]
    minimum: int
    seconds: float
    step: int = 1
    is_marked: bool = False
    is_vague: bool = False
    """Reads are somewhat less than what is equal, by no documented rule."""
    ttl: str = ""
    is_stream: bool = False
    is_automatic: bool = False
    """One mark of the whole request instead of marks of blocks."""
    is_named: bool = False
    """Tools and system prompt are in an entry that was made before, which requests name."""
    tier: str = ""
    """Another service tier."""
    rates: Mapping[str, tuple[float, float, float]] = MappingProxyType({})


def _anthropic_messages(talk: Any, mark: Json, marks: list[int]) -> tuple[list[Json], list[Json], list[Json]]:
    """Return tools, system and messages with the marks."""
    number = -1

    def marked(block: Json) -> Json:
        nonlocal number
        number += 1
        return {**block, "cache_control": mark} if number in marks else block

    tools = [
        marked({"name": t["name"], "description": t["description"], "input_schema": t["parameters"]})
        for t in talk.tools
    ]
    system = [marked({"type": "text", "text": one}) for one in talk.system]
    messages = [
        {
            "role": "user" if one["role"] == "tool" else one["role"],
            "content": [marked(b) for b in _claude_blocks(one)],
        }
        for one in talk.messages
    ]
    return tools, system, messages


def _claude_blocks(one: Json) -> list[Json]:
    found: list[Json] = [{"type": "text", "text": one["text"]}] if one.get("text") else []
    found += [
        {"type": "tool_use", "id": call, "name": name, "input": given}
        for call, name, given in one.get("calls", ())
    ]
    return found + [
        {"type": "tool_result", "tool_use_id": call, "content": [{"type": "text", "text": text}]}
        for call, _, text in one.get("results", ())
    ]


def _anthropic(talk: Any, prompt: int, read: int, written: int) -> Rendered:
    mark = {"type": "ephemeral", **({"ttl": talk.how.ttl} if talk.how.ttl else {})}
    tools, system, messages = _anthropic_messages(talk, mark, [] if talk.how.is_automatic else talk.marked())
    request: Json = {
        "model": talk.model,
        "max_tokens": 4096,
        "system": system,
        "tools": tools,
        "messages": messages,
    }
    if talk.how.is_automatic:
        request["cache_control"] = mark
    usage: Json = {
        "input_tokens": prompt - read - written, "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read, "output_tokens": 61, "service_tier": talk.tier or "standard",
    }  # fmt: skip
    long = talk.how.ttl == "1h"
    usage["cache_creation"] = {
        "ephemeral_5m_input_tokens": 0 if long else written, "ephemeral_1h_input_tokens": written if long else 0,
    }  # fmt: skip
    message = {
        "id": f"msg_{talk.rng.getrandbits(70):x}", "type": "message", "role": "assistant", "model": talk.model,
        "content": _claude_blocks(talk.answer), "stop_reason": "tool_use" if talk.answer["calls"] else "end_turn",
        "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    url = "https://api.anthropic.com/v1/messages"
    if talk.how.is_stream:
        return url, {**request, "stream": True}, _anthropic_stream(message)
    return url, request, message


def _anthropic_stream(message: Json) -> str:
    events: list[Json] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    ]
    for index, block in enumerate(message["content"]):
        empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
        delta = (
            {"type": "text_delta", "text": block["text"]} if block["type"] == "text"
            else {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        )  # fmt: skip
        events += [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    events.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": message["stop_reason"]},
            "usage": {"output_tokens": 61},
        }
    )
    events.append({"type": "message_stop"})
    return "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)


def _invoke(talk: Any, prompt: int, read: int, written: int) -> Rendered:
    _, request, response = _anthropic(talk, prompt, read, written)
    del request["model"], response["usage"]["service_tier"]
    response["model"] = talk.model.rpartition("anthropic.")[2].removesuffix("-v1:0")
    url = f"https://bedrock-runtime.{talk.region}.amazonaws.com/model/{talk.model}/invoke"
    return url, {"anthropic_version": "bedrock-2023-05-31", **request}, response


def _converse(talk: Any, prompt: int, read: int, written: int) -> Rendered:
    marks, number = talk.marked(), -1
    point = {"cachePoint": {"type": "default"}}

    def pointed(blocks: list[Json]) -> list[Json]:
        nonlocal number
        found = []
        for block in blocks:
            number += 1
            found += [block, point] if number in marks else [block]
        return found

    specs = [
        {
            "toolSpec": {
                "name": t["name"],
                "description": t["description"],
                "inputSchema": {"json": t["parameters"]},
            }
        }
        for t in talk.tools
    ]
    request: Json = {
        "toolConfig": {"tools": pointed(specs)},
        "system": pointed([{"text": one} for one in talk.system]),
    }
    request["messages"] = [
        {"role": "user" if one["role"] == "tool" else one["role"], "content": pointed(_converse_blocks(one))}
        for one in talk.messages
    ]
    if talk.tier:
        request["serviceTier"] = {"type": talk.tier}
    response = {
        "output": {"message": {"role": "assistant", "content": _converse_blocks(talk.answer)}},
        "stopReason": "tool_use" if talk.answer["calls"] else "end_turn",
        "metrics": {"latencyMs": round(talk.latency * 1000)},
        "usage": {
            "inputTokens": prompt - read - written, "outputTokens": 61, "totalTokens": prompt + 61,
            "cacheReadInputTokens": read, "cacheWriteInputTokens": written,
        },
        **({"serviceTier": {"type": talk.tier}} if talk.tier else {}),
    }  # fmt: skip
    return (
        f"https://bedrock-runtime.{talk.region}.amazonaws.com/model/{talk.model}/converse",
        request,
        response,
    )


def _converse_blocks(one: Json) -> list[Json]:
    found: list[Json] = [{"text": one["text"]}] if one.get("text") else []
    found += [{"toolUse": {"toolUseId": c, "name": n, "input": g}} for c, n, g in one.get("calls", ())]
    return found + [
        {"toolResult": {"toolUseId": c, "content": [{"text": text}], "status": "success"}}
        for c, _, text in one.get("results", ())
    ]


def _chat_messages(talk: Any, role: str = "system") -> list[Json]:
    found: list[Json] = [{"role": role, "content": one} for one in talk.system]
    for one in talk.messages:
        found += _chat_message(one)
    return found


def _chat_message(one: Json) -> list[Json]:
    if one["role"] == "tool":
        return [{"role": "tool", "tool_call_id": call, "content": text} for call, _, text in one["results"]]
    found: Json = {"role": one["role"], "content": one["text"]}
    if one.get("calls"):
        found["tool_calls"] = [
            {"id": c, "type": "function", "function": {"name": n, "arguments": json.dumps(g)}}
            for c, n, g in one["calls"]
        ]
    return [found]


CHAT_URLS = {
    "openai": "https://api.openai.com/v1/chat/completions",
    "openai stream": "https://api.openai.com/v1/chat/completions",
    "azure": "https://desk.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
    "deepseek": "https://api.deepseek.com/chat/completions",
    "xai": "https://api.x.ai/v1/chat/completions",
}


def _chat(talk: Any, prompt: int, read: int, _written: int) -> Rendered:
    name = talk.how.name
    tools = [{"type": "function", "function": {**tool, "strict": False}} for tool in talk.tools]
    request: Json = {
        "model": talk.model,
        "messages": _chat_messages(talk, "developer" if name == "openai" else "system"),
    }
    request.update(tools=tools, temperature=0, **({"service_tier": talk.tier} if talk.tier else {}))
    usage: Json = {"prompt_tokens": prompt, "completion_tokens": 61, "total_tokens": prompt + 61}
    if name == "deepseek":
        usage.update(prompt_cache_hit_tokens=read, prompt_cache_miss_tokens=prompt - read)
    usage["prompt_tokens_details"] = {"cached_tokens": read, "audio_tokens": 0}
    (said,) = _chat_message(talk.answer)
    ended = "tool_calls" if talk.answer["calls"] else "stop"
    head = {"id": f"chatcmpl-{talk.rng.getrandbits(70):x}", "created": 1, "model": talk.model}
    if name.startswith("openai"):
        head["service_tier"] = talk.tier or "default"
    if not talk.how.is_stream:
        choice = {"index": 0, "message": said, "finish_reason": ended}
        return (
            CHAT_URLS[name],
            request,
            {**head, "object": "chat.completion", "choices": [choice], "usage": usage},
        )
    request.update(stream=True, stream_options={"include_usage": True})
    calls = [{"index": n, **call} for n, call in enumerate(said.get("tool_calls", ()))]
    deltas = [{"role": "assistant", "content": said["content"]}, *({"tool_calls": [one]} for one in calls)]
    chunks: list[Json] = [{"choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas]
    chunks += [
        {"choices": [{"index": 0, "delta": {}, "finish_reason": ended}]},
        {"choices": [], "usage": usage},
    ]
    lines = [json.dumps({**head, "object": "chat.completion.chunk", **one}) for one in chunks]
    return CHAT_URLS[name], request, "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])


def _openrouter(talk: Any, prompt: int, read: int, written: int) -> Rendered:
    marks, number = talk.marked(), len(talk.tools) - 1
    messages: list[Json] = []
    for one in [{"role": "system", "text": text} for text in talk.system] + talk.messages:
        for message in _chat_message(one):
            number += 1
            if number in marks:
                block = {"type": "text", "text": message["content"], "cache_control": {"type": "ephemeral"}}
                message["content"] = [block]
            messages.append(message)
            number += len(message.get("tool_calls", ()))
    tools = [{"type": "function", "function": tool} for tool in talk.tools]
    request = {"model": talk.model, "messages": messages, "tools": tools, "usage": {"include": True}}
    (said,) = _chat_message(talk.answer)
    response = {
        "id": f"gen-{talk.rng.getrandbits(70):x}", "provider": "Anthropic", "model": talk.model, "object": "chat.completion",
        "choices": [{"index": 0, "message": said, "finish_reason": "stop", "native_finish_reason": "end_turn"}],
        "usage": {
            "prompt_tokens": prompt, "completion_tokens": 61, "total_tokens": prompt + 61, "cost": 0.0123,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        },
    }  # fmt: skip
    return "https://openrouter.ai/api/v1/chat/completions", request, response


def _responses(talk: Any, prompt: int, read: int, _written: int) -> Rendered:
    items: list[Json] = []
    for one in talk.messages:
        items += _items(one)
    tools = [{"type": "function", **tool, "strict": True} for tool in talk.tools]
    request = {
        "model": talk.model,
        "instructions": "\n\n".join(talk.system),
        "input": items,
        "tools": tools,
        "store": False,
    }
    if talk.tier:
        request["service_tier"] = talk.tier
    response = {
        "id": f"resp_{talk.rng.getrandbits(90):x}", "object": "response", "model": talk.model, "status": "completed",
        "output": _items(talk.answer, is_output=True), "service_tier": talk.tier or "default",
        "usage": {
            "input_tokens": prompt, "input_tokens_details": {"cached_tokens": read}, "output_tokens": 61,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": prompt + 61,
        },
    }  # fmt: skip
    return "https://api.openai.com/v1/responses", request, response


def _items(one: Json, *, is_output: bool = False) -> list[Json]:
    if one["role"] == "tool":
        return [
            {"type": "function_call_output", "call_id": c, "output": text} for c, _, text in one["results"]
        ]
    kind = "output_text" if one["role"] == "assistant" else "input_text"
    message: Json = {"type": "message", "role": one["role"], "content": [{"type": kind, "text": one["text"]}]}
    if is_output:
        message.update(id="msg_1", status="completed")
    return [message] + [
        {"type": "function_call", "call_id": c, "name": n, "arguments": json.dumps(g)}
        for c, n, g in one.get("calls", ())
    ]


def _gemini(talk: Any, prompt: int, read: int, _written: int) -> Rendered:
    request: Json = {
        "systemInstruction": {"parts": [{"text": one} for one in talk.system]},
        "contents": [_gemini_content(one) for one in talk.messages],
        "tools": [{"functionDeclarations": list(talk.tools)}],
        "generationConfig": {"temperature": 0.2},
    }  # fmt: skip
    if talk.how.is_named:
        request = {"cachedContent": f"cachedContents/{talk.agent}", "contents": request["contents"]}
    usage: Json = {"promptTokenCount": prompt, "candidatesTokenCount": 61, "totalTokenCount": prompt + 61}
    if read:  # the member is absent where nothing was read
        usage["cachedContentTokenCount"] = read
    if talk.tier:
        usage["trafficType"] = talk.tier
    answer = {
        "candidates": [{"content": _gemini_content(talk.answer), "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage, "modelVersion": talk.model, "responseId": f"{talk.rng.getrandbits(70):x}",
    }  # fmt: skip
    base = f"https://generativelanguage.googleapis.com/v1beta/models/{talk.model}"
    if talk.how.is_stream:
        return f"{base}:streamGenerateContent?alt=sse", request, f"data: {json.dumps(answer)}\r\n\r\n"
    return f"{base}:generateContent", request, answer


def _gemini_content(one: Json) -> Json:
    found: list[Json] = [{"text": one["text"]}] if one.get("text") else []
    found += [{"functionCall": {"name": n, "args": g}} for _, n, g in one.get("calls", ())]
    found += [
        {"functionResponse": {"name": n, "response": {"result": text}}}
        for _, n, text in one.get("results", ())
    ]
    return {"role": "model" if one["role"] == "assistant" else "user", "parts": found}


SONNET, HAIKU = "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"
_CLAUDE = {SONNET: (3, 0.3, 3.75), HAIKU: (1, 0.1, 1.25)}
_HOUR = {SONNET: (3, 0.3, 6), HAIKU: (1, 0.1, 2)}
_GPT = {"gpt-4.1-2025-04-14": (2, 0.5, 2), "gpt-4.1-mini-2025-04-14": (0.4, 0.1, 0.4)}
_GPT_MODELS = ("gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14")
_BEDROCK = ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-haiku-4-5-20251001-v1:0")
_BEDROCK_RATES = {_BEDROCK[0]: (3.3, 0.33, 4.125), _BEDROCK[1]: (1.1, 0.11, 1.375)}
_GEMINI = ("gemini-2.5-flash", "gemini-2.5-pro")
_GEMINI_RATES = {"gemini-2.5-flash": (0.3, 0.03, 0.3)}

FORMATS = (
    Format("anthropic automatic", _anthropic, (SONNET, HAIKU), 1024, 300, is_marked=True, is_automatic=True, rates=_CLAUDE),
    Format("anthropic", _anthropic, (SONNET, HAIKU), 1024, 300, is_marked=True, tier="priority", rates=_CLAUDE),
    Format("anthropic 1h", _anthropic, (SONNET, HAIKU), 1024, 3600, is_marked=True, ttl="1h", tier="priority", rates=_HOUR),
    Format("anthropic stream", _anthropic, (SONNET, HAIKU), 1024, 300, is_marked=True, is_stream=True, rates=_CLAUDE),
    Format("invoke", _invoke, _BEDROCK, 1024, 300, is_marked=True, rates=_BEDROCK_RATES),
    Format("converse", _converse, _BEDROCK, 1024, 300, is_marked=True, tier="priority", rates=_BEDROCK_RATES),
    Format("openrouter", _openrouter, ("anthropic/claude-sonnet-4.5", "anthropic/claude-haiku-4.5"), 1024, 300, is_marked=True),
    Format("openai", _chat, _GPT_MODELS, 1024, 600, 128, tier="flex", rates=_GPT),
    Format("openai stream", _chat, _GPT_MODELS, 1024, 600, 128, is_stream=True, tier="flex", rates=_GPT),
    Format("azure", _chat, _GPT_MODELS, 1024, 600, 128),
    Format("responses", _responses, ("gpt-5-2025-08-07", "gpt-5-mini-2025-08-07"), 1024, 600, 128, tier="priority",
           rates={"gpt-5-2025-08-07": (1.25, 0.125, 1.25)}),
    Format("deepseek", _chat, ("deepseek-chat", "deepseek-reasoner"), 64, 86_400, 64),
    Format("xai", _chat, ("grok-4", "grok-3-mini"), 1, 1800, 1, is_vague=True),
    Format("gemini", _gemini, _GEMINI, 2048, 3600, 1, is_vague=True, tier="PROVISIONED_THROUGHPUT", rates=_GEMINI_RATES),
    Format("gemini stream", _gemini, _GEMINI, 2048, 3600, 1, is_vague=True, is_stream=True, rates=_GEMINI_RATES),
)  # fmt: skip

NAMED = Format("gemini named", _gemini, _GEMINI, 2048, 3600, is_named=True)
