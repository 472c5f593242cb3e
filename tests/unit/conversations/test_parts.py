from __future__ import annotations

import json
from typing import Any

import pytest

from llmledgerd.conversations import Part, read_answer, read_request


def request_parts(value: Any) -> list[Part]:
    return read_request(json.dumps(value).encode()).messages


def answer_parts(value: Any) -> list[Part]:
    return read_answer(json.dumps(value).encode()).parts


def said(found: list[Part]) -> list[tuple[str, str, int, Any, str, str]]:
    return [(one.kind, one.role, one.message, one.value, one.name, one.id) for one in found]


CALL: Any = ("call", "assistant", 1, {"city": "Paris"}, "weather", "call_1")
TURNS: list[Any] = [
    ("text", "user", 0, "Hello", "", ""),
    CALL,
    ("result", "tool", 2, "Sunny", "", "call_1"),
]
UNNAMED: list[Any] = [*TURNS[:1], ("call", "assistant", 1, {"city": "Paris"}, "weather", ""), *TURNS[2:]]

REQUESTS: dict[str, tuple[Any, list[Any]]] = {
    "Chat Completions": (
        {
            "messages": [
                {"role": "user", "content": "Hello"},
                {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "index": 0,
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "Sunny"}]},
            ]
        },
        TURNS,
    ),
    "Responses": (
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
                {
                    "type": "function_call",
                    "id": "fc_1",
                    "call_id": "call_1",
                    "name": "weather",
                    "arguments": '{"city":"Paris"}',
                    "status": "completed",
                },
                {"type": "function_call_output", "call_id": "call_1", "output": "Sunny"},
            ]
        },
        TURNS,
    ),
    "Messages": (
        {
            "messages": [
                {"role": "user", "content": "Hello"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Paris"}}
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "call_1",
                            "content": [{"type": "text", "text": "Sunny"}],
                        }
                    ],
                },
            ]
        },
        TURNS,
    ),
    "Converse": (
        {
            "messages": [
                {"role": "user", "content": [{"text": "Hello"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Paris"}}}
                    ],
                },
                {
                    "role": "user",
                    "content": [{"toolResult": {"toolUseId": "call_1", "content": [{"text": "Sunny"}]}}],
                },
            ]
        },
        TURNS,
    ),
    "Gemini": (
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Hello"}]},
                {
                    "role": "model",
                    "parts": [
                        {
                            "functionCall": {"name": "weather", "args": {"city": "Paris"}},
                            "thoughtSignature": "abc",
                        }
                    ],
                },
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"name": "weather", "response": {"result": "Sunny"}}}],
                },
            ]
        },
        [*UNNAMED[:2], ("result", "tool", 2, {"result": "Sunny"}, "weather", "")],
    ),
    "Cohere v2": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "call_1", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
            ]
        },
        TURNS,
    ),
    "Cohere v1": (
        {
            "chat_history": [
                {"role": "USER", "message": "Hello"},
                {"role": "CHATBOT", "message": "Hi"},
            ],
            "message": "More",
        },
        [
            TURNS[0],
            ("text", "assistant", 1, "Hi", "", ""),
            ("text", "user", 2, "More", "", ""),
        ],
    ),
    "Ollama": (
        {
            "messages": [
                {"role": "user", "content": "Hello", "images": ["QUJD"]},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}],
                },
                {"role": "tool", "content": "Sunny", "tool_name": "weather"},
            ]
        },
        [
            UNNAMED[0],
            ("image", "user", 0, "QUJD", "", ""),
            UNNAMED[1],
            ("result", "tool", 2, "Sunny", "", ""),
        ],
    ),
    "Completions": ({"prompt": "Hello"}, TURNS[:1]),
    "Responses with a text": ({"input": "Hello"}, TURNS[:1]),
    "Titan": ({"inputText": "Hello"}, TURNS[:1]),
    "embeddings": ({"input": ["Hello", "Bye"]}, []),
}


@pytest.mark.parametrize("api", REQUESTS)
def test_each_apis_request_has_the_same_parts(api: str) -> None:
    request, expected = REQUESTS[api]

    assert said(request_parts(request)) == expected


