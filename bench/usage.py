"""What reading an exchange costs, beside decoding the same bytes into untyped objects.

Both are timed in the same run, in CPU time, best of several; a ratio of 1.0 is "as long as
``msgspec.json.decode`` alone". For streams the baseline decodes each event once, cut beforehand.

    python bench/usage.py
"""

from __future__ import annotations

import json
import time
import timeit
from collections.abc import Callable
from functools import partial

import msgspec

from llmledgerd.usage import Exchange, read_exchange
from llmledgerd.usage.streams.sse import events

SENTENCE = "The application never waits: handing a record over takes microseconds and does no I/O. "
SIZES = (2_000, 20_000, 200_000)
EVENTS = 300
ROUNDS = 9


def best(work: Callable[[], object], number: int) -> float:
    """Return the microseconds of CPU time that one call takes at best."""
    rounds = timeit.repeat(work, timer=time.process_time, number=number, repeat=ROUNDS)
    return min(rounds) / number * 1e6


def text_of(size: int) -> str:
    return (SENTENCE * (size // len(SENTENCE) + 1))[:size]


def chat_record(size: int) -> tuple[str, bytes, bytes]:
    """Return a long conversation and a short answer, together of about the size."""
    turns = [{"role": "user", "content": text_of(700)} for _ in range(max(1, size // 800))]
    request = {"messages": turns, "model": "gpt-x", "temperature": 0.2, "stream": False}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-x",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text_of(300)}, "finish_reason": "stop"}
        ],
        "usage": {
            "prompt_tokens": 300,
            "completion_tokens": 80,
            "total_tokens": 380,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }
    return (
        "https://api.openai.com/v1/chat/completions",
        json.dumps(request).encode(),
        json.dumps(answer).encode(),
    )


def message_record(size: int) -> tuple[str, bytes, bytes]:
    """Return a short question with many tools, and a long answer, together of about the size."""
    tools = [
        {"name": f"tool_{n}", "input_schema": {"type": "object", "properties": {}}}
        for n in range(size // 1000)
    ]
    request = {
        "model": "claude-x",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": tools,
    }
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": text_of(size * 9 // 10)}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 40},
    }
    return "https://api.anthropic.com/v1/messages", json.dumps(request).encode(), json.dumps(answer).encode()


def chat_stream() -> str:
    head: dict[str, object] = {
        "id": "chatcmpl-E4Rjs6IxaJVge9Ntk5keJsaeDy6vS",
        "object": "chat.completion.chunk",
        "created": 1784728648,
    }
    head |= {"model": "gpt-x-2025-08-07", "service_tier": "default", "system_fingerprint": None}

    def chunk(delta: object, finish: object = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return f"data: {json.dumps({**head, 'choices': [choice], 'usage': None})}\n\n"

    usage = {"prompt_tokens": 10, "completion_tokens": EVENTS, "total_tokens": 10 + EVENTS}
    words = (SENTENCE * EVENTS).split()[:EVENTS]
    return "".join(
        [
            chunk({"role": "assistant", "content": ""}),
            *(chunk({"content": f"{word} "}) for word in words),
            chunk({}, "stop"),
            f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n",
        ]
    )


def message_stream() -> str:
    def event(kind: str, **fields: object) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"

    words = (SENTENCE * EVENTS).split()[:EVENTS]
    start = {
        "id": "msg_1",
        "model": "claude-x",
        "content": [],
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }
    return "".join(
        [
            event("message_start", message=start),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            *(
                event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"{word} "})
                for word in words
            ),
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": EVENTS}),
            event("message_stop"),
        ]
    )


def responses_stream() -> str:
    def event(kind: str, **fields: object) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': 1, **fields})}\n\n"

    words = (SENTENCE * EVENTS).split()[:EVENTS]
    head: dict[str, object] = {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-x",
        "error": None,
        "output": [],
    }
    item = {"type": "message", "content": [{"type": "output_text", "text": " ".join(words)}]}
    usage = {"input_tokens": 10, "output_tokens": EVENTS, "total_tokens": 10 + EVENTS}
    place = {"item_id": "msg_01b4d93abce33afe00698b9df44be4819b", "output_index": 0, "content_index": 0}
    return "".join(
        [
            event("response.created", response=head),
            *(event("response.output_text.delta", **place, delta=f"{word} ", logprobs=[]) for word in words),
            event("response.completed", response={**head, "output": [item], "usage": usage}),
        ]
    )


def gemini_stream() -> str:
    def chunk(text: str, number: int) -> str:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": number, "totalTokenCount": 10 + number}
        answer = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x"}
        return f"data: {json.dumps(answer)}\r\n\r\n"

    return "".join(chunk(SENTENCE, number) for number in range(EVENTS // 5))


def each(work: Callable[[str], object], items: list[str]) -> None:
    for item in items:
        work(item)


def main() -> None:
    decode = msgspec.json.Decoder().decode
    print(f"{'record':28}{'bytes':>9}{'decode µs':>11}{'read µs':>9}{'ratio':>7}")
    for name, record in (("chat, long request", chat_record), ("message, long answer", message_record)):
        for size in SIZES:
            url, request, response = record(size)
            line = b'{"protocol_version":4,"request":' + request + b',"response":' + response + b"}"
            exchange = Exchange(url=url, request=request, response=response, status_code=200)
            number = max(20, 4_000_000 // size)
            base = best(partial(decode, line), number)
            read = best(partial(read_exchange, exchange), number)
            print(f"{name:28}{len(line):9}{base:11.1f}{read:9.1f}{read / base:7.2f}")
    for name, text in (
        ("chat stream", chat_stream()),
        ("messages stream", message_stream()),
        ("responses stream", responses_stream()),
        ("gemini stream", gemini_stream()),
    ):
        cut = events(text).data
        exchange = Exchange(stream=text)
        base = best(partial(each, decode, cut), 50)
        read = best(partial(read_exchange, exchange), 50)
        print(f"{name:28}{len(text):9}{base:11.1f}{read:9.1f}{read / base:7.2f}")


if __name__ == "__main__":
    main()
