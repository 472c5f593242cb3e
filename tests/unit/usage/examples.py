"""Small answers of every api, and short ways to read them.

Invariant: each example is made up after the provider's documentation; none is a recording.
"""

from __future__ import annotations

import json
from typing import Any

from llmledgerd.usage import Exchange, Facts, read_exchange

Columns = tuple[int | None, int | None, int | None, int | None, int | None, int | None]


def reply(answer: Any, **rest: Any) -> Facts:
    """Read an answer that was not streamed."""
    return read_exchange(Exchange(response=json.dumps(answer).encode(), **rest))


def stream(text: str, **rest: Any) -> Facts:
    """Read a streamed answer."""
    return read_exchange(Exchange(stream=text, **rest))


def whole(text: str) -> Any:
    """Return the object that a streamed answer makes up."""
    return json.loads(stream(text).response)


def columns(facts: Facts) -> Columns:
    """Return prompt, completion, total, cached, cache write, reasoning."""
    return (
        facts.prompt_tokens,
        facts.completion_tokens,
        facts.total_tokens,
        facts.cached_input_tokens,
        facts.cache_write_tokens,
        facts.reasoning_tokens,
    )


def of_usage(usage: Any) -> Columns:
    """Return the columns of an answer that has this usage."""
    return columns(reply({"usage": usage}))


def data_events(*events: Any, done: bool = False) -> str:
    """Return SSE with a line of data per event."""
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return text + ("data: [DONE]\n\n" if done else "")


def typed_events(*events: dict[str, Any]) -> str:
    """Return SSE whose events are named by their own type."""
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def named_events(*events: tuple[str, Any]) -> str:
    """Return SSE with a name and a line of data per event."""
    return "".join(f"event: {name}\ndata: {json.dumps(event)}\n\n" for name, event in events)


def lines(*events: Any) -> str:
    """Return NDJSON."""
    return "".join(f"{json.dumps(event)}\n" for event in events)


SENTENCE = (
    "every record lands once, whatever dies afterwards, and however often it is sent ünd said \u2028 again"
)
WORDS = [f"{word} " for word in SENTENCE.split(" ")]
"""Enough of them that a run of mere text is read as one."""


def chat_chunk(delta: Any = None, finish: str | None = None, **rest: Any) -> dict[str, Any]:
    """Return one chunk of Chat Completions."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-x",
        "choices": [{"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}],
        **rest,
    }


def chat_stream(words: list[str], *, usage: Any = None, done: bool = True) -> str:
    """Return a whole stream of Chat Completions."""
    end = [chat_chunk(usage=usage) | {"choices": []}] if usage else []
    return data_events(
        chat_chunk({"role": "assistant", "content": ""}),
        *(chat_chunk({"content": word}) for word in words),
        chat_chunk({}, "stop"),
        *end,
        done=done,
    )


def message_stream(words: list[str], *, stop: bool = True) -> str:
    """Return a stream of Anthropic's Messages."""
    start: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
    }
    end: list[dict[str, Any]] = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 40}},
        {"type": "message_stop"},
    ]
    return typed_events(
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in words
        ),
        *(end if stop else []),
    )


def response_stream(words: list[str], *, repeats_output: bool = True) -> str:
    """Return a stream of OpenAI's Responses."""
    head = {"id": "resp_1", "object": "response", "model": "gpt-x", "error": None}
    text = {"type": "output_text", "text": "".join(words), "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant"}
    final = {
        **head,
        "status": "completed",
        "output": [{**item, "content": [text]}] if repeats_output else [],
        "usage": {"input_tokens": 10, "output_tokens": 40, "total_tokens": 50},
    }
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return typed_events(
        {
            "type": "response.created",
            "response": {**head, "status": "in_progress", "output": [], "usage": None},
        },
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {
            "type": "response.content_part.added",
            **place,
            "part": {"type": "output_text", "text": "", "annotations": []},
        },
        *({"type": "response.output_text.delta", **place, "delta": word} for word in words),
        {"type": "response.completed", "response": final},
    )


def gemini_chunk(text: str, *, count: int, finish: str | None = None) -> dict[str, Any]:
    """Return one chunk of Gemini's."""
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": {
            "promptTokenCount": 10,
            "candidatesTokenCount": count,
            "totalTokenCount": 10 + count,
        },
        "modelVersion": "gemini-x",
        "responseId": "r1",
    }


