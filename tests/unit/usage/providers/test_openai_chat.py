"""Chat Completions and those who speak it: each rule of ``openai_chat`` by an example."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.usage import Exchange, Facts, dispatch, read_exchange
from llmledgerd.usage.costs import cost_in
from llmledgerd.usage.decode import members
from llmledgerd.usage.providers import openai_chat
from tests.unit.usage.examples import columns, of_usage, reply

OPENAI = {
    "prompt_tokens": 100,
    "completion_tokens": 30,
    "total_tokens": 130,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0},
}


def test_cached_and_reasoning_tokens_are_inside_the_counts() -> None:
    assert of_usage(OPENAI) == (100, 30, 130, 64, None, 20)


def test_the_usage_is_kept_as_it_was_received() -> None:
    raw = b'{"choices":[], "usage": {"prompt_tokens": 1,  "completion_tokens":2, "cost": 0.10}}'
    facts = reply(json.loads(raw))
    assert json.loads(facts.usage_json)["cost"] == 0.1
    assert facts.usage_source == "reported"


@pytest.mark.parametrize(
    "details",
    [
        {"prompt_tokens_details": {"cached_tokens": 7}},
        {"prompt_token_details": {"cached_tokens": 7}},
        {"prompt_cache_hit_tokens": 7, "prompt_cache_miss_tokens": 3},
        {"cached_tokens": 7},
        {"num_cached_tokens": 7},
        {"cache_read_input_tokens": 7},
    ],
    ids=["openai", "singular", "deepseek", "together", "mistral", "proxy"],
)
def test_cached_tokens_are_found_under_every_name(details: dict[str, object]) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11, **details}
    assert of_usage(usage) == (10, 1, 11, 7, None, None)


def test_cache_writes_are_inside_the_prompt() -> None:
    details = {"cached_tokens": 0, "cache_write_tokens": 90}
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 1,
        "total_tokens": 101,
        "prompt_tokens_details": details,
    }
    assert of_usage(usage) == (100, 1, 101, 0, 90, None)


def test_reasoning_outside_the_completion_is_added_where_the_total_says_so() -> None:
    usage = {**OPENAI, "completion_tokens": 10, "total_tokens": 130}
    facts = reply({"usage": usage})
    assert columns(facts)[:3] == (100, 30, 130)
    assert facts.usage_check == "ok"


def test_audio_beside_the_prompt_is_added_where_the_total_says_so() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 20,
        "total_tokens": 404,
        "prompt_tokens_details": {"audio_tokens": 375},
    }
    facts = reply({"usage": usage})
    assert columns(facts)[:3] == (384, 20, 404)
    assert facts.priced[0].input_audio == 375


def test_a_total_that_the_parts_do_not_make_is_a_mismatch_and_stands() -> None:
    facts = reply({"usage": {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}})
    assert columns(facts)[:3] == (35, 12, 109)
    assert facts.usage_check == "mismatch"


def test_a_total_alone_is_all_input_and_has_no_sum_to_check() -> None:
    facts = reply({"usage": {"total_tokens": 43}})
    assert columns(facts)[:3] == (43, None, 43)
    assert facts.usage_check == ""


def test_a_total_of_zero_is_replaced_by_the_sum() -> None:
    assert of_usage({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 0})[2] == 7


def test_null_is_not_reported_and_zero_is() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": None, "prompt_tokens_details": {"cached_tokens": 0}}
    assert of_usage(usage) == (1, None, 1, 0, None, None)


def test_a_usage_of_null_is_unknown_and_raises_nothing() -> None:
    facts = reply({"choices": [], "usage": None})
    assert columns(facts) == (None,) * 6
    assert (facts.usage_source, facts.usage_json) == ("unknown", b"")


def test_one_bad_count_costs_only_itself_and_is_said() -> None:
    facts = reply({"usage": {"prompt_tokens": 10, "completion_tokens": "many", "total_tokens": 12}})
    assert columns(facts)[:3] == (10, None, 12)
    assert facts.usage_source == "partial"


@pytest.mark.parametrize("count", [True, -1, 1.5, "x", [], {}, 10**30, float("1e300")])
def test_what_is_no_count_is_not_reported(count: object) -> None:
    assert of_usage({"prompt_tokens": count, "completion_tokens": 2}) == (None, 2, 2, None, None, None)


@pytest.mark.parametrize("count", [7, 7.0, "7"])
def test_integral_floats_and_digits_are_counts(count: object) -> None:
    facts = reply({"usage": {"prompt_tokens": count, "completion_tokens": 2}})
    assert facts.prompt_tokens == 7
    assert facts.usage_source == "reported"


def test_groqs_own_member_holds_the_usage() -> None:
    assert columns(reply({"choices": [], "x_groq": {"usage": OPENAI}}))[:3] == (100, 30, 130)


def test_the_answer_names_model_tier_id_and_reason() -> None:
    answer = {
        "id": "chatcmpl-1",
        "model": "gpt-x-2",
        "service_tier": "priority",
        "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "length"}],
        "usage": OPENAI,
    }
    facts = reply(answer, request=b'{"model":"gpt-x","messages":[]}')
    assert (facts.model, facts.request_model) == ("gpt-x-2", "gpt-x")
    assert (facts.service_tier, facts.provider_request_id) == ("priority", "chatcmpl-1")
    assert facts.finish_reason == "length"


def test_the_providers_own_cost_keeps_its_digits() -> None:
    assert reply({"usage": {"prompt_tokens": 1, "cost": 0.000784}}).cost_usd == "0.000784"
    assert reply({"usage": {"prompt_tokens": 1, "cost": {"total_cost": 7.5e-05}}}).cost_usd == "0.000075"
    assert reply({"usage": {"prompt_tokens": 1, "cost_in_usd_ticks": 1399000}}).cost_usd == "0.0001399000"


@pytest.mark.parametrize("cost", [None, "cheap", True, -1, [], {"total_cost": None}])
def test_what_is_no_cost_is_none(cost: object) -> None:
    assert reply({"usage": {"prompt_tokens": 1, "cost": cost}}).cost_usd is None


@pytest.mark.parametrize("literal", [b"1e-999999999", b"1e999999999", b"0." + b"1" * 100])
def test_a_cost_that_would_take_a_gigabyte_to_write_is_none(literal: bytes) -> None:
    answer = b'{"usage":{"prompt_tokens":1,"cost":' + literal + b"}}"
    assert read_exchange(Exchange(response=answer)).cost_usd is None


def test_ticks_of_zero_are_no_cost() -> None:
    assert reply({"usage": {"prompt_tokens": 1, "cost_in_usd_ticks": 0}}).cost_usd is None


def test_an_embedding_is_told_by_its_shape() -> None:
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "embedding": [0.1]}],
        "usage": {"total_tokens": 3},
    }
    assert reply(answer).call_type == "embedding"


def test_a_rerank_is_told_by_its_shape() -> None:
    assert reply({"data": [{"relevance_score": 0.5, "index": 0}], "object": "list"}).call_type == "rerank"


COUNTS = st.sampled_from((0, 1, 5, 130)) | st.sampled_from((None, "5", -1, 1.0, 2**64))
DETAILS = st.dictionaries(
    st.sampled_from(("cached_tokens", "audio_tokens", "reasoning_tokens")), COUNTS, max_size=2
)
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "prompt_tokens": COUNTS,
    "completion_tokens": COUNTS,
    "total_tokens": COUNTS,
    "reasoning_tokens": COUNTS,
    "prompt_tokens_details": DETAILS | COUNTS,
    "completion_tokens_details": DETAILS | COUNTS,
    "cost": st.sampled_from((0.5, 0, None, {"total_cost": 1})),
    "service_tier": st.sampled_from(("batch", None)),
    "serviceTier": st.just("flex"),
    "cost_in_usd_ticks": st.just(7),
    "input_tokens": COUNTS,
}


SOME = st.sets(st.sampled_from(sorted(LEAVES)), max_size=3)


def test_cache_writes_of_an_hour_are_told_apart_in_openais_dress() -> None:
    lifetimes = {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}
    details = {"cached_tokens": 10, "cache_creation_tokens": 50, "cache_creation_token_details": lifetimes}
    usage = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
    found = reply({"usage": {**usage, "prompt_tokens_details": details}})
    assert columns(found) == (100, 2, 102, 10, 50, None)
    assert (found.priced[0].cache_write, found.priced[0].cache_write_1h) == (50, 30)
    found = reply({"usage": {**usage, "cache_creation_input_tokens": 50, "cache_creation": lifetimes}})
    assert (found.priced[0].cache_write, found.priced[0].cache_write_1h) == (50, 30)


def test_writers_details_have_a_name_of_their_own() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 20, "completion_token_details": {"reasoning_tokens": 7}}
    assert of_usage(usage) == (1, 20, 21, None, None, 7)


def test_deep_research_counts_reasoning_and_citations_beside_its_total() -> None:
    usage = {
        "prompt_tokens": 33,
        "completion_tokens": 7163,
        "total_tokens": 7196,
        "citation_tokens": 20016,
        "num_search_queries": 18,
        "reasoning_tokens": 73997,
    }
    found = reply({"usage": usage})
    (priced,) = found.priced
    assert columns(found)[:3] == (33, 7163, 7196)
    assert (priced.input, priced.citation) == (33 + 20016, 20016)
    assert (priced.output, priced.reasoning) == (7163 + 73997, 73997)


CUT = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def streamed(*choices: tuple[int, str | None], done: bool = False, n: int = 2) -> Facts:
    chunks = [
        {"choices": [{"index": index, "delta": {"content": "a"}, "finish_reason": end}], "usage": CUT}
        for index, end in choices
    ]
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + (
        "data: [DONE]\n\n" if done else ""
    )
    return read_exchange(Exchange(stream=text, request=json.dumps({"model": "m", "n": n}).encode()))


def test_a_stream_of_several_choices_is_whole_when_all_of_them_are() -> None:
    assert streamed((0, None), (1, None), (0, "stop")).usage_source == "partial"
    assert streamed((0, None), (0, "stop")).usage_source == "partial"
    assert not streamed((0, None), (0, "stop")).stream_complete
    assert streamed((0, "stop"), (1, "stop")).usage_source == "reported"
    assert streamed((0, None), (0, "stop"), n=1).usage_source == "reported"
    assert streamed((0, "stop"), (1, "stop"), done=True).usage_source == "reported"


@given(SOME.flatmap(lambda names: st.fixed_dictionaries({name: LEAVES[name] for name in names})))
def test_plain_usage_read_in_one_decoding_says_what_the_rules_say(usage: dict[str, Any]) -> None:
    usage = {"completion_tokens": 30, **usage}
    raw = json.dumps(usage).encode()
    facts = openai_chat.plain_facts(raw)
    if facts is None:
        return
    assert dispatch.rule_for(members(raw)) is openai_chat.tokens
    assert (cost_in(members(raw)), usage.get("service_tier"), usage.get("serviceTier")) == (None, None, None)
    by_rule = openai_chat.tokens(raw)
    by_rule.usage_json = raw
    assert facts == by_rule


def test_plain_usage_is_read_in_one_decoding() -> None:
    assert openai_chat.plain_facts(json.dumps(OPENAI).encode()) is not None


@pytest.mark.parametrize("raw", [b"null", b"[]", b"5", b'"prompt_tokens"', b"{}", b'{"total_tokens":5}'])
def test_what_is_no_plain_usage_is_left_to_the_rules(raw: bytes) -> None:
    assert openai_chat.plain_facts(raw) is None
