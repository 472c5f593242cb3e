"""Any value in any place: nothing raises, and every fact keeps its type.

``LLMLEDGER_MUTATIONS`` sets how many mutations are tried; the default keeps the suite quick.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmledgerd.usage import Exchange, Facts
from llmledgerd.usage.exchange import read_unguarded
from llmledgerd.usage.exchange_facts import UsageCheck, UsageSource
from tests.unit.usage.examples import CHAT_USAGE, STREAMS, columns

MUTATIONS = int(os.environ.get("LLMLEDGER_MUTATIONS", "300"))

DEEP = "@deep@"
"""Stands for 10,000 brackets, which a value that Python encodes cannot hold."""

REPLIES: list[Any] = [
    {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "hi", "tool_calls": []}, "finish_reason": "stop"}],
        "usage": {**CHAT_USAGE, "prompt_tokens_details": {"cached_tokens": 1}, "cost": 0.5},
        "x_groq": {"usage": CHAT_USAGE},
    },
    {
        "object": "response",
        "status": "incomplete",
        "incomplete_details": {"reason": "r"},
        "error": None,
        "output": [],
    }
    | {
        "usage": {
            "input_tokens": 1,
            "input_tokens_details": {"cached_tokens": 1},
            "output_tokens": 2,
            "total_tokens": 3,
        }
    },
    {"type": "message", "stop_reason": "end_turn", "content": [], "model": "m"}
    | {
        "usage": {
            "input_tokens": 1,
            "cache_creation": {"ephemeral_1h_input_tokens": 1},
            "iterations": [{"model": "m", "input_tokens": 1}],
        }
    },
    {"candidates": [{"finishReason": "STOP"}], "modelVersion": "m", "promptFeedback": {"blockReason": "r"}}
    | {
        "usageMetadata": {
            "promptTokenCount": 1,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
        }
    },
    {
        "output": {},
        "stopReason": "s",
        "usage": {"inputTokens": 1, "outputTokens": 1, "cacheReadInputTokens": 1},
    },
    {
        "meta": {"tokens": {"input_tokens": 1.0}, "billed_units": {"input_tokens": 1}},
        "finish_reason": "COMPLETE",
    },
    {"results": [{"input_token_count": 1, "stop_reason": "s", "tokenCount": 1}], "prompt_eval_count": 1},
    {"predictions": [{"embeddings": {"statistics": {"token_count": 1}}}], "data": [{"object": "embedding"}]},
    {"custom_id": "c", "response": {"body": {"usage": CHAT_USAGE}}, "result": {"message": {}, "error": {}}},
    {
        "error": {"type": "t", "code": 5, "message": "m", "status": "s"},
        "detail": [],
        "errors": [],
        "__type": "x",
    },
]

odd_values: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        "",
        "x",
        "12",
        "\ud800",
        True,
        False,
        -1,
        0,
        1.5,
        1e300,
        10**30,
        -(10**30),
        [],
        [1],
        {},
        {"a": 1},
        [[]],
        [{}],
        DEEP,
    ]
)
choices = st.integers(0, 10**9)


def places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every place of a tree."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*above, key)
        yield from places(tree[key], (*above, key))


def mutated(tree: Any, where: int, new: Any) -> Any:
    """Return a copy of the tree with one place replaced."""
    ways = list(places(tree))
    if not ways:
        return new
    changed = copy.deepcopy(tree)
    *above, last = ways[where % len(ways)]
    node = changed
    for key in above:
        node = node[key]
    node[last] = copy.deepcopy(new)
    return changed


def written(tree: Any) -> str:
    """Return the tree as JSON, with brackets 10,000 deep where the tree says so."""
    return json.dumps(tree).replace(json.dumps(DEEP), "[" * 10_000 + "]" * 10_000)


def check(facts: Facts) -> None:
    """Assert that every fact has its type and that all texts can be stored."""
    assert all(count is None or (type(count) is int and count >= 0) for count in columns(facts))
    assert facts.usage_source in get_args(UsageSource)
    assert facts.usage_check in get_args(UsageCheck)
    for text in (facts.model, facts.request_model, facts.provider, facts.call_type, facts.finish_reason):
        text.encode()
    for text in (facts.error_type, facts.error_message, facts.service_tier, facts.provider_request_id):
        text.encode()
    assert {type(facts.has_error), type(facts.is_batch), type(facts.stream_complete)} == {bool}
    assert {type(facts.usage_json), type(facts.response)} == {bytes}


unhurried = settings(max_examples=MUTATIONS, deadline=None, suppress_health_check=list(HealthCheck))


@unhurried
@given(
    st.sampled_from(REPLIES),
    st.lists(st.tuples(choices, odd_values), min_size=1, max_size=4),
    st.sampled_from([0, 200, 400]),
)
def test_no_value_in_any_place_of_an_answer_raises(
    answer: Any, changes: list[tuple[int, Any]], status: int
) -> None:
    for where, new in changes:
        answer = mutated(answer, where, new)
    check(
        read_unguarded(
            Exchange(response=written(answer).encode(), status_code=status, request=written(answer).encode())
        )
    )


@unhurried
@given(
    st.sampled_from(sorted(STREAMS)),
    st.lists(st.tuples(choices, choices, odd_values), min_size=1, max_size=4),
    st.none() | choices,
)
def test_no_value_in_any_place_of_a_stream_raises(
    kind: str, changes: list[tuple[int, int, Any]], cut: int | None
) -> None:
    parts = STREAMS[kind].split("\n")
    with_objects = [number for number, line in enumerate(parts) if "{" in line and line.endswith("}")]
    for which, where, new in changes if with_objects else ():
        number = with_objects[which % len(with_objects)]
        head, brace, body = parts[number].partition("{")
        try:
            parts[number] = head + written(mutated(json.loads(brace + body), where, new))
        except (ValueError, RecursionError):
            continue  # mutated into something deep by an earlier change
    text = "\n".join(parts)
    check(read_unguarded(Exchange(stream=text if cut is None else text[: 1 + cut % len(text)])))


@unhurried
@given(st.binary(max_size=200), st.text(max_size=200))
def test_no_bytes_at_all_raise(raw: bytes, text: str) -> None:
    check(
        read_unguarded(Exchange(response=raw, request=raw, url=text, headers={text: text}, status_code=500))
    )
    check(read_unguarded(Exchange(stream=text, response=raw)))
