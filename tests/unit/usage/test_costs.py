"""The provider's own cost, and what is none: other currencies, estimates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmledgerd.usage import Exchange, Facts, read_exchange, read_usage
from llmledgerd.usage.costs import cost_in
from llmledgerd.usage.decode import members
from tests.unit.usage.examples import reply

CHAT = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def facts(usage: dict[str, Any], **more: Any) -> Facts:
    answer = {"choices": [{"finish_reason": "stop"}], "usage": {**CHAT, **usage}}
    return read_exchange(Exchange(response=json.dumps(answer).encode(), **more))


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ("0.0012", "0.0012"),
        (0.0012, "0.0012"),
        ("1e-3", "0.001"),
        ({"total_cost": "0.5", "currency": "USD"}, "0.5"),
        ("free", None),
        ("-1", None),
        ("1" * 100, None),
        ("1e99", None),
    ],
)
def test_a_cost_may_be_text(cost: object, expected: str | None) -> None:
    assert facts({"cost": cost}).cost_usd == expected


@pytest.mark.parametrize(
    "usage",
    [
        {"cost": 0.5, "currency": "EUR"},
        {"cost": 0.5, "cost_currency": "CNY"},
        {"cost": {"total_cost": 0.5, "currency": "eur"}},
    ],
)
def test_a_cost_in_another_currency_is_none_and_casts_doubt(usage: dict[str, Any]) -> None:
    found = facts(usage)
    assert (found.cost_usd, found.doubt) == (None, "other_currency")


def test_a_currency_without_a_cost_says_nothing() -> None:
    assert facts({"currency": "EUR"}).doubt == ""


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"X-LiteLLM-Call-Id": "1"}},
        {"url": "http://litellm:4000/v1/chat/completions"},
        {"provider": "litellm_proxy"},
    ],
)
def test_a_proxys_estimate_is_no_providers_cost(more: dict[str, Any]) -> None:
    assert facts({"cost": 0.5}, **more).cost_usd is None
    assert facts({"cost": 0.5, "cost_details": {}}, **more).cost_usd == "0.5"


def test_an_own_key_has_two_bills() -> None:
    details = {"upstream_inference_cost": 0.001}
    found = facts({"cost": 0.00005, "is_byok": True, "cost_details": details})
    assert (found.is_byok, found.cost_usd, found.upstream_cost_usd) == (True, "0.00005", "0.001")
    found = facts({"cost": 0.001, "is_byok": False, "cost_details": details})
    assert (found.is_byok, found.upstream_cost_usd) == (False, None)
    assert facts({}).is_byok is None


GOOGLE = "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"
THINKING = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}


@pytest.mark.parametrize(("url", "model"), [(GOOGLE, ""), ("", "google/gemini-2.5-pro")])
def test_what_geminis_total_holds_beside_its_parts_is_output(url: str, model: str) -> None:
    answer = {"choices": [{"finish_reason": "stop"}], "model": model, "usage": THINKING}
    found = read_exchange(Exchange(url=url, response=json.dumps(answer).encode()))
    assert (found.priced[0].output, found.usage_check, found.doubt) == (74, "ok", "")
    assert (found.completion_tokens, found.total_tokens) == (12, 109)
    again = read_usage(found.usage_json, url=url, model=model)
    assert (again.priced, again.usage_check) == (found.priced, "ok")


@pytest.mark.parametrize("total", [109, 40])
def test_counts_that_contradict_each_other_are_doubtful(total: int) -> None:
    assert reply({"usage": {**THINKING, "total_tokens": total}}).doubt == "usage_mismatch"
    below = {"url": GOOGLE, "response": json.dumps({"usage": {**THINKING, "total_tokens": 40}}).encode()}
    assert read_exchange(Exchange(**below)).doubt == "usage_mismatch"  # type: ignore[arg-type]  # of several types


@pytest.mark.parametrize(
    "answer",
    [
        {"usageMetadata": {"totalTokenCount": 10}},
        {"object": "response", "usage": {"input_tokens": None, "output_tokens": None, "total_tokens": 10}},
        {"usage": {"inputTokens": None, "outputTokens": None, "totalTokens": 10}},
        {"usage": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": 10}},
        {"choices": [{"finish_reason": "stop"}], "usage": {"total_tokens": 10}},
        {"usage": {"prompt_tokens": 10, "completion_tokens": None}},
        {"usage": {"completion_tokens": 10}},
        {"usage": {"prompt_tokens": -1, "completion_tokens": 10}},
        {"usage": {"prompt_tokens": 10.5, "completion_tokens": 10}},
        {"usage": {"input_tokens": True, "output_tokens": 10}},
        {"usageMetadata": {"promptTokenCount": 10}},
    ],
)
def test_a_count_that_is_missing_makes_the_usage_partial(answer: dict[str, Any]) -> None:
    assert reply(answer).usage_source == "partial"


@pytest.mark.parametrize(
    "answer",
    [
        {"data": [{"embedding": [1]}], "object": "list", "usage": {"total_tokens": 10}},
        {"data": [{"embedding": [1]}], "object": "list", "usage": {"prompt_tokens": 10}},
        {"usage": {"prompt_tokens": 10, "total_tokens": 10}},
        {"usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10}},
        {"usageMetadata": {"promptTokenCount": 10, "promptTokenDetails": []}},
        {"inputTextTokenCount": 10, "embedding": [1]},
        {"meta": {"billed_units": {"input_tokens": 10}}, "embeddings": []},
    ],
)
def test_what_writes_nothing_has_no_output_to_report(answer: dict[str, Any]) -> None:
    found = reply(answer)
    assert (found.usage_source, found.prompt_tokens) == ("reported", 10)
    assert found.priced[0].input == 10


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (b'{"cost":0.00014}', "0.00014"),
        (b'{"cost":0.12345678901234567891}', "0.12345678901234567891"),
        (b'{"cost":1e-7}', "0.0000001"),
        (b'{"cost":0}', "0"),
        (b'{"cost":{"total_cost":0.006}}', "0.006"),
        (b'{"cost_in_usd_ticks":12345}', "0.0000012345"),
        (b'{"cost":2,"cost_in_usd_ticks":12345}', "2"),
    ],
)
def test_the_digits_are_the_providers_own(usage: bytes, cost: str) -> None:
    assert cost_in(members(usage)) == cost


NO_COSTS = [
    b"{}",
    b'{"cost":null}',
    b'{"cost":true}',
    b'{"cost":-1}',
    b'{"cost":[1]}',
    b'{"cost":{}}',
    b'{"cost":1e-999999999}',
    b'{"cost":1e31}',
    b'{"cost":1e999}',
    b'{"cost":1.00000000000000000001e-999999999}',
    b'{"cost":-0.12345678901234567891}',
    b'{"cost":0.%s}' % (b"1" * 64),
    b'{"cost_in_usd_ticks":0}',
]


@pytest.mark.parametrize("usage", NO_COSTS)
def test_what_is_no_sensible_amount_of_dollars_is_no_cost(usage: bytes) -> None:
    assert cost_in(members(usage)) is None