ANSWERS: dict[str, Any] = {
    "Chat Completions": {
        "id": "chatcmpl-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi",
                    "annotations": [],
                    "tool_calls": [
                        {"id": "call_1", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
                    ],
                },
            }
        ],
    },
    "Responses": {
        "id": "resp_1",
        "output": [
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
            },
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "weather",
                "arguments": '{"city":"Paris"}',
            },
        ],
    },
    "Messages": {
        "id": "msg_1",
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Hi"},
            {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Paris"}},
        ],
    },
    "Converse": {
        "output": {
            "message": {
                "role": "assistant",
                "content": [
                    {"text": "Hi"},
                    {"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Paris"}}},
                ],
            }
        }
    },
    "Gemini": {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "Hi"},
                        {"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Paris"}}},
                    ],
                }
            }
        ]
    },
    "Cohere v2": {
        "id": "1",
        "message": {
            "role": "assistant",
            "content": [{"type": "text", "text": "Hi"}],
            "tool_calls": [
                {"id": "call_1", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
            ],
        },
    },
    "a line of a batch": {
        "custom_id": "1",
        "response": {
            "body": {
                "choices": [
                    {
                        "message": {
                            "content": "Hi",
                            "tool_calls": [
                                {
                                    "id": "call_1",
                                    "function": {"name": "weather", "arguments": {"city": "Paris"}},
                                }
                            ],
                        }
                    }
                ]
            }
        },
    },
}


@pytest.mark.parametrize("api", ANSWERS)
def test_each_apis_answer_has_the_same_parts(api: str) -> None:
    found = [(one.kind, one.role, one.value, one.name, one.id) for one in answer_parts(ANSWERS[api])]

    assert found == [
        ("text", "assistant", "Hi", "", ""),
        ("call", "assistant", {"city": "Paris"}, "weather", "call_1"),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"text": "Hi"}]},
        {"message": {"role": "assistant", "content": "Hi"}, "done": True},
        {"response": "Hi", "done": True},
        {"completion": "Hi"},
        {"generation": "Hi"},
        {"results": [{"outputText": "Hi"}]},
        {"results": [{"generated_text": "Hi"}]},
        {"text": "Hi", "chat_history": []},
        {"output": "Hi"},
    ],
)
def test_a_plain_answer_is_one_text(answer: Any) -> None:
    assert [(one.kind, one.value) for one in answer_parts(answer)] == [("text", "Hi")]


def test_tools_are_parts_under_their_names_whatever_the_api() -> None:
    schema = {"name": "weather", "description": "Weather", "parameters": {"type": "object"}}
    spellings: list[Any] = [
        {"tools": [{"type": "function", "function": schema}]},
        {"tools": [{"functionDeclarations": [schema]}]},
        {"toolConfig": {"tools": [{"toolSpec": schema}]}},
        {"functions": [schema]},
    ]

    found = [read_request(json.dumps({"messages": [], **one}).encode()).tools for one in spellings]

    assert [[tool.name for tool in tools] for tools in found] == [["weather"]] * 4
    assert len({tools[0].hash for tools in found}) == 1


def test_a_hash_depends_on_neither_spelling_nor_marks() -> None:
    tool = {"name": "a", "input_schema": {"max": 1, "min": 0.5}, "cache_control": {"type": "ephemeral"}}
    messages: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "é", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "1", "name": "a", "input": {"a": 1, "b": 2.0}}],
        },
    ]
    one = json.dumps({"tools": [tool], "messages": messages}, ensure_ascii=True, indent=3)
    tool = {"input_schema": {"min": 0.5, "max": 1.0}, "name": "a"}
    messages = [
        {"content": "é", "role": "user"},
        {
            "content": [{"input": {"b": 2, "a": 1.0}, "name": "a", "id": "1", "type": "tool_use"}],
            "role": "assistant",
        },
    ]
    other = json.dumps({"messages": messages, "tools": [tool]}, ensure_ascii=False)

    found = [read_request(text.encode()) for text in (one, other)]

    assert [part.hash for part in found[0].messages] == [part.hash for part in found[1].messages]
    assert [part.hash for part in found[0].tools] == [part.hash for part in found[1].tools]
    assert [part.mark for part in found[0].messages] == ["default", ""]
    assert found[0].tools[0].mark == "default"


