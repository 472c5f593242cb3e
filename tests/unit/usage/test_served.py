"""Tier and region of a call: the reply's word, else the request's, else the address's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmledgerd.usage import Exchange, Facts, read_exchange
from llmledgerd.usage.url_rules import place

ANTHROPIC = "https://api.anthropic.com/v1/messages"
BEDROCK = "https://bedrock-runtime.us-east-2.amazonaws.com/model/m/converse"
OPENAI = "https://api.openai.com/v1/chat/completions"
CHAT = {"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
CONVERSE = {"stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}


def facts(
    answer: dict[str, Any], *, url: str = "", request: dict[str, Any] | None = None, **more: Any
) -> Facts:
    asked = b"" if request is None else json.dumps(request).encode()
    return read_exchange(Exchange(url=url, request=asked, response=json.dumps(answer).encode(), **more))


def message(**usage: object) -> dict[str, Any]:
    return {"type": "message", "stop_reason": "x", "usage": {"input_tokens": 1, "output_tokens": 2, **usage}}


def test_a_fast_mode_is_a_tier_before_the_tier() -> None:
    assert facts(message(speed="fast", service_tier="standard"), url=ANTHROPIC).service_tier == "fast"
    assert facts(message(speed="standard", service_tier="priority"), url=ANTHROPIC).service_tier == "priority"
    asked = facts(message(service_tier="standard"), url=ANTHROPIC, request={"messages": [], "speed": "fast"})
    assert asked.service_tier == "fast"


@pytest.mark.parametrize(
    ("geo", "region"), [("us", "us"), ("global", "global"), ("not_available", ""), (None, "")]
)
def test_anthropic_says_where_it_ran(geo: str | None, region: str) -> None:
    assert facts(message(inference_geo=geo), url=ANTHROPIC).region == region


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ({"serviceTier": {"type": "priority"}}, "priority"),
        ({"serviceTier": "flex"}, "flex"),
        ({"serviceTier": {"type": "default"}, "performanceConfig": {"latency": "optimized"}}, "optimized"),
        ({"performanceConfig": {"latency": "standard"}}, ""),
    ],
)
def test_bedrock_says_its_tier_in_replies_requests_and_streams(said: dict[str, Any], tier: str) -> None:
    metadata = {"usage": CONVERSE["usage"], **said}
    stream = (
        'event: messageStart\ndata: {"role":"assistant"}\n\n'
        f"event: metadata\ndata: {json.dumps(metadata)}\n\n"
    )
    assert facts({**CONVERSE, **said}, url=BEDROCK).service_tier == tier
    assert facts(CONVERSE, url=BEDROCK, request={"messages": [], **said}).service_tier == tier
    assert read_exchange(Exchange(url=BEDROCK, stream=stream)).service_tier == tier


def test_invoke_model_says_its_tier_in_a_header() -> None:
    assert (
        facts(message(), url=BEDROCK, headers={"X-Amzn-Bedrock-Service-Tier": "flex"}).service_tier == "flex"
    )


def test_gemini_says_its_tier_in_a_header_and_in_the_usage() -> None:
    url = "https://generativelanguage.googleapis.com/v1beta/models/g:generateContent"
    assert facts(GEMINI, url=url, headers={"X-Gemini-Service-Tier": "flex"}).service_tier == "flex"
    metadata = {**GEMINI["usageMetadata"], "serviceTier": "priority"}  # type: ignore[dict-item]  # one of two kinds
    said = {**GEMINI, "usageMetadata": metadata}
    assert facts(said, url=url, headers={"X-Gemini-Service-Tier": "flex"}).service_tier == "priority"
    assert facts(GEMINI, url=url, request={"serviceTier": "flex"}).service_tier == "flex"


@pytest.mark.parametrize(
    ("traffic", "tier"),
    [
        ("ON_DEMAND", "standard"),
        ("ON_DEMAND_PRIORITY", "priority"),
        ("ON_DEMAND_FLEX", "flex"),
        ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
        ("TRAFFIC_TYPE_UNSPECIFIED", ""),
        ("NEWER_KIND", "newer_kind"),
    ],
)
def test_vertex_says_its_traffic(traffic: str, tier: str) -> None:
    assert facts({"usageMetadata": {"promptTokenCount": 1, "trafficType": traffic}}).service_tier == tier
    beside = {**CHAT["usage"], "extra_properties": {"google": {"traffic_type": traffic}}}  # type: ignore[dict-item]  # one of two kinds
    assert facts({**CHAT, "usage": beside}).service_tier == tier


@pytest.mark.parametrize(
    ("asked", "tier"),
    [
        ({"service_tier": "flex"}, "flex"),
        ({"service_tier": "auto"}, ""),
        ({"metadata": {"service_tier": "flex"}}, ""),
        ({"messages": [{"content": '"service_tier": "flex"'}]}, ""),
        ({}, ""),
    ],
)
def test_a_tier_that_the_reply_does_not_name_is_the_requests(asked: dict[str, Any], tier: str) -> None:
    assert (
        facts(CHAT, url=OPENAI, request={"model": "m", **asked, "tools": ["x" * 9000]}).service_tier == tier
    )
    assert facts({**CHAT, "service_tier": "default"}, url=OPENAI, request=asked).service_tier == "default"


def test_a_long_request_that_is_a_view_is_searched_too() -> None:
    request = memoryview(json.dumps({"service_tier": "flex", "messages": ["x" * 100_000]}).encode())
    answer = json.dumps(CHAT).encode()
    assert read_exchange(Exchange(url=OPENAI, request=request, response=answer)).service_tier == "flex"


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/x",
            "europe-west4",
        ),
        ("https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/x", "eu"),
        ("https://aiplatform.googleapis.com/v1/projects/p/locations/global/x", "global"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse", "eu-west-1"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/model/m/converse", "us-gov-west-1"),
        ("https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com/model/m/converse", "us-east-1"),
        ("https://bedrock-mantle.us-east-1.api.aws/v1/chat/completions", "us-east-1"),
        ("https://eu.api.openai.com/v1/responses", "eu"),
        ("https://us-east-1.api.x.ai/v1/chat/completions", "us-east-1"),
        ("https://swedencentral.api.cognitive.microsoft.com/openai/deployments/d/x", "swedencentral"),
        ("https://eu-de.ml.cloud.ibm.com/ml/v1/text/chat", "eu-de"),
        ("https://api.openai.com/v1/responses", ""),
        ("https://example.com/locations/eu/x", ""),
    ],
)
def test_an_address_tells_its_region(url: str, region: str) -> None:
    assert place(url).region == region


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:4000", True),
        ("litellm:4000", True),
        ("10.1.2.3", True),
        ("172.20.0.1", True),
        ("172.32.0.1", True),
        ("[::1]:8000", True),
        ("[fd00::1]", True),
        ("vllm.ai.svc.cluster.local", True),
        ("api.openai.com", False),
        ("10.example.com", False),
    ],
)
def test_a_self_hosted_address_is_told(host: str, expected: bool) -> None:
    assert place(f"http://{host}/v1/chat/completions").is_self_hosted is expected


GEMINI = {
    "candidates": [{"finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1},
}


@pytest.mark.parametrize(
    "line",
    [
        {"key": "r1", "response": GEMINI},
        {"status": "", "processed_time": "2026-01-01", "request": {}, "response": GEMINI},
        {"recordId": "r", "modelInput": {}, "modelOutput": CONVERSE},
        {"custom_id": "r", "response": {"status_code": 200, "body": CHAT}},
        {"custom_id": "r", "result": {"type": "succeeded", "message": message()}},
    ],
    ids=["gemini", "vertex", "bedrock", "openai", "anthropic"],
)
def test_a_line_of_a_batchs_output_is_of_a_batch(line: dict[str, Any]) -> None:
    found = facts(line)
    assert found.is_batch
    assert found.prompt_tokens == 1


def test_an_answer_is_of_no_batch() -> None:
    assert not facts(CHAT, url=OPENAI).is_batch
