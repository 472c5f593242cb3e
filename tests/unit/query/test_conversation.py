"""Payloads of every provider read as the same conversation, and no payload is too odd to show."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.query.conversation import Exchange, Part, Turn, read_conversation, read_exchange

ASKED = [Turn("system", [Part("text", "Be short.")]), Turn("user", [Part("text", "Weather?")])]
ANSWERED = [
    Turn(
        "assistant",
        [Part("thinking", "Look it up."), Part("text", "One moment."), Part("call", 'get({"at": "Rome"})')],
    )
]

CHAT = (
    {
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        ]
    },
    {
        "choices": [
            {
                "message": {
                    "role": "assistant",
                    "reasoning_content": "Look it up.",
                    "content": "One moment.",
                    "tool_calls": [
                        {"type": "function", "function": {"name": "get", "arguments": '{"at": "Rome"}'}}
                    ],
                }
            }
        ]
    },
)
ANTHROPIC = (
    {
        "system": [{"type": "text", "text": "Be short."}],
        "messages": [{"role": "user", "content": "Weather?"}],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Look it up.", "signature": "x"},
            {"type": "text", "text": "One moment."},
            {"type": "tool_use", "id": "t", "name": "get", "input": {"at": "Rome"}},
        ],
    },
)
GEMINI = (
    {
        "systemInstruction": {"parts": [{"text": "Be short."}]},
        "contents": [{"role": "user", "parts": [{"text": "Weather?"}]}],
    },
    {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "Look it up.", "thought": True},
                        {"text": "One moment."},
                        {"functionCall": {"name": "get", "args": {"at": "Rome"}}},
                    ],
                }
            }
        ]
    },
)
CONVERSE = (
    {"system": [{"text": "Be short."}], "messages": [{"role": "user", "content": [{"text": "Weather?"}]}]},
    {
        "output": {
            "message": {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "Look it up."}}},
                    {"text": "One moment."},
                    {"toolUse": {"toolUseId": "t", "name": "get", "input": {"at": "Rome"}}},
                ],
            }
        }
    },
)


@pytest.mark.parametrize(("request_", "response"), [CHAT, ANTHROPIC, GEMINI, CONVERSE])
def test_the_same_conversation_reads_the_same_from_every_provider(request_: Any, response: Any) -> None:
    turns = read_conversation(json.dumps(request_).encode(), json.dumps(response).encode())

    assert turns == ASKED + ANSWERED


def test_the_items_of_the_responses_api_are_turns_of_their_own() -> None:
    request = {
        "instructions": "Be short.",
        "input": [{"type": "function_call_output", "call_id": "c", "output": "sunny"}],
    }
    response = {
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "It is sunny."}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny."}]},
        ],
        "text": {"format": {"type": "text"}},
    }

    assert read_conversation(json.dumps(request).encode(), json.dumps(response).encode()) == [
        Turn("system", [Part("text", "Be short.")]),
        Turn("user", [Part("result", "sunny")]),
        Turn("assistant", [Part("thinking", "It is sunny.")]),
        Turn("assistant", [Part("text", "Sunny.")]),
    ]


def test_an_error_is_shown_as_it_came() -> None:
    assert read_conversation(b"", b'{"error": {"message": "no"}}') == [
        Turn("error", [Part("other", '{"message": "no"}')])
    ]


def test_a_page_of_html_is_shown_as_text() -> None:
    assert read_conversation(b"", b"<html>") == [Turn("assistant", [Part("text", "<html>")])]


def test_what_nobody_understands_is_shown_as_json_and_cut_where_long() -> None:
    (turn,) = read_conversation(b"", json.dumps({"embeddings": [0.5] * 10_000}).encode())

    assert turn.parts[0].text.startswith('{"embeddings": [0.5, 0.5')
    assert "more characters" in turn.parts[0].text
    assert len(turn.parts[0].text) < 2_100


@pytest.mark.parametrize("depth", [400, 900, 10_000])
def test_deep_nesting_is_shown_somehow(depth: int) -> None:
    payload = b'{"content":' + b"[" * depth + b"]" * depth + b"}"

    read_conversation(payload, payload)


USER, ANSWER = ({"role": role, "content": role} for role in ("user", "assistant"))
TOOL_CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
TOOL = {"role": "tool", "content": "42"}
ITEMS = [
    {"role": "user", "content": "Hi"},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {"type": "function_call", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "output": "42"},
]


@pytest.mark.parametrize(
    ("messages", "repeated"),
    [
        ([USER], 0),
        ([{"role": "system", "content": "Be short."}, USER], 0),
        ([USER, ANSWER, USER], 2),
        ([USER, TOOL_CALL, TOOL, TOOL], 2),
        ([USER, ANSWER, USER, ANSWER, USER, USER], 4),
        ([USER, ANSWER], 0),  # the beginning of the answer, in the model's own words
        ([USER, ANSWER, USER, ANSWER], 2),
        (ITEMS, 3),
        ([], 0),
    ],
)
def test_what_follows_the_last_answer_is_new(messages: list[Any], repeated: int) -> None:
    request = json.dumps({"input" if messages is ITEMS else "messages": messages}).encode()
    response = json.dumps({"choices": [{"message": ANSWER}]}).encode()
    found = read_exchange(request, response)

    assert len(found.repeated) == repeated
    assert found.repeated + found.new == read_conversation(request, response)


def test_no_payloads_are_no_exchange() -> None:
    assert read_exchange(b"", b"") == Exchange([], [])


WORDS = [
    "role",
    "content",
    "parts",
    "messages",
    "choices",
    "message",
    "type",
    "text",
    "thinking",
    "output",
    "input",
    "function",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["tool_use", "message", "user"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
)


@given(JSON, JSON)
def test_no_payload_raises_and_every_payload_shows(request_: Any, response: Any) -> None:
    turns = read_conversation(json.dumps(request_).encode(), json.dumps(response).encode())

    assert turns
    found = read_exchange(json.dumps(request_).encode(), json.dumps(response).encode())
    assert found.repeated + found.new == turns
    assert all(isinstance(part.text, str) for turn in turns for part in turn.parts)
