"""Rules on keys and places, and the cutting of long strings."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import pytest

from llmledgerd.errors import ConfigError
from llmledgerd.redaction.paths import parse_path, values_at
from llmledgerd.redaction.payloads import Keys, cut, hide_path


def without(names: list[str], value: Any) -> Any:
    return json.loads(Keys(names, Counter()).hide(json.dumps(value).encode()))


def test_a_key_s_value_is_hidden_whatever_it_is_and_however_deep() -> None:
    value = {
        "Password": "a",
        "x": [{"y": {"PASSWORD": {"deep": [1]}, "password": 7}}],
        "password": None,
        "passwords": 1,
    }
    mask = "[redacted:password]"
    assert without(["password"], value) == {
        "Password": mask,
        "x": [{"y": {"PASSWORD": mask, "password": mask}}],
        "password": None,
        "passwords": 1,
    }


def test_a_key_is_found_in_json_that_is_text_and_in_a_stream_s_lines() -> None:
    arguments = json.dumps({"password": "hunter2", "inner": json.dumps({"password": [1, 2]})})
    stream = 'data: {"password":"hunter2","token":3}\n\ndata: [DONE]\n\n'
    after = without(["password"], {"arguments": arguments, "raw": stream})
    arguments = json.loads(after["arguments"])
    assert arguments["password"] == "[redacted:password]"
    assert json.loads(arguments["inner"]) == {"password": "[redacted:password]"}
    assert after["raw"] == stream.replace('"hunter2"', '"[redacted:password]"')


def test_text_that_speaks_of_a_key_is_left_byte_for_byte() -> None:
    text = b'{ "a" : "the \\"password\\" of \\u0041", "b": 1.0e5, "password_hint": "x" }'
    assert Keys(["password"], Counter()).hide(text) == text


def test_a_key_within_a_hidden_value_counts_once() -> None:
    counts: Counter[str] = Counter()
    text = b'{"secret":{"password":"a"},"password":"b"}'
    hidden = Keys(["password", "secret"], counts).hide(text)
    assert hidden == b'{"secret":"[redacted:secret]","password":"[redacted:password]"}'
    assert counts == {"key:secret": 1, "key:password": 1}


def test_a_key_of_any_characters_gives_json() -> None:
    assert without(['a"b\\c', "ключ"], {'a"b\\c': 1, "d": {"x": 2}}) == {
        'a"b\\c': '[redacted:a"b\\c]',
        "d": {"x": 2},
    }
    text = '{"ключ":"a"}'.encode()
    assert json.loads(Keys(["ключ"], Counter()).hide(text)) == {"ключ": "[redacted:ключ]"}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("request.messages[*].content", ["a", "b"]),
        ("request.messages[1]", [{"content": "b"}]),
        ("request.*", [[{"content": "a"}, {"content": "b"}], {"x": 1}]),
        ("request.tools.x", [1]),
        ("request.tools[*]", []),
        ("request.messages.content", []),
        ("request.nothing[0].at.all", []),
    ],
)
def test_a_path_finds_what_lies_there_and_nothing_else(path: str, found: list[Any]) -> None:
    text = b'{"messages": [ {"content":"a"}, {"content" : "b"}], "tools": {"x":1}}'
    spans = values_at(text, parse_path("redact_paths", path).steps)
    assert [json.loads(text[start:end]) for start, end in spans] == found


@pytest.mark.parametrize(
    "path", ["", "usage", "request.", "request..a", "request[", "request[-1]", "url.host", "request a"]
)
def test_a_path_that_is_none_is_refused_by_name(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^redact_paths: "):
        parse_path("redact_paths", path)


def test_what_lies_at_a_path_is_hidden_and_the_rest_is_left() -> None:
    counts: Counter[str] = Counter()
    text = b'{"m":[{"c":"a", "r": 1},{"c":null},{"c":{"d":2}}]}'
    hidden = hide_path(text, parse_path("redact_paths", "request.m[*].c"), counts)
    assert hidden == b'{"m":[{"c":"[redacted]", "r": 1},{"c":null},{"c":"[redacted]"}]}'
    assert counts == {"path:request.m[*].c": 2}


def cut_at(limit: int, value: Any, path: str = "request", *, ascii_only: bool = True) -> Any:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    return json.loads(cut(text, parse_path("truncate_payload_bytes", path), limit, Counter()))


def test_a_long_string_is_cut_and_says_how_long_it_was_and_its_hash() -> None:
    text = "é" * 1000
    digest = hashlib.sha256(text.encode()).hexdigest()
    after = cut_at(100, {"a": text, "b": "short", "é" * 200: 1}, ascii_only=False)
    assert after == {"a": "é" * 50 + f"…[truncated: 2000 bytes, sha256:{digest}]", "b": "short", "é" * 200: 1}


def test_no_cut_parts_a_character_or_an_escape() -> None:
    for text in ("é€😀" * 50, '\\"\n\\\\' * 50, "\x01\x1f" * 50, "a\\" * 50):
        for limit in range(1, 40):
            for ascii_only in (True, False):
                after = cut_at(limit, [text], ascii_only=ascii_only)[0]
                kept, _, note = after.partition("…[truncated: ")
                assert text.startswith(kept.encode("utf-16", "surrogatepass").decode("utf-16", "ignore"))
                assert note.startswith(str(len(text.encode())))


def test_only_strings_at_or_below_the_place_are_cut() -> None:
    long = "x" * 50
    after = cut_at(10, {"a": [long], "b": long}, "request.a")
    assert after["b"] == long
    assert after["a"][0].startswith("x" * 10 + "…[truncated: 50 bytes")
