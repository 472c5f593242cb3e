"""The view ``llm_traces_recomputed`` computes what the Python rules compute, from ``usage_json`` alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.usage import Exchange, Facts, read_exchange
from tests.helpers.corpus import needs_corpus, records
from tests.integration.test_corpus_usage import exchange

COLUMNS = ("prompt_tokens", "completion_tokens", "total_tokens")
PARTS = ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens")

MILLION = 10**6

USAGES: dict[str, list[dict[str, Any]]] = {
    "chat": [
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        {"prompt_tokens": 10, "completion_tokens": None, "total_tokens": None},
        {
            "prompt_tokens": 9,
            "completion_tokens": 2,
            "total_tokens": 386,
            "prompt_tokens_details": {"audio_tokens": 375},
        },
        {
            "prompt_tokens": 9,
            "completion_tokens": 2,
            "total_tokens": 31,
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 99, "completion_tokens_details": None},
        {"prompt_tokens": 9, "prompt_cache_hit_tokens": 4},
        {"prompt_tokens": 9, "prompt_token_details": {"cached_tokens": 0}},
        {"prompt_tokens": 9, "cached_tokens": 1, "num_cached_tokens": 2},
        {"prompt_tokens": 9, "cache_read_input_tokens": 1, "cache_creation_input_tokens": 2},
        {"prompt_tokens": 9.0, "completion_tokens": 1, "cost": 0.5},
        {"total_tokens": 7},
        {"prompt_tokens": 10.5, "completion_tokens": 2, "cost": 0.25},
        {"prompt_tokens": True, "completion_tokens": 2, "is_byok": False},
        {"prompt_tokens": 9, "completion_tokens": False, "prompt_tokens_details": {"cached_tokens": 1.5}},
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": 9, "prompt_tokens_details": {"cache_creation_tokens": 2}},
        {"prompt_tokens": 9, "completion_token_details": {"reasoning_tokens": 2}},
        {"prompt_tokens": 5_000 * MILLION},
    ],
    "responses": [
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 3},
        },
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 22,
            "output_tokens_details": {"reasoning_tokens": 7},
        },
        {"input_tokens": 10, "output_tokens": 5, "total_tokens": 22, "cache_read_input_tokens": 7},
        {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "cache_read_input_tokens": 7},
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
        {"input_tokens": 3, "input_token_details": {"cached_tokens": 1}, "output_token_details": None},
    ],
    "messages": [
        {"input_tokens": 10, "output_tokens": 5},
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 3,
        },
        {
            "input_tokens": 10,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
        },
        {"input_tokens": 10, "output_tokens_details": {"thinking_tokens": 4}},
        {
            "input_tokens": 1,
            "iterations": [{"input_tokens": 5, "cache_read_input_tokens": 2}, {"output_tokens": 9}],
        },
        {"input_tokens": 1, "iterations": []},
        {"input_tokens": 10.5, "output_tokens": True},
    ],
    "gemini": [
        {"promptTokenCount": 9, "candidatesTokenCount": 20, "thoughtsTokenCount": 30, "totalTokenCount": 59},
        {"promptTokenCount": 9, "candidatesTokenCount": 20, "thoughtsTokenCount": 5, "totalTokenCount": 29},
        {"promptTokenCount": 9, "toolUsePromptTokenCount": 3, "thoughtsTokenCount": 5},
        {"promptTokenCount": 9, "responseTokenCount": 3, "cachedContentTokenCount": 0},
        {"totalTokenCount": 9},
    ],
    "interaction": [
        {
            "total_input_tokens": 9,
            "total_tool_use_tokens": 1,
            "total_output_tokens": 2,
            "total_thought_tokens": 3,
            "total_tokens": 15,
        },
        {"total_input_tokens": 9, "total_cached_tokens": 4},
    ],
    "bedrock": [
        {
            "inputTokens": 9,
            "outputTokens": 2,
            "totalTokens": 18,
            "cacheReadInputTokens": 4,
            "cacheWriteInputTokens": 3,
        },
        {"inputTokens": 9, "cacheReadInputTokenCount": 0},
        {"inputTokenCount": 9, "outputTokenCount": 2, "invocationLatency": 5},
    ],
    "cohere": [
        {
            "tokens": {"input_tokens": 9.0, "output_tokens": 2.0},
            "billed_units": {"input_tokens": 1.0},
            "cached_tokens": 3,
        },
        {"tokens": {"input_tokens": 9, "image_tokens": 2, "reasoning_tokens": 1}},
        {"billed_units": {"input_tokens": 9}},
        {"billed_units": {"search_units": 1}},
    ],
    "root": [
        {"prompt_eval_count": 9, "eval_count": 2},
        {"prompt_token_count": 9, "generation_token_count": 2},
        {"inputTextTokenCount": 9, "tokenCount": 2},
        {"inputTextTokenCount": 9, "totalOutputTextTokenCount": 2},
        {"token_input_count": 9, "token_output_count": 2},
        {"input_token_count": 9.5, "output_token_count": True},
        {"num_tokens_prompt_total": 9, "num_tokens_generated": 2},
        {"input_token_count": 9, "generated_token_count": 2},
        {"token_count": 9},
        {"input_token_count": 9, "output_token_count": 2, "predict_time": 0.5},
        {"tokens_evaluated": 9, "tokens_predicted": 2},
        {"tokens_input": 9, "tokens_generated": 2, "cost": 0.001},
    ],
    "": [{}, {"trafficType": "ON_DEMAND"}],
}


def row(name: str, facts: Facts) -> tuple[object, ...]:
    sums = [min(getattr(facts, column) or 0, 2**32 - 1) for column in COLUMNS]
    parts = [getattr(facts, column) for column in PARTS]
    return (name, facts.usage_json, *sums, *parts)


def differing(store: Store, found: Iterable[tuple[object, ...]]) -> list[dict[str, Any]]:
    """Store the rows, received now, and return those of the view that differ from them."""
    now = time.time_ns() // 1000
    stored = [(*one, now) for one in found]
    store.insert("llm_traces", ("id", "usage_json", *COLUMNS, *PARTS, "ingested_at"), stored, token="usage")
    assert store.query("SELECT count() AS rows FROM llm_traces_recomputed") == [{"rows": len(stored)}]
    columns = ", ".join(f"recomputed_{column}" for column in (*COLUMNS, *PARTS))
    return store.query(f"SELECT id, usage_json, {columns} FROM llm_traces_recomputed WHERE differs")


def examples() -> Iterator[tuple[object, ...]]:
    for shape, usages in USAGES.items():
        for number, usage in enumerate(usages):
            answer = json.dumps({"usage": usage}).encode()
            yield row(f"{shape} {number}", read_exchange(Exchange(response=answer)))


def test_every_rule_comes_to_the_same_in_sql(store: Store) -> None:
    assert differing(store, examples()) == []
    shapes = store.query("SELECT id, usage_shape FROM llm_traces_recomputed")
    assert {found["usage_shape"] for found in shapes} == set(USAGES)
    assert all(found["id"].rpartition(" ")[0] == found["usage_shape"] for found in shapes)


def test_a_row_that_was_counted_wrongly_differs(store: Store) -> None:
    facts = read_exchange(Exchange(response=b'{"usage":{"prompt_tokens":10,"completion_tokens":5}}'))
    wrong = [row(str(number), facts) for number in range(3)]
    wrong[0] = (*wrong[0][:2], 11, *wrong[0][3:])
    wrong[1] = (*wrong[1][:5], 0, *wrong[1][6:])
    assert sorted(found["id"] for found in differing(store, wrong)) == ["0", "1"]


@needs_corpus
def test_the_corpus_comes_to_the_same_in_sql(store: Store) -> None:
    found = [row(record["id"], read_exchange(exchange(record))) for record in records()]
    assert differing(store, found) == []
