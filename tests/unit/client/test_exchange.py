"""An exchange is recorded once, whatever ends it, and says what it was."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from llmledger import context
from llmledger.harmless import harmless_headers
from llmledger.instrumentation import bodies, exchange
from llmledger.instrumentation.exchange import Begin, Exchange, record_open
from llmledger.instrumentation.recognize import Call
from llmledger.instrumentation.safety import faults
from tests.helpers.captured import Captured

CHAT = Call("openai", "", False)
URL = "https://user:secret@api.openai.com/v1/chat/completions?key=secret"
SSE = [("content-type", "text/event-stream; charset=utf-8")]
JSON = [("Content-Type", "application/json"), ("X-Request-Id", "req-1"), ("set-cookie", "secret")]
FIRST = b'data: {"choices":[]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def client() -> Captured:
    return Captured()


@pytest.fixture
def begun(client: Captured) -> Callable[..., Exchange]:
    def begin(
        body: bytes | None = b'{"model":"m","stream":true}', call: Call = CHAT, begin: Begin = False
    ) -> Exchange:
        made = Exchange(call, url=URL, client=client, begin=begin)
        made.requested(body, "application/json")
        return made

    return begin


Begun = Callable[..., Exchange]


def test_a_call_that_returns_is_recorded_as_it_passed(client: Captured, begun: Begun) -> None:
    call = begun(b'{"model": "m"}')
    call.answered(200, JSON)
    call.received(b'{"usage":')
    call.received(b" {}}")
    call.finished()
    record = client.record_of()
    assert record["request"] == b'{"model": "m"}'
    assert record["response"] == b'{"usage": {}}'
    assert record["provider"] == "openai"
    assert record["status_code"] == 200
    assert record["url"] == "https://api.openai.com/v1/chat/completions"
    assert record["response_headers"] == {"content-type": "application/json", "x-request-id": "req-1"}
    assert record["latency_ms"] >= 0
    assert record.keys().isdisjoint({"outcome", "error", "response_stream", "time_to_first_token_ms"})


def test_a_single_piece_is_referred_to_and_not_copied(client: Captured, begun: Begun) -> None:
    body = b'{"a":1}'
    call = begun()
    call.answered(200, JSON)
    call.received(body)
    call.finished()
    assert client.record_of()["response"] is body


def test_a_stream_has_a_first_token(client: Captured, begun: Begun) -> None:
    call = begun()
    call.answered(200, SSE)
    call.received(FIRST)
    call.received(DONE)
    call.finished()
    record = client.record_of()
    assert record["response_stream"] == FIRST + DONE
    assert 0 <= record["time_to_first_token_ms"] <= record["latency_ms"]
    assert "outcome" not in record, "the daemon reads the outcome out of the stream"


def test_only_the_first_ending_counts(client: Captured, begun: Begun) -> None:
    call = begun()
    call.answered(200, JSON)
    call.finished()
    call.failed(OSError())
    call.closed()
    del call
    gc.collect()
    assert "outcome" not in client.record_of()


def test_an_exception_is_an_error_of_its_class(client: Captured, begun: Begun) -> None:
    begun().failed(TimeoutError("too slow"))
    record = client.record_of()
    assert (record["outcome"], record["error_type"], record["error"]) == ("error", "TimeoutError", "too slow")
    assert "response" not in record


def test_an_exceptions_class_with_what_was_sent_in_its_name_is_its_base(client: Captured) -> None:
    headers = {"x-api-key": "Zx81Kq7vWnB42pLmT"}
    exchange = Exchange(Call("openai", "", False), url="http://h/v1", headers=headers, client=client)
    exchange.failed(type("NoZx81Kq7vWnB42pLmT", (ValueError,), {})("x"))
    assert client.record_of()["error_type"] == "ValueError"


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit(), SystemExit()]
)
def test_what_is_no_exception_is_a_cancellation(client: Captured, begun: Begun, error: BaseException) -> None:
    begun().failed(error)
    record = client.record_of()
    assert record["outcome"] == "cancelled"
    assert "error" not in record


def test_a_stream_closed_half_way_is_cancelled_and_keeps_what_came(client: Captured, begun: Begun) -> None:
    call = begun()
    call.answered(200, SSE)
    call.received(FIRST)
    call.closed()
    record = client.record_of()
    assert (record["outcome"], record["response_stream"]) == ("cancelled", FIRST)


@pytest.mark.parametrize(
    "last",
    [
        b"data: [DONE]\n\n",
        b"data: [DONE]",
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        b'event: response.completed\r\ndata: {"type":"response.completed","response":{"a":"'
        + b"x" * 9000
        + b'"}}\r\n\r\n',
        b'data: {"type": "response.incomplete"}\n\n',
        b'event: message-end\ndata: {"type":"message-end"}\n\n',
        b'{"model":"m","done":true,"eval_count":3}\n',
        b'data: {"error":{"message":"overloaded"}}\n\n',
        b"data: [DONE]\n\n: bye\n\n",
    ],
)
def test_a_stream_closed_after_its_last_word_is_whole(client: Captured, begun: Begun, last: bytes) -> None:
    call = begun()
    call.answered(200, SSE)
    call.received(FIRST)
    call.received(last)
    call.closed()
    assert "outcome" not in client.record_of()


def test_a_models_text_is_no_last_word(client: Captured, begun: Begun) -> None:
    call = begun()
    call.answered(200, SSE)
    call.received(rb'data: {"text":"\ndata: [DONE]\n\nevent: message_stop"}' + b"\n\n")
    call.closed()
    assert client.record_of()["outcome"] == "cancelled"


def test_a_status_is_the_outcome_though_nobody_read_the_page(client: Captured, begun: Begun) -> None:
    call = begun()
    call.answered(503, JSON)
    call.closed()
    record = client.record_of()
    assert record["status_code"] == 503
    assert "outcome" not in record


def test_an_error_to_a_streamed_request_is_json(client: Captured, begun: Begun) -> None:
    call = begun(call=Call("google", "", True))
    call.answered(429, JSON)
    call.received(b'{"error":{}}')
    call.finished()
    assert client.record_of()["response"] == b'{"error":{}}'


def test_an_array_streamed_as_json_is_a_stream_where_the_path_says_so(client: Captured, begun: Begun) -> None:
    call = begun(call=Call("google", "", True))
    call.answered(200, JSON)
    call.received(b"[{},{}]")
    call.finished()
    assert client.record_of()["response_stream"] == b"[{},{}]"


def test_an_exchange_that_is_forgotten_is_cancelled(client: Captured, begun: Begun) -> None:
    call = begun()
    call.answered(200, SSE)
    del call
    gc.collect()
    assert client.record_of()["outcome"] == "cancelled"


def test_what_is_open_when_the_process_ends_is_cancelled(client: Captured, begun: Begun) -> None:
    open_one, finished = begun(), begun()
    finished.finished()
    record_open()
    open_one.finished()
    assert [record.get("outcome") for record in client.records()] == [None, "cancelled"]


def test_a_forked_child_leaves_its_parents_exchanges_alone(client: Captured, begun: Begun) -> None:
    call = begun()
    child = os.fork()
    if child == 0:
        call.finished()
        os._exit(len(client.records()))
    assert os.waitpid(child, 0)[1] == 0
    call.finished()
    assert len(client.records()) == 1


def test_threads_that_end_it_at_once_record_it_once(client: Captured, begun: Begun) -> None:
    for _ in range(50):
        call = begun()
        gate = threading.Barrier(3)
        endings: tuple[Callable[[], Any], ...] = (call.finished, call.closed, lambda: call.failed(OSError()))  # noqa: B023 - joined before the next turn
        threads = [
            threading.Thread(target=lambda end: (gate.wait(), end()), args=(ending,))  # noqa: B023 - joined before the next turn
            for ending in endings
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(client.records()) == 50


def test_the_context_of_the_beginning_is_recorded(client: Captured, begun: Begun) -> None:
    with context(org_id="acme", call_type="summarization"):
        call = begun(call=Call("openai", "embedding", False))
    with context(org_id="somebody-else"):
        call.finished()
    record = client.record_of()
    assert (record["org_id"], record["type"]) == ("acme", "summarization")


def test_the_kind_of_call_is_inferred_where_the_context_says_none(client: Captured, begun: Begun) -> None:
    begun(call=Call("openai", "embedding", False)).finished()
    assert client.record_of()["type"] == "embedding"


@pytest.mark.parametrize(
    ("begin", "body", "call", "is_announced"),
    [
        ("streams", b'{"model":"m","stream":true}', CHAT, True),
        ("streams", b'{"model":"m","stream":false}', CHAT, False),
        ("streams", b'{"model":"m"}', CHAT, False),
        ("streams", b'{"messages":["\\"stream\\": true"]}', CHAT, False),
        ("streams", b"{}", Call("google", "", True), True),
        ("streams", b"no json", CHAT, False),
        ("streams", None, CHAT, False),
        (True, b'{"model":"m"}', CHAT, True),
        (False, b'{"model":"m","stream":true}', CHAT, False),
    ],
)
def test_a_call_is_announced_where_that_is_asked_for(
    client: Captured, begun: Begun, begin: Begin, body: bytes | None, call: Call, is_announced: bool
) -> None:
    begun(body, call, begin).finished()
    assert len(client.begins()) == is_announced
    assert [kind for kind, _ in client.lines][-1] == "record"


def test_an_announcement_has_the_id_of_its_record_and_no_payload(client: Captured, begun: Begun) -> None:
    begun(begin=True).finished()
    (announced,) = client.begins()
    record = client.record_of()
    assert announced["provider_trace_id"] == record["provider_trace_id"]
    assert announced["timestamp"] == record["timestamp"]
    assert announced["model"] == "m"
    assert "request" not in announced


def test_an_upload_is_described_and_not_recorded(client: Captured) -> None:
    call = Exchange(Call("openai", "transcription", False), url=URL, client=client)
    call.requested(b"\x00\x01", "multipart/form-data; boundary=x", 2)
    call.answered(200, [("content-type", "audio/mpeg")])
    call.received(b"\xff\xfb\x90")
    call.finished()
    record = client.record_of()
    assert record["request"] == {"content_type": "multipart/form-data; boundary=x", "bytes": 2}
    assert record["response"] == {"content_type": "audio/mpeg", "bytes": 3}


def test_a_body_over_the_limit_is_described_and_not_kept(
    client: Captured, begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_BODY_BYTES", 10)
    call = begun(b'{"a":"0123456789"}')
    call.answered(200, SSE)
    for _ in range(4):
        call.received(b"01234")
    assert call._pieces == []
    call.closed()
    record = client.record_of()
    assert record["request"] == {"content_type": "application/json", "bytes": 18}
    assert record["response"] == {"content_type": SSE[0][1], "bytes": 20}
    assert record["outcome"] == "cancelled"


def test_a_body_that_the_application_decodes_is_decoded_for_the_record(
    client: Captured, begun: Begun
) -> None:
    call = begun()
    call.answered(200, JSON)
    call.touched()
    call.decode_rest = lambda: b'{"decoded":1}'
    call.finished()
    assert client.record_of()["response"] == b'{"decoded":1}'


def test_a_fault_of_ours_never_reaches_the_application(
    begun: Begun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(exchange, "harmless_headers", broken)
    for _ in range(3):
        begun().answered(200, JSON)
    assert faults.pop("Exchange.answered") == 3
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Authorization", False),
        ("api-key", False),
        ("set-cookie", False),
        ("x-amz-security-token", False),
        ("x-something-new", False),
        ("x-ratelimit-remaining-tokens", True),
        ("anthropic-ratelimit-input-tokens-remaining", True),
        ("X-Amzn-Bedrock-Input-Token-Count", True),
        ("retry-after", True),
    ],
)
def test_only_harmless_headers_are_recorded(given: str, kept: bool) -> None:
    assert bool(harmless_headers([(given, "1")])) is kept
