"""Answers that are fetched later: which are calls, under which id, and how often they are recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmledger import context
from llmledger.instrumentation import fetching
from llmledger.instrumentation.deferred import background, may_be_results, results
from llmledger.instrumentation.exchange import Begin, Exchange
from llmledger.instrumentation.recognize import Hosts
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
    client: Captured, method: str, path: str, body: bytes, *, status: int = 200, begin: Begin = "streams"
) -> None:
    call = Hosts().recognize(method, HOST, None, path)
    assert call is not None
    made = Exchange(call, url=f"https://{HOST}{path}", client=client, begin=begin)
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
