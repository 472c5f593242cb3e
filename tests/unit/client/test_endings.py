"""Which streams that were closed early had been received whole."""

from __future__ import annotations

import pytest

from llmledger.instrumentation.endings import LAST_LINES, is_complete, may_be_last

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'

ANTHROPIC_DELTA = (
    b'event: message_delta\ndata: {"usage":{"output_tokens":5},'
    b'"delta":{"stop_sequence":null,"stop_reason":"end_turn"},"type":"message_delta"}\n\n'
)

WHOLE = {
    "the marker": CHUNK + b"data: [DONE]\n\n",
    "chat's finish_reason": CHUNK + b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    "chat's usage after the finish_reason": (
        b'data:{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\r\n\r\n'
        b'data:{"choices":[],"usage":{"prompt_tokens":1}}\r\n\r\n'
    ),
    "two choices that are both over": (
        b'data: {"choices":[{"index":0,"finish_reason":"stop"}]}\n\n'
        b'data: {"choices":[{"index":1,"finish_reason":"stop"}]}\n\n'
    ),
    "anthropic's message_delta": ANTHROPIC_DELTA,
    "anthropic's message_stop": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    "anthropic's error": b'event: error\ndata: {"type":"error","error":{}}\n\n',
    "responses": b'event: response.completed\ndata: {"type":"response.completed"}\n\n',
    "responses without names": b'data: {"type":"response.incomplete","response":{}}\n\n',
    "gemini": b'data: {"candidates":[{"content":{},"finishReason":"STOP"}],"usageMetadata":{}}\r\n\r\n',
    "gemini's array": b'[{\n  "candidates": [\n    {\n      "finishReason": "STOP"\n    }\n  ],\n  "usageMetadata": {\n',
    "interactions": b'event: interaction.complete\ndata: {"event_type":"interaction.complete"}\n\n',
    "mistral's agents": b"event: conversation.response.done\ndata: {}\n\n",
    "converse": b'event: messageStop\ndata: {"stopReason":"end_turn"}\n\nevent: metadata\ndata: {}\n\n',
    "titan": b'event: chunk\ndata: {"outputText":"a","completionReason":"FINISH"}\n\n',
    "llama on bedrock": b'event: chunk\ndata: {"generation":"","stop_reason":"stop"}\n\n',
    "cohere 2": b'event: message-end\ndata: {"type":"message-end"}\n\n',
    "cohere 1": b'{"is_finished":true,"event_type":"stream-end"}\n',
    "ollama": b'{"model":"m","message":{},"done": true}\n',
    "text generation inference": b'data:{"token":{},"generated_text":"a b"}\n\n',
    "dashscope": b'id:1\nevent:result\ndata:{"output":{"choices":[{"finish_reason":"stop"}]}}\n\n',
    "images": b"event: image_generation.completed\ndata: {}\n\n",
    "assistants": b"event: thread.run.completed\ndata: {}\n\n",
    "an error in place of a chunk": b'data: {"error":{"message":"overloaded"}}\n\n',
}

CUT = {
    "nothing": b"",
    "a chunk": CHUNK,
    "half an event": b'data: {"choices":[{"index":0,"finish_reason":"st',
    "an error that is null": b'data: {"error":null,"choices":[{"index":0,"finish_reason":null}]}\n\n',
    "one choice of two": (
        b'data: {"choices":[{"index":0,"finish_reason":"stop"}]}\n\n'
        b'data: {"choices":[{"index":1,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    ),
    "anthropic's delta without a reason": b'data: {"type":"message_delta","delta":{"stop_reason":null}}\n\n',
    "gemini": b'data: {"candidates":[{"content":{}}],"usageMetadata":{}}\r\n\r\n',
    "gemini's unspecified reason": b'data: {"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}]}\n\n',
    "gemini's array": b'[{\n  "candidates": [\n    {\n      "content": {}\n    }\n  ]\n}\n,',
    "dashscope's word for nothing": b'data:{"output":{"choices":[{"finish_reason":"null"}]}}\n\n',
    "ollama": b'{"model":"m","message":{},"done": false}\n',
    "a model that writes an event": b'data: {"choices":[{"index":0,"delta":{"content":"\\ndata: [DONE]\\n"}}]}\n\n',
    "arguments that look like a stop": (
        b'data: {"type":"content_block_delta","delta":{"partial_json":"{\\"stop_reason\\":\\"end_turn\\"}"}}\n\n'
    ),
    "a type that is no text": b'data: {"type":["message_stop"],"choices":null,"output":3}\n\n',
}


@pytest.mark.parametrize("stream", WHOLE.values(), ids=WHOLE)
def test_a_stream_with_its_last_word_is_complete(stream: bytes) -> None:
    assert is_complete(stream)


@pytest.mark.parametrize("stream", CUT.values(), ids=CUT)
def test_a_stream_without_it_is_not(stream: bytes) -> None:
    assert not is_complete(stream)


def test_the_last_word_is_not_looked_for_in_the_middle() -> None:
    assert not is_complete(ANTHROPIC_DELTA + CHUNK * LAST_LINES)


@pytest.mark.parametrize(
    "name", ["chat's finish_reason", "anthropic's message_delta", "gemini", "responses", "cohere 2"]
)
def test_a_piece_with_the_last_word_is_told_when_it_comes(name: str) -> None:
    assert may_be_last(WHOLE[name])
    assert not may_be_last(CHUNK)
