"""Responses in the messages of a WebSocket: one record each, with the provider's own usage."""

from __future__ import annotations

import json
from typing import Any

import pytest

import llmledger
from llmledger.instrumentation.conversation import Conversation, is_conversation
from llmledgerd.usage import Exchange, read_exchange

USAGE = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {"text_tokens": 12, "audio_tokens": 8, "cached_tokens": 4},
    "output_token_details": {"text_tokens": 4, "audio_tokens": 6},
}


def made(
    query: str = "model=gpt-realtime", path: str = "realtime"
) -> tuple[Conversation, list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []
    return Conversation("openai", f"wss://api.openai.com/v1/{path}", query, found.append), found


def event(kind: str, **more: Any) -> str:
    return json.dumps({"type": kind, **more})


def realtime(talk: Conversation, name: str, status: str, now: float) -> None:
    talk.received(event("response.created", response={"id": name}), now)
    talk.received(event("response.output_audio.delta", response_id=name, delta="AAAA"), now + 1)
    usage = USAGE if status != "failed" else None
    talk.received(event("response.done", response={"id": name, "status": status, "usage": usage}), now + 2)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/v1/realtime?model=m", True),
        ("/openai/realtime", True),
        ("/v1/responses", True),
        ("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", True),
        ("/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained", True),
        ("/v1/realtime/client_secrets", False),
        ("/socket", False),
    ],
)
def test_a_models_websocket_is_known_by_its_path(path: str, is_one: bool) -> None:
    assert is_conversation(path) is is_one


def test_a_response_is_a_record_that_the_daemon_reads() -> None:
    talk, found = made()
    realtime(talk, "resp_1", "completed", 10.0)
    talk.closed(20.0)
    (record,) = found
    assert (record["model"], record["latency_ms"], record["time_to_first_token_ms"]) == (
        "gpt-realtime",
        2000,
        1000,
    )
    assert record.keys().isdisjoint({"outcome", "response_id"})
    facts = read_exchange(Exchange(url=record["url"], response=record["response"]))
    assert (facts.prompt_tokens, facts.completion_tokens, facts.cached_input_tokens) == (20, 10, 4)


def test_responses_over_websocket_keep_request_and_response() -> None:
    talk, found = made("", "responses")
    asked = event("response.create", model="gpt-5", input="hi", previous_response_id="resp_0")
    talk.sent(asked, 0.0)
    talk.received(event("response.created", response={"id": "resp_1"}), 1.0)
    talk.received(event("response.output_text.delta", delta="a"), 2.0)
    whole = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "gpt-5",
        "usage": {"input_tokens": 3},
    }
    talk.received(event("response.completed", response=whole), 3.0)
    (record,) = found
    assert record["request"] == asked.encode()
    assert json.loads(record["response"]) == whole
    assert (record["time_to_first_token_ms"], record["latency_ms"]) == (2000, 3000)


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_a_turn_of_gemini_live_is_a_record(is_interrupted: bool) -> None:
    talk, found = made("")
    talk.sent(json.dumps({"setup": {"model": "models/gemini-live"}}), 0.0)
    talk.received(b'{"setupComplete":{}}', 0.0)
    talk.received(json.dumps({"serverContent": {"modelTurn": {"parts": []}}}).encode(), 1.0)
    if is_interrupted:
        talk.received(b'{"serverContent":{"interrupted":true}}', 2.0)
    last = {
        "serverContent": {"turnComplete": True},
        "usageMetadata": {"promptTokenCount": 3, "responseTokenCount": 4},
    }
    talk.received(json.dumps(last), 3.0)
    talk.closed(4.0)
    (record,) = found
    assert record["model"] == "gemini-live"
    assert record.get("outcome") == ("cancelled" if is_interrupted else None)
    facts = read_exchange(Exchange(response=record["response"]))
    assert (facts.prompt_tokens, facts.completion_tokens) == (3, 4)


@pytest.mark.parametrize(
    "message", ["", "{", "[]", b"\x00\xff", '{"type":3}', '{"type":"response.done","response":3}']
)
def test_whatever_comes_raises_nothing(message: str | bytes) -> None:
    talk, _ = made()
    talk.sent(message, 0.0)
    talk.received(message, 1.0)
    talk.closed(2.0)


def test_a_response_belongs_to_the_context_in_which_it_was_asked_for() -> None:
    talk, found = made("", "responses")
    for name in ("one", "two"):
        with llmledger.context(step_id=name):
            talk.sent(event("response.create", stream_id=name), 0.0)
    for name in ("two", "one"):
        talk.received(event("response.created", stream_id=name, response={"id": name}), 1.0)
        talk.received(
            event("response.completed", stream_id=name, response={"id": name, "status": "completed"}), 2.0
        )
    assert [record["step_id"] for record in found] == ["two", "one"]
    assert [json.loads(record["request"])["stream_id"] for record in found] == ["two", "one"]


def test_a_call_is_announced_before_its_response_and_recorded_under_the_same_id() -> None:
    found: list[dict[str, Any]] = []
    begun: list[dict[str, Any]] = []
    talk = Conversation("openai", "wss://api.openai.com/v1/responses", "", found.append, begun.append)
    talk.sent(event("response.create", model="gpt-5", input="secret"), 0.0)
    (announced,) = begun
    assert (announced["model"], announced["provider"]) == ("gpt-5", "openai")
    assert "request" not in announced
    talk.received(event("error", status=429, error={"type": "rate_limit_error"}), 1.0)
    assert (found[0]["provider_trace_id"], found[0]["status_code"]) == (announced["provider_trace_id"], 429)
    talk.closed(2.0)
    assert len(begun) == len(found) == 1
