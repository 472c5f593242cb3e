"""An answer has the same names whether it was streamed or not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmledgerd.conversations import Identity, identity_of, read_answer, read_request
from llmledgerd.usage import Exchange, read_exchange

USER: Any = {"role": "user", "content": "What is the weather in Paris, and what is it in Rome?"}
CALL_ID = "call_a1B2c3D4e5F6g7H8i9J0k1L2"


def sse(*events: Any) -> str:
    return "".join(
        f"event: {one['type']}\ndata: {json.dumps(one)}\n\n"
        if "type" in one
        else f"data: {json.dumps(one)}\n\n"
        for one in events
    )


def chunk(**delta: Any) -> Any:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}


def function(**fields: Any) -> Any:
    return {"index": 0, **fields}


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}

ANSWERS: dict[str, tuple[Any, str]] = {
    "Chat Completions": (
        {
            "id": "chatcmpl-1",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "Let me look.",
                        "tool_calls": [
                            {
                                "id": "",
                                "type": "function",
                                "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
                            }
                        ],
                    },
                }
            ],
        },
        sse(
            chunk(role="assistant", content="Let me "),
            chunk(content="look."),
            chunk(tool_calls=[function(type="function", function={"name": "weather", "arguments": ""})]),
            chunk(tool_calls=[function(function={"arguments": '{"city":'})]),
            chunk(tool_calls=[function(function={"arguments": '"Paris"}'})]),
            {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        ),
    ),
    "Messages": (
        {
            **MESSAGE,
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": CALL_ID, "name": "weather", "input": {"city": "Paris"}},
            ],
        },
        sse(
            {"type": "message_start", "message": {**MESSAGE, "content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "Let me look."},
            },
            {"type": "content_block_stop", "index": 0},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "tool_use", "id": CALL_ID, "name": "weather", "input": {}},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '{"city": "Paris"}'},
            },
            {"type": "content_block_stop", "index": 1},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
        ),
    ),
    "Gemini": (
        {
            "candidates": [
                {"content": {"role": "model", "parts": [{"text": "It rains."}]}, "finishReason": "STOP"}
            ],
            "responseId": "1",
        },
        sse(
            {"candidates": [{"content": {"role": "model", "parts": [{"text": "It "}]}}], "responseId": "1"},
            {
                "candidates": [
                    {"content": {"role": "model", "parts": [{"text": "rains."}]}, "finishReason": "STOP"}
                ],
                "responseId": "1",
            },
        ),
    ),
    "Responses": (
        {
            "id": "resp_1",
            "object": "response",
            "output": [{**ITEM, "content": [{"type": "output_text", "text": "It rains."}]}],
        },
        sse(
            {"type": "response.created", "response": {"id": "resp_1", "object": "response", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": {**ITEM, "content": []}},
            {
                "type": "response.output_text.delta",
                "output_index": 0,
                "content_index": 0,
                "delta": "It rains.",
            },
            {
                "type": "response.completed",
                "response": {
                    "id": "resp_1",
                    "object": "response",
                    "output": [{**ITEM, "content": [{"type": "output_text", "text": "It rains."}]}],
                },
            },
        ),
    ),
}


def identify(api: str, exchange: Exchange) -> Identity:
    name = {"Gemini": "contents", "Responses": "input"}.get(api, "messages")
    message = {"role": "user", "parts": [{"text": USER["content"]}]} if api == "Gemini" else USER
    request = json.dumps({name: [message]}).encode()
    response = exchange.response or read_exchange(exchange).response
    return identity_of(read_request(request), read_answer(response), "acme")


@pytest.mark.parametrize("api", ANSWERS)
def test_a_streamed_answer_has_the_names_of_the_whole_one(api: str) -> None:
    whole, stream = ANSWERS[api]

    found = identify(api, Exchange(stream=stream))

    assert found == identify(api, Exchange(response=json.dumps(whole).encode()))
    assert found.turn_id
