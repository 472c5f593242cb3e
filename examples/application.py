"""A small application that records its LLM calls: what each kind of call looks like in code.

The providers' answers are written out here, so that it runs without a network and without keys.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import llmledger

WHO = llmledger.context(
    org_id="acme",
    agent_id="support-agent",
    run_id="run-1",
    billing=llmledger.BillingContext(plan_type="standard", cost_source="quota", customer_id="cus-7"),
)


def openai_chat() -> bool:
    """A plain call: request and response as the provider's API has them."""
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    response = {
        "id": "chatcmpl-demo-1",
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}
        ],
        "usage": {
            "prompt_tokens": 1014,
            "completion_tokens": 3,
            "total_tokens": 1017,
            "prompt_tokens_details": {"cached_tokens": 896},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }
    return llmledger.record(
        provider="openai",
        url="https://api.openai.com/v1/chat/completions",
        status_code=200,
        latency_ms=431,
        request=request,
        response=response,
    )


def anthropic_stream() -> bool:
    """A streamed call: the events are recorded as they came, and the daemon makes them whole."""
    events: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {
                "id": "msg_demo",
                "type": "message",
                "role": "assistant",
                "model": "claude-sonnet-4-5-20250929",
                "content": [],
                "stop_reason": None,
                "usage": {
                    "input_tokens": 12,
                    "cache_read_input_tokens": 2048,
                    "cache_creation_input_tokens": 256,
                    "output_tokens": 1,
                },
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Bonjour"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ", Paris!"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return llmledger.record(
        provider="anthropic",
        url="https://api.anthropic.com/v1/messages",
        status_code=200,
        latency_ms=902,
        time_to_first_token_ms=188,
        request={
            "model": "claude-sonnet-4-5",
            "stream": True,
            "messages": [{"role": "user", "content": "Greet Paris."}],
        },
        response_stream=stream,
    )


def gemini() -> bool:
    """Thoughts are beside the candidates in Gemini's count, and inside completion_tokens in ours."""
    request = {"contents": [{"role": "user", "parts": [{"text": "Is 2027 a prime?"}]}]}
    response = {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Yes."}]}, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 8,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 310,
            "totalTokenCount": 320,
        },
        "modelVersion": "gemini-2.5-flash",
    }
    return llmledger.record(
        provider="google",
        url="https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
        status_code=200,
        latency_ms=1207,
        request=request,
        response=response,
    )


def failing() -> bool:
    """A refusal by the provider is a row too, with its type and message."""
    response = {"error": {"message": "Rate limit reached for gpt-4o", "type": "rate_limit_error"}}
    return llmledger.record(
        provider="openai",
        url="https://api.openai.com/v1/chat/completions",
        status_code=429,
        latency_ms=58,
        attempt=1,
        request={"model": "gpt-4o", "messages": [{"role": "user", "content": "Again?"}]},
        response=response,
    )


def cancelled() -> bool:
    """A stream that the user stopped half-way: announced first, so that a crash would not hide it."""
    call = f"provider_trace-{uuid.uuid4()}"
    llmledger.begin(provider_trace_id=call, provider="openai", model="gpt-4o")
    chunk = {
        "id": "chatcmpl-demo-2",
        "object": "chat.completion.chunk",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"content": "Once upon"}}],
    }
    return llmledger.record(
        provider_trace_id=call,
        provider="openai",
        url="https://api.openai.com/v1/chat/completions",
        status_code=200,
        outcome="cancelled",
        latency_ms=350,
        time_to_first_token_ms=97,
        request={
            "model": "gpt-4o",
            "stream": True,
            "messages": [{"role": "user", "content": "Tell me a story."}],
        },
        response_stream=f"data: {json.dumps(chunk)}\n\n",
    )


CALLS: tuple[Callable[[], bool], ...] = (openai_chat, anthropic_stream, gemini, failing, cancelled)


def timed() -> Iterator[tuple[str, bool, float]]:
    """Make every call; yield its name, whether it was taken, and the microseconds that took."""
    for call in CALLS:
        start = time.perf_counter()
        taken = call()
        yield call.__name__, taken, (time.perf_counter() - start) * 1e6


def main() -> None:
    with WHO:  # whose calls these are, for all that is recorded inside
        for name, taken, microseconds in timed():
            print(f"  {name:17} {'taken' if taken else 'NOT TAKEN'} in {microseconds:4.0f} µs")
    durable = llmledger.flush(10)
    print(f"  on the daemon's disk: {'all' if durable else 'NOT ALL'}")
    llmledger.close()


if __name__ == "__main__":
    main()
