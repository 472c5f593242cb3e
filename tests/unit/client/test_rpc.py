"""Models' methods of gRPC, and their messages in the form of the providers' HTTP APIs."""

from __future__ import annotations

import copy
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from llmledger.instrumentation.rpc import Rpc, host_of, request_json, response_json, rpc_of, url_of
from llmledgerd.usage import Exchange, read_exchange

GENERATE = "/google.cloud.aiplatform.v1.PredictionService/GenerateContent"
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "reasoning_tokens": 3,
    "total_tokens": 28,
    "prompt_text_tokens": 20,
    "cached_prompt_text_tokens": 8,
    "cost_in_usd_ticks": "12345",
}


@pytest.fixture(autouse=True)
def protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protobuf whose messages are namespaces around their JSON."""

    def to_dict(message: Any, *, preserving_proto_field_name: bool) -> dict[str, Any]:
        assert preserving_proto_field_name is message.is_xai
        found: dict[str, Any] = copy.deepcopy(message.fields)
        return found

    monkeypatch.setitem(sys.modules, "google.protobuf", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "google.protobuf.json_format", SimpleNamespace(MessageToDict=to_dict))


def message(fields: dict[str, Any], *, is_xai: bool = True) -> Any:
    return SimpleNamespace(fields=fields, is_xai=is_xai)


def method(name: str) -> Rpc:
    found = rpc_of(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "provider", "is_stream"),
    [
        ("/xai_api.Chat/GetCompletion", "xai", False),
        ("/xai_api.Chat/GetCompletionChunk", "xai", True),
        (GENERATE, "vertex", False),
        ("/google.cloud.aiplatform.v1beta1.PredictionService/StreamRawPredict", "vertex", True),
        ("/google.ai.generativelanguage.v1beta.GenerativeService/StreamGenerateContent", "google", True),
    ],
)
def test_a_models_method_is_known(name: str, provider: str, is_stream: bool) -> None:
    call = method(name).call
    assert (call.provider, call.is_stream) == (provider, is_stream)


@pytest.mark.parametrize(
    "name",
    [
        "/xai_api.Models/ListLanguageModels",
        "/xai_api.Chat/DeleteStoredCompletion",
        "/google.cloud.aiplatform.v1.ModelService/ListModels",
        "/google.ai.generativelanguage.v1beta.GenerativeService/CountTokens",
        "/grpc.health.v1.Health/Check",
    ],
)
def test_another_method_is_no_call(name: str) -> None:
    assert rpc_of(name) is None


def test_googles_address_is_that_of_http() -> None:
    request = SimpleNamespace(model="projects/p/locations/l/publishers/google/models/gemini-2.0-flash")
    host = host_of("dns:///us-central1-aiplatform.googleapis.com:443")
    url = url_of(method(GENERATE), host, request)
    assert url == (
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/"
        "gemini-2.0-flash:generateContent"
    )
    assert url_of(method("/xai_api.Chat/GetCompletion"), "", request).startswith("https://api.x.ai/")


@pytest.mark.parametrize(("name", "part"), [("GetCompletion", "message"), ("GetCompletionChunk", "delta")])
def test_xais_messages_are_chat_completions(name: str, part: str) -> None:
    rpc = method(f"/xai_api.Chat/{name}")
    output = {part: {"content": "a", "role": "ROLE_ASSISTANT"}, "finish_reason": "REASON_MAX_LEN"}
    body = response_json(rpc, message({"id": "x", "model": "grok-4", "outputs": [output], "usage": USAGE}))
    (choice,) = json.loads(body)["choices"]
    assert choice == {"index": 0, part: {"content": "a", "role": "assistant"}, "finish_reason": "length"}
    streamed = {"stream": (b"data: %b\n\n" % body).decode()} if part == "delta" else {"response": body}
    facts = read_exchange(Exchange(url="https://api.x.ai/xai_api.Chat/x", **streamed))
    assert (facts.prompt_tokens, facts.completion_tokens) == (20, 8)
    assert (facts.cached_input_tokens, facts.reasoning_tokens) == (8, 3)
    assert (facts.provider, facts.model, facts.usage_source) == ("xai", "grok-4", "reported")


def test_usage_without_a_count_is_unknown() -> None:
    rpc = method("/xai_api.Chat/GetCompletionChunk")
    assert "usage" not in json.loads(response_json(rpc, message({"outputs": [], "usage": {}})))


def test_a_request_is_kept_with_roles_as_http_has_them() -> None:
    asked = {"model": "grok-4", "messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}
    body = json.loads(request_json(method("/xai_api.Chat/GetCompletion"), message(asked)))
    assert body["messages"] == [{"role": "user", "content": [{"text": "hi"}]}]


def test_raw_predict_is_the_models_own_json() -> None:
    rpc = method("/google.cloud.aiplatform.v1.PredictionService/RawPredict")
    inner = {"contentType": "application/json", "data": "eyJhIjoxfQ=="}
    assert request_json(rpc, message({"httpBody": inner}, is_xai=False)) == b'{"a":1}'
    assert response_json(rpc, message(inner, is_xai=False)) == b'{"a":1}'


def test_a_proto_plus_message_is_looked_into() -> None:
    class Plus:
        @staticmethod
        def pb(_: Plus) -> Any:
            return message({"candidates": []}, is_xai=False)

    assert response_json(method(GENERATE), Plus()) == b'{"candidates":[]}'
