"""Answers that are fetched later: which are calls, under which id, and how often they are recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llmledger import context
from llmledger.instrumentation import fetching
from llmledger.instrumentation.deferred import background, inlined, may_be_results, results
from llmledger.instrumentation.exchange import Begin, Exchange
from llmledger.instrumentation.recognize import Hosts, known_provider
from llmledgerd.usage import Exchange as Exchanged
from llmledgerd.usage import read_exchange
from tests.helpers.captured import Captured
from tests.helpers.waiting import until

HOST = "api.openai.com"
JSON = [("content-type", "application/json")]
TEXT = [("content-type", "application/octet-stream")]
URL = f"https://{HOST}/v1/files/file-1/content"


@pytest.fixture(autouse=True)
def fresh() -> None:
    fetching._recorded.clear()


def response(status: str, *, is_background: bool = True) -> bytes:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7} if status == "completed" else None
    body = {"id": "resp_1", "object": "response", "status": status, "background": is_background, "model": "m"}
    return json.dumps({**body, "created_at": 1760000000, "completed_at": 1760000060, "usage": usage}).encode()


def exchanged(
    client: Captured,
    method: str,
    path: str,
    body: bytes,
    *,
    status: int = 200,
    begin: Begin = "streams",
    host: str = HOST,
) -> None:
    call = Hosts().recognize(method, host, None, path)
    assert call is not None
    made = Exchange(call, url=f"https://{host}{path}", client=client, begin=begin)
    made.requested(b'{"model":"m","background":true}' if method == "POST" else None, "application/json")
    made.answered(status, TEXT if "/files/" in path else JSON)
    made.received(body)
    made.finished()


@pytest.mark.parametrize("begin", [False, True, "streams"])
def test_a_background_response_polled_fifty_times_is_one_call(begin: Begin) -> None:
    client = Captured()
    exchanged(client, "POST", "/v1/responses", response("queued"), begin=begin)
    for number in range(50):
        exchanged(
            client, "GET", "/v1/responses/resp_1", response("in_progress" if number < 48 else "completed")
        )
    record = client.record_of()
    (begun,) = client.begins()
    assert record["provider_trace_id"] == begun["provider_trace_id"]
    assert (record["latency_ms"], record["may_repeat"], record["model"]) == (60_000, True, "m")
    assert record["url"] == f"https://{HOST}/v1/responses"
    assert record["timestamp"].timestamp() == 1760000000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (response("completed", is_background=False), 200),
        (response("in_progress"), 200),
        (b'{"error":{"message":"not found"}}', 404),
        (b"<html>", 200),
    ],
)
def test_a_fetch_without_a_final_background_response_is_no_call(body: bytes, status: int) -> None:
    client = Captured()
    exchanged(client, "GET", "/v1/responses/resp_1", body, status=status)
    assert client.lines == []


def test_a_response_that_is_not_in_the_background_is_recorded_as_ever() -> None:
    client = Captured()
    exchanged(client, "POST", "/v1/responses", response("completed", is_background=False))
    assert "may_repeat" not in client.record_of()
    assert client.begins() == []


def line(number: int) -> dict[str, Any]:
    body = {"id": f"chatcmpl-{number}", "created": 1760000000 + number, "usage": {"prompt_tokens": 1}}
    outer = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": f"batch_req_{number}", "custom_id": f"row-{number}", "response": outer, "error": None}


def test_a_batch_of_a_thousand_lines_fetched_three_times_is_a_thousand_calls() -> None:
    client = Captured()
    file = b"\n".join(json.dumps(line(number)).encode() for number in range(1000)) + b"\n"
    with context(org_id="acme"):
        for _ in range(3):
            exchanged(client, "GET", "/v1/files/file-1/content", file)
            until(lambda: not fetching._threads, limit=30)
    records = client.records()
    assert len(records) == len({one["provider_trace_id"] for one in records}) == 1000
    assert {one["step_id"] for one in records} == {f"row-{number}" for number in range(1000)}
    first = records[0]
    assert json.loads(first["response"])["custom_id"] == first["step_id"]
    assert (first["org_id"], first["provider"], first["may_repeat"]) == ("acme", "openai", True)


def gemini(number: int) -> dict[str, Any]:
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}
    return {
        "candidates": [{"finishReason": "STOP"}],
        "usageMetadata": usage,
        "modelVersion": "gemini-2.5-flash",
    }


def chat(number: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    body = {"id": f"c{number}", "object": "chat.completion", "model": "mistral-small-latest", "usage": usage}
    return {"custom_id": f"row-{number}", "response": {"status_code": 200, "body": body}, "error": None}


def nova(number: int) -> dict[str, Any]:
    usage = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
    output = {"stopReason": "end_turn", "usage": usage}
    return {"modelInput": {"messages": []}, "modelOutput": output, "recordId": f"row-{number}"}


def of_vertex(number: int) -> dict[str, Any]:
    when = "2026-11-01T00:00:00Z"
    return {"status": "", "processed_time": when, "request": {"contents": []}, "response": gemini(number)}


def claude(number: int) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 4, "service_tier": "batch"}
    message = {"id": f"m{number}", "type": "message", "model": "claude-sonnet-4-5", "usage": usage}
    return {"custom_id": f"row-{number}", "result": {"type": "succeeded", "message": message}}


def inlined_by_gemini(count: int) -> bytes:
    entries = [{"response": gemini(number), "metadata": {"key": f"row-{number}"}} for number in range(count)]
    inside = {"inlinedResponses": {"inlinedResponses": entries}}
    return json.dumps({"name": "batches/b1", "metadata": {}, "done": True, "response": inside}).encode()


def inlined_by_mistral(count: int) -> bytes:
    return json.dumps({"id": "j1", "object": "batch", "outputs": list(map(chat, range(count)))}).encode()


def lined(one: Callable[[int], dict[str, Any]]) -> Callable[[int], bytes]:
    return lambda count: b"\n".join(json.dumps(one(number)).encode() for number in range(count)) + b"\n"


VERTEX = lined(of_vertex)
"""Lines without a name: they are called by their numbers."""

BATCHES: list[tuple[str, str, Callable[[int], bytes]]] = [
    ("generativelanguage.googleapis.com", "/v1beta/batches/b1", inlined_by_gemini),
    (
        "generativelanguage.googleapis.com",
        "/download/v1beta/files/f1:download",
        lined(lambda number: {"key": f"row-{number}", "response": gemini(number)}),
    ),
    ("api.mistral.ai", "/v1/batch/jobs/j1", inlined_by_mistral),
    ("api.mistral.ai", "/v1/files/f1/content", lined(chat)),
    ("api.groq.com", "/openai/v1/files/f1/content", lined(chat)),
    ("one.openai.azure.com", "/openai/files/f1/content", lined(chat)),
    ("api.anthropic.com", "/v1/messages/batches/b1/results", lined(claude)),
    ("bucket.s3.us-east-1.amazonaws.com", "/out/job/in.jsonl.out", lined(nova)),
    (
        "storage.googleapis.com",
        "/download/storage/v1/b/b/o/out%2Fprediction-1%2Fpredictions.jsonl",
        VERTEX,
    ),
]


@pytest.mark.parametrize(("host", "path", "made"), BATCHES)
def test_each_providers_batch_fetched_three_times_is_a_thousand_calls_at_batch_price(
    host: str, path: str, made: Callable[[int], bytes]
) -> None:
    client = Captured()
    body = made(1000)
    for _ in range(3):
        exchanged(client, "GET", path, body, host=host)
        until(lambda: not fetching._threads, limit=30)
    records = client.records()
    assert len(records) == len({one["provider_trace_id"] for one in records}) == 1000
    named = "" if made is VERTEX else "row-"
    assert {one["step_id"] for one in records} == {f"{named}{number}" for number in range(1000)}
    storage = {"storage.googleapis.com": "vertex", "bucket.s3.us-east-1.amazonaws.com": "aws"}
    provider = storage.get(host) or known_provider(host, None)
    for record in records[::250]:
        facts = read_exchange(Exchanged(url=record["url"], response=record["response"]))
        assert (facts.prompt_tokens, facts.completion_tokens, facts.is_batch) == (3, 4, True)
        assert (record["provider"], record["may_repeat"], facts.usage_source) == (provider, True, "reported")


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"batches/b1","metadata":{"state":"BATCH_STATE_RUNNING"}}',
        b'{"id":"batch_1","object":"batch","status":"completed","output_file_id":"file-1"}',
        b'{"id":"j1","object":"batch","outputs":null}',
        b"[]",
        b"<html>",
    ],
)
def test_a_batch_without_results_is_no_call(body: bytes) -> None:
    assert list(inlined(URL, body)) == []


def test_a_request_of_geminis_batch_that_failed_is_a_call_with_its_number() -> None:
    entries = [{"error": {"code": 400, "message": "no"}}, {"response": gemini(1)}]
    body = json.dumps({"response": {"inlinedResponses": {"inlinedResponses": entries}}}).encode()
    assert [one["step_id"] for one in inlined(URL, body)] == ["0", "1"]


def test_a_response_that_was_never_fetched_is_pending() -> None:
    client = Captured()
    exchanged(client, "POST", "/v1/responses", response("queued"))
    (begun,) = client.begins()
    assert begun["error_type"] == "pending"


@pytest.mark.parametrize("kind", ["bytes", "text", "object"])
def test_a_background_response_handed_to_record_completes_its_call_once(kind: str) -> None:
    client = Captured()
    exchanged(client, "POST", "/v1/responses", response("queued"))
    body = response("completed")
    handed: Any = {"bytes": body, "text": body.decode(), "object": json.loads(body)}[kind]
    for _ in range(2):
        assert client.record(response=handed)
    exchanged(client, "GET", "/v1/responses/resp_1", body)
    (begun,) = client.begins()
    assert client.record_of()["provider_trace_id"] == begun["provider_trace_id"]


@pytest.mark.parametrize(("state", "outcome"), [("failed", "error"), ("cancelled", "cancelled")])
def test_a_webhook_of_a_response_that_came_to_nothing_completes_its_call(state: str, outcome: str) -> None:
    client = Captured()
    exchanged(client, "POST", "/v1/responses", response("queued"))
    event = {"id": "evt_1", "object": "event", "type": f"response.{state}", "data": {"id": "resp_1"}}
    assert client.record(response=event)
    record = client.record_of()
    assert (record["outcome"], record["provider"]) == (outcome, "openai")
    assert record["provider_trace_id"] == client.begins()[0]["provider_trace_id"]


def test_a_webhook_of_a_complete_response_leaves_the_usage_to_the_response() -> None:
    client = Captured()
    event = b'{"id":"evt_1","object":"event","type":"response.completed","data":{"id":"resp_1"}}'
    assert client.record(response=event)
    assert client.records() == []
    exchanged(client, "GET", "/v1/responses/resp_1", response("completed"))
    assert client.record_of()["provider_trace_id"] == client.begins()[0]["provider_trace_id"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"object":"event","type":"batch.completed","data":{"id":"batch_1"}}',
        b'{"type":"event","background":1}',
        b'{"object":"response","id":"r","background":false}',
        b"data: {}",
    ],
)
def test_any_other_response_is_recorded_as_ever(body: bytes) -> None:
    client = Captured()
    assert client.record(response=body)
    assert "provider_trace_id" not in client.record_of()


def test_the_id_of_a_line_is_the_same_in_every_process() -> None:
    body = json.dumps(line(1)).encode()
    ids = {one["provider_trace_id"] for _ in range(2) for one in results(URL, body)}
    assert len(ids) == 1
    assert ids.isdisjoint(one["provider_trace_id"] for one in results(URL + "2", body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"custom_id":"a","result":{"type":"succeeded","message":{"id":"msg_1"}}}\n',
        b'{"custom_id":"a","result":{"type":"errored","error":{}}}\n',
        b'{"key":"a","response":{"candidates":[]}}\n',
        b'\n{"custom_id":"a","response":null,"error":{"message":"x"}}\n\nnot json\n',
    ],
)
def test_each_providers_line_is_a_call(body: bytes) -> None:
    (found,) = results(URL, body)
    assert found["step_id"] == "a"
    assert may_be_results(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{}}\n',
        b'{"messages":[]}\n{"custom_id":"a","response":{}}',
        b"\x89PNG",
        b"",
        b"a,b\n1,2",
    ],
)
def test_another_file_is_no_call(body: bytes) -> None:
    assert list(results(URL, body)) == []


def test_a_background_response_is_told_from_its_words() -> None:
    assert background(URL, b'{"text":"\\"background\\": true"}') is None
    assert background(URL, b'{"id":"a","object":"list","background":true}') is None
