"""Requests that real emitters exported while they called a stand-in for the providers, which counts 11 and 5 tokens.

``recorded/`` has them as OTLP's JSON, by emitter: opentelemetry-instrumentation-openai 0.62.4, -anthropic 0.62.4,
-openai-v2 2.3b0, anthropic 2.12.0, openinference-instrumentation-openai 0.1.66, -anthropic 3.1.0, -langchain 0.1.80,
-llama-index 4.6.1, pydantic-ai 2.31.1, litellm 1.106.2, langsmith 0.15.0, ai 6.0.326 (Vercel's AI SDK). Each emitter made a call and a streamed call of
each API that it instruments; the SDK of Anthropic adds spans of its own to everybody's.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.unit.otlp.test_conventions import rows

RECORDED = Path(__file__).with_name("recorded")

CHAT, EMBEDDING = ("agent_step", 11, 5), ("embedding", 11, 0)
CALLS: dict[str, list[tuple[str, int, int]]] = {
    "traceloop-openai": [CHAT, CHAT, CHAT, EMBEDDING],
    "openai-v2": [CHAT, CHAT, EMBEDDING],
    "oi-openai": [CHAT, CHAT, CHAT, EMBEDDING],
    "traceloop-anthropic": [CHAT, CHAT],
    "anthropic-sdk": [CHAT, CHAT],
    "oi-anthropic": [CHAT, CHAT],
    "oi-langchain": [CHAT, CHAT, CHAT],
    "oi-langchain+openai": [CHAT, CHAT, CHAT],
    "langsmith": [CHAT, CHAT, CHAT],
    "oi-llamaindex": [CHAT],
    "pydantic-ai": [CHAT],
    "litellm": [CHAT, CHAT],
    "vercel": [CHAT, CHAT, CHAT, EMBEDDING],
}


def recorded(name: str) -> list[Any]:
    found: list[Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return found


def figures(found: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """The figures of the rows of which the store keeps the first of each id."""
    by_id = {one["id"]: one for one in reversed(found)}
    return Counter(
        (one["call_type"], one["prompt_tokens"], one["completion_tokens"]) for one in by_id.values()
    )


@pytest.mark.parametrize("name", CALLS)
def test_each_call_is_one_row_with_the_provider_s_tokens(name: str, tmp_path: Path) -> None:
    found = rows(tmp_path, *recorded(name))
    assert figures(found) == Counter(CALLS[name])
    for one in found:
        assert one["usage_source"] == "reported"
        assert one["usage_check"] == "ok"
        assert one["provider"] in ("openai", "anthropic")
        assert one["model"] != "unknown"


def test_messages_of_log_records_are_in_the_rows_of_their_calls(tmp_path: Path) -> None:
    found = [one for one in rows(tmp_path, *recorded("openai-v2")) if one["call_type"] == "agent_step"]
    assert all("hello" in one["request_json"].decode() for one in found)
    assert all("All is well." in one["response_json"].decode() for one in found)


@pytest.mark.parametrize("name", CALLS)
def test_repeats_in_other_pieces_add_no_call(name: str, tmp_path: Path) -> None:
    dice = random.Random(name)
    whole = recorded(name)
    pieces = [piece for request in whole for piece in single_spans(request)]
    dice.shuffle(pieces)
    assert figures(rows(tmp_path, *whole, *pieces, *whole)) == Counter(CALLS[name])


@pytest.mark.parametrize("name", CALLS)
def test_spans_one_by_one_in_any_order_make_as_many_calls(name: str, tmp_path: Path) -> None:
    dice = random.Random(name)
    pieces = [piece for request in recorded(name) for piece in single_spans(request)]
    for turn in range(3):
        dice.shuffle(pieces)
        found = figures(rows(tmp_path / str(turn), *pieces))
        assert found.total() == len(CALLS[name])


def single_spans(request: Any) -> list[Any]:
    """Return a request for each span of one."""
    return [
        {"resourceSpans": [{**group, "scopeSpans": [{**scoped, "spans": [one]}]}]}
        for group in request.get("resourceSpans", ())
        for scoped in group["scopeSpans"]
        for one in scoped["spans"]
    ]