def test_marks_stay_with_the_part_before_them() -> None:
    system = [{"text": "Be kind"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    content = [{"text": "Hello"}, {"cachePoint": {"type": "default"}}, {"text": "more"}]
    found = read_request(
        json.dumps({"system": system, "messages": [{"role": "user", "content": content}]}).encode()
    )

    assert [(part.value, part.mark) for part in found.system] == [("Be kind", "1h")]
    assert [(part.value, part.mark) for part in found.messages] == [("Hello", "default"), ("more", "")]


def test_results_say_whether_the_api_called_them_errors() -> None:
    messages = [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": True}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "2", "status": "success", "content": []}}]},
        {"role": "tool", "tool_call_id": "3", "content": "failed"},
    ]

    assert [(part.id, part.is_error) for part in request_parts({"messages": messages})] == [
        ("1", True),
        ("2", False),
        ("3", None),
    ]


def test_sizes_are_bytes_of_the_content() -> None:
    messages: list[Any] = [
        {"role": "user", "content": "é"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
    ]

    assert [part.size for part in request_parts({"messages": messages})] == [
        2,
        len(b'{"image_url":{"url":"x"},"type":"image_url"}'),
    ]


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b'{"messages":{}}',
    b'{"messages":[null,1,"x",[],[[["x"]]],{"role":1,"content":2}]}',
    b'{"messages":[{"role":"assistant","tool_calls":[1,{"function":1},{"function":{"name":1}}]}]}',
    b'{"messages":[{"role":"user","content":[{"type":1,"text":2},{"type":"tool_result","content":{"a":1}}]}]}',
    b'{"contents":[{"parts":{"text":"x"}},{"parts":[{"functionCall":1}]}],"tools":{"a":1}}',
    b'{"input":[{"type":"function_call_output","call_id":1}],"previous_response_id":1,"conversation":[]}',
    b'{"messages":[{"role":"user","content":"\\ud800"}]}',
    b'{"messages":[{"role":"user","content":' + b"[" * 5000 + b"]" * 5000 + b"}]}",
    b'{"messages":' + b"[" * 100_000,
    b'{"tools":[{"a":1e999}],"toolConfig":1,"system":[1,[2]]}',
    b'{"choices":[1,{"message":1},{"index":"x","delta":{}}],"output":[1,{"type":"message","content":1}]}',
    b'{"messages":[{"role":[],"content":"x"},{"role":"user","content":[{"type":[],"text":"y"}]}]}',
    b'{"messages":[{"role":"tool","content":[{"type":{},"text":"y"},{"type":"text","text":1}]}]}',
    b'{"response":{"response":{"response":{}}},"result":{"result":1}}',
    b'{"candidates":[{"content":1}],"message":"x"}',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_bytes_make_it_raise(text: bytes) -> None:
    request, answer = read_request(text), read_answer(text)

    for part in [*request.tools, *request.system, *request.messages, *answer.parts]:
        assert part.hash >= 0
        assert part.size >= 0


def test_half_a_surrogate_costs_no_part() -> None:
    found = read_request(b'{"messages":[{"role":"user","content":"a\\ud800"},{"role":"user","content":"b"}]}')

    assert [part.value for part in found.messages] == ["a\N{REPLACEMENT CHARACTER}", "b"]


def test_a_value_of_a_wrong_type_costs_no_other_part() -> None:
    messages: list[Any] = [
        {"role": [], "content": "a"},
        {"role": "user", "content": [{"type": {}, "text": "b"}, {"type": "text", "text": "c"}]},
        {
            "role": "tool",
            "tool_call_id": 1,
            "content": [{"type": [], "text": "d"}, {"type": "text", "text": "e"}],
        },
        "f",
    ]

    assert [part.value for part in request_parts({"messages": messages})] == [
        "a",
        "b",
        "c",
        [{"type": [], "text": "d"}, "e"],
        "f",
    ]