def gemini_chunks(words: list[str]) -> list[dict[str, Any]]:
    """Return the chunks of a whole answer of Gemini's."""
    last = len(words) - 1
    return [
        gemini_chunk(word, count=number + 1, finish="STOP" if number == last else None)
        for number, word in enumerate(words)
    ]


def converse_stream(words: list[str]) -> str:
    """Return a stream of Bedrock's Converse."""
    return named_events(
        ("messageStart", {"role": "assistant", "p": "ab"}),
        *(
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}, "p": "a"})
            for word in words
        ),
        ("contentBlockStop", {"contentBlockIndex": 0, "p": "abc"}),
        ("messageStop", {"stopReason": "end_turn"}),
        (
            "metadata",
            {
                "usage": {"inputTokens": 10, "outputTokens": 40, "totalTokens": 50},
                "metrics": {"latencyMs": 5},
            },
        ),
    )


def cohere_stream(words: list[str]) -> str:
    """Return a stream of Cohere's chat, version 2."""
    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    start = {"message": {"content": {"type": "text", "text": ""}}}
    usage = {
        "billed_units": {"input_tokens": 8, "output_tokens": 39},
        "tokens": {"input_tokens": 10, "output_tokens": 40},
    }
    return typed_events(
        {"type": "message-start", "id": "c1", "delta": {"message": empty}},
        {"type": "content-start", "index": 0, "delta": start},
        *(
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word}}}}
            for word in words
        ),
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    )


def ollama_stream(words: list[str]) -> str:
    """Return a stream of Ollama's chat."""
    head = {"model": "llama-x", "created_at": "t"}
    end = {"done_reason": "stop", "prompt_eval_count": 10, "eval_count": 40}
    return lines(
        *({**head, "message": {"role": "assistant", "content": word}, "done": False} for word in words),
        {**head, "message": {"role": "assistant", "content": ""}, "done": True, **end},
    )


def azure_stream(words: list[str]) -> str:
    """Return a stream of Azure's, where each chunk says what the content filter found."""
    results = {"hate": {"filtered": False, "severity": "safe"}}
    chunks = [
        chat_chunk({"role": "assistant", "content": ""}),
        *(chat_chunk({"content": word}) for word in words),
    ]
    for chunk in chunks:
        chunk["choices"][0]["content_filter_results"] = results
    end = chat_chunk(usage=CHAT_USAGE) | {"choices": []}
    return data_events({"choices": [], "model": ""}, *chunks, chat_chunk({}, "stop"), end, done=True)


def call_stream(words: list[str]) -> str:
    """Return a stream of Chat Completions that calls a tool."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "say", "arguments": ""}}
    pieces = ['{"text": "', *words, '"}']
    return data_events(
        chat_chunk({"role": "assistant", "content": None, "tool_calls": [first]}),
        *(chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces),
        chat_chunk({}, "tool_calls", usage=CHAT_USAGE),
        done=True,
    )


def completion_stream(words: list[str]) -> str:
    """Return a stream of Completions."""
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "gpt-x"}
    return data_events(
        *(
            {**head, "choices": [{"index": 0, "text": word, "logprobs": None, "finish_reason": None}]}
            for word in words
        ),
        {**head, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}], "usage": CHAT_USAGE},
        done=True,
    )


def generate_stream(words: list[str]) -> str:
    """Return a stream of Ollama's generate."""
    head = {"model": "llama-x", "created_at": "t"}
    end = {"response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 10, "eval_count": 40}
    return lines(*({**head, "response": word, "done": False} for word in words), {**head, **end})


CHAT_USAGE = {"prompt_tokens": 10, "completion_tokens": 40, "total_tokens": 50}

STREAMS = {
    "chat": chat_stream(WORDS, usage=CHAT_USAGE),
    "azure": azure_stream(WORDS),
    "calls": call_stream(WORDS),
    "completions": completion_stream(WORDS),
    "generate": generate_stream(WORDS),
    "messages": message_stream(WORDS),
    "responses": response_stream(WORDS),
    "gemini": data_events(*gemini_chunks(WORDS)),
    "gemini array": json.dumps(gemini_chunks(WORDS), indent=1),
    "converse": converse_stream(WORDS),
    "cohere": cohere_stream(WORDS),
    "ollama": ollama_stream(WORDS),
}
"""One whole stream of each kind; each says the words and reports its usage at the end."""
