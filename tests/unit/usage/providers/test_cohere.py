"""Cohere: each rule of ``cohere``."""

from __future__ import annotations

from llmledgerd.usage import PricedUsage
from tests.unit.usage.examples import columns, of_usage, reply


def test_tokens_come_before_billed_units() -> None:
    usage = {
        "billed_units": {"input_tokens": 41, "output_tokens": 28},
        "tokens": {"input_tokens": 1442, "output_tokens": 29, "reasoning_tokens": 3},
        "cached_tokens": 1040,
    }
    assert of_usage(usage) == (1442, 29, 1471, 1040, None, 3)


def test_the_price_follows_what_is_billed() -> None:
    usage = {
        "billed_units": {"input_tokens": 41, "output_tokens": 28},
        "tokens": {"input_tokens": 1442, "output_tokens": 29},
        "cached_tokens": 1040,
    }
    assert reply({"usage": usage}).priced == [PricedUsage(input=41, output=28)]
    assert reply({"usage": {"tokens": {"input_tokens": 7}}}).priced == [PricedUsage(input=7)]


def test_image_tokens_stand_beside_the_input() -> None:
    usage = {"tokens": {"input_tokens": 34, "output_tokens": 70, "image_tokens": 259}}
    facts = reply({"usage": usage})
    assert columns(facts)[:3] == (293, 70, 363)
    assert facts.priced[0].input_image == 259


def test_version_1_keeps_floats_in_meta() -> None:
    meta = {"tokens": {"input_tokens": 69.0, "output_tokens": 116.0}, "billed_units": {"input_tokens": 7.0}}
    facts = reply({"text": "hi", "meta": meta, "finish_reason": "COMPLETE"})
    assert columns(facts)[:3] == (69, 116, 185)
    assert (facts.usage_source, facts.finish_reason) == ("reported", "COMPLETE")


def test_embeddings_have_billed_units_alone() -> None:
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 5}}
    facts = reply({"id": "e1", "embeddings": {"float": [[0.1]]}, "meta": meta})
    assert columns(facts)[:3] == (5, None, 5)
    assert facts.call_type == "embedding"


def test_search_units_are_no_tokens() -> None:
    facts = reply(
        {"results": [{"index": 0, "relevance_score": 0.9}], "meta": {"billed_units": {"search_units": 1}}}
    )
    assert (facts.usage_source, facts.call_type) == ("reported", "rerank")
    assert facts.prompt_tokens is None
    assert facts.units == {"search_unit": 1}
    assert b"search_units" in facts.usage_json
