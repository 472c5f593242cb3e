"""Rows as spans: names, ids, counts, and what is not forwarded."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from llmledgerd.records.schema import COLUMNS
from llmledgerd.stores.collector.spans import encode
from tests.helpers.columns import some
from tests.helpers.otlp_sink import attributes

pytest.importorskip("opentelemetry.proto")

CALL: dict[str, Any] = {
    "id": "call-1",
    "organization_id": "acme",
    "provider": "bedrock",
    "model": "claude-x-1",
    "request_model": "claude-x",
    "outcome": "ok",
    "usage_source": "reported",
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "cached_input_tokens": 0,
    "reasoning_tokens": 7,
    "created_at": 1_780_000_000_000_001,
    "latency_ms": 250,
    "time_to_first_token_ms": 40,
    "cost_usd": Decimal("0.001250000"),
    "url": "https://api.example.com/v1/messages",
    "service": "shop",
    "run_id": "run-7",
    "finish_reason": "stop",
    "agent_tags": ["a", "b"],
}


def row(**values: object) -> tuple[object, ...]:
    own = {**CALL, **values}
    return tuple(own.get(name, some(name)) for name in COLUMNS)


def decoded(*rows: tuple[object, ...], has_content: bool = False) -> Any:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request: Any = ExportTraceServiceRequest()
    request.ParseFromString(bytes(encode(rows, has_content=has_content)))
    return request


def span_of(*, has_content: bool = False, **values: object) -> Any:
    return decoded(row(**values), has_content=has_content).resource_spans[0].scope_spans[0].spans[0]


def test_a_call_is_a_client_span_with_the_names_of_the_conventions() -> None:
    span = span_of()
    assert (span.name, span.kind, span.status.code) == ("chat claude-x", 3, 0)
    assert span.start_time_unix_nano == 1_780_000_000_000_001_000
    assert span.end_time_unix_nano - span.start_time_unix_nano == 250_000_000
    found = attributes(span)
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": "claude-x",
        "gen_ai.response.model": "claude-x-1",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "gen_ai.conversation.id": "run-7",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.04,
        "server.address": "api.example.com",
        "server.port": 443,
        "llmledger.id": "call-1",
        "llmledger.organization_id": "acme",
        "llmledger.outcome": "ok",
        "llmledger.cost_usd": 0.00125,
        "llmledger.tags": ["a", "b"],
    }


def test_usage_that_is_unknown_has_no_counts() -> None:
    assert not any("usage" in name for name in attributes(span_of(usage_source="unknown", prompt_tokens=0)))


def test_a_failed_call_is_an_error_with_its_type_and_message() -> None:
    span = span_of(
        is_error=1, outcome="error", error_type="rate_limit", error_message="slow down", status_code=429
    )
    assert (span.status.code, span.status.message) == (2, "slow down")
    assert attributes(span)["error.type"] == "rate_limit"
    assert attributes(span)["http.response.status_code"] == 429


def test_a_call_is_a_child_of_the_span_that_was_current() -> None:
    span = span_of(trace_id="0af7651916cd43dd8448eb211c80319c", span_id="00f067aa0ba902b7")
    assert span.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert span.parent_span_id.hex() == "00f067aa0ba902b7"
    assert span.span_id not in (bytes(8), span.parent_span_id)


@pytest.mark.parametrize("trace", ["", "not hexadecimal", "0" * 32, "abcd", "é" * 32])
def test_a_call_without_a_trace_is_a_trace_of_its_own(trace: str) -> None:
    span = span_of(trace_id=trace, span_id="00f067aa0ba902b7")
    assert (len(span.trace_id), len(span.span_id), span.parent_span_id) == (16, 8, b"")
    assert any(span.trace_id)


def test_ids_depend_on_the_row_alone_and_differ_between_rows() -> None:
    ids = [(span.trace_id, span.span_id) for span in (span_of(), span_of(latency_ms=1), span_of(id="call-2"))]
    assert ids[0] == ids[1]
    assert ids[2][0] != ids[0][0]
    assert ids[2][1] != ids[0][1]
    assert span_of(organization_id="globex").span_id != span_of().span_id


def test_calls_are_grouped_by_their_service() -> None:
    found = decoded(row(), row(id="b", service="billing"), row(id="c"))
    services = {attributes(group.resource)["service.name"]: group for group in found.resource_spans}
    assert {name: len(group.scope_spans[0].spans) for name, group in services.items()} == {
        "shop": 2,
        "billing": 1,
    }
    assert {group.scope_spans[0].scope.name for group in services.values()} == {"llmledgerd"}


def test_rows_made_of_otlp_and_calls_that_were_given_up_are_left_out_and_named() -> None:
    block = encode(
        [row(source="otlp", batch_row=3), row(batch_row=4), row(outcome="abandoned", batch_row=5)],
        has_content=False,
    )
    assert block.left_out == {3, 5}
    assert block.count(b"call-1") == 1


def test_messages_are_sent_only_where_they_are_wanted() -> None:
    payloads = {
        "request_json": json.dumps(
            {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]}
        ).encode(),
        "response_json": json.dumps(
            {"choices": [{"message": {"role": "assistant", "content": "hi"}}]}
        ).encode(),
    }
    assert b"hello" not in bytes(encode([row(**payloads)], has_content=False))
    found = attributes(span_of(has_content=True, **payloads))
    assert json.loads(found["gen_ai.system_instructions"]) == [{"type": "text", "content": "be brief"}]
    assert json.loads(found["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "hello"}]}
    ]
    assert json.loads(found["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "stop"}
    ]


def test_messages_that_are_too_large_are_left_out_and_named() -> None:
    payload = json.dumps({"messages": [{"role": "user", "content": "x" * (2 << 20)}]}).encode()
    found = attributes(span_of(has_content=True, request_json=payload))
    assert found["llmledger.content_left_out"] == ["gen_ai.input.messages"]
    assert "gen_ai.input.messages" not in found


@pytest.mark.parametrize(
    "payload", [b"not json", b"[", b"\xff\xfe", b"[]" * 3, b'{"messages": 7}', b'"\\ud800"']
)
def test_any_payload_can_be_forwarded(payload: bytes) -> None:
    span_of(has_content=True, request_json=payload, response_json=payload)
