"""The request's model: the short ways agree with reading all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.usage.request import TAIL_BYTES, choices_of, model_of

LONG = "x" * (2 * TAIL_BYTES)


@pytest.mark.parametrize(
    "request_body",
    [
        {"model": "m", "messages": []},
        {"messages": [], "model": "m", "stream": True},
        {"messages": [LONG], "model": "m", "tools": [{"model": "not this"}]},
        {"messages": [], "model": "m", "tools": [LONG]},
        {"messages": [{"model": "not this"}], "model": "m"},
        {"model": 'm"', "x": 1},
        {"model": 'm",', "x": "y"},
        {"model": "m\\", "x": "y"},
        {"model": "\u00e9", "x": "y"},
        {"model": LONG, "x": "y"},
        {"input": 'say "model": "not this"', "model": "m"},
        {"model": "m", "messages": [{"content": '"model":"not this"}'}]},
        {"modelId": "m"},
        {"model_id": "m"},
        {"agent": "m"},
    ],
    ids=lambda body: str(body)[:60],
)
def test_the_roots_model_is_found_wherever_it_stands(request_body: dict[str, Any]) -> None:
    expected = request_body.get("model", "m")
    for indent in (None, 1):
        assert model_of(json.dumps(request_body, indent=indent).encode()) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"model"',
        b'{"messages":[{"model":"m"}]}',
        b'{"model":null}',
        b'{"model":5}',
        b"{",
    ],
)
def test_a_request_without_a_model_names_none(body: bytes) -> None:
    assert model_of(body) == ""


def test_a_request_that_msgspec_refuses_is_read_all_the_same() -> None:
    assert model_of(b'{"text":"\\ud800","model":"m"}') == "m"
    assert model_of(b'{"deep":' + b"[" * 10_000 + b"]" * 10_000 + b',"model":"m"}') == "m"


names = st.sampled_from(["model", "messages", "a", 'x"model', "\\"])
leaves = st.one_of(st.text(max_size=8), st.just('"model":"no"'), st.none(), st.integers())
bodies = st.dictionaries(
    names,
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    ),
    max_size=5,
)


@given(bodies, st.booleans())
def test_the_short_ways_agree_with_decoding_it_all(body: dict[str, Any], is_ascii: bool) -> None:
    found = body.get("model")
    expected = found if isinstance(found, str) else ""
    raw = json.dumps(body, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    assert model_of(raw) == expected.encode("utf-8", "replace").decode()


def test_a_batch_of_embeddings_names_the_model_in_each_of_its_requests() -> None:
    body = {"requests": [{"model": "models/e", "content": {}}, {"model": "models/e"}]}
    assert model_of(json.dumps(body).encode()) == "models/e"
    assert model_of(b'{"requests": []}') == model_of(b'{"requests": 5}') == ""


@pytest.mark.parametrize(
    ("body", "choices"), [(b'{"n": 3}', 3), (b'{"n":1}', 1), (b'{"a":{"n":3}}', 1), (b'{"n":"3"}', 1)]
)
def test_a_request_says_how_many_choices_it_wants(body: bytes, choices: int) -> None:
    assert choices_of(body) == choices
