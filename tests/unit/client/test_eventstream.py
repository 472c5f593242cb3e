"""Amazon's event stream becomes text, and nothing in it raises."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledger.instrumentation.eventstream import rendered
from tests.helpers.eventstreams import event, message


def test_events_become_named_lines() -> None:
    stream = event("messageStart", b'{"role":"assistant"}') + event("metadata", b'{\n"usage": {}}')
    assert rendered(stream) == (
        b'event: messageStart\ndata: {"role":"assistant"}\n\nevent: metadata\ndata: { "usage": {}}\n\n'
    )


def test_a_chunks_inner_bytes_are_decoded() -> None:
    inner = base64.b64encode(b'{"type":"message_stop"}').decode()
    stream = event("chunk", json.dumps({"bytes": inner, "p": "abc"}).encode())
    assert rendered(stream) == b'event: chunk\ndata: {"type":"message_stop"}\n\n'


@pytest.mark.parametrize("payload", [b"{}", b'{"bytes":1}', b'{"bytes":"a"}', b"no json"])
def test_a_chunk_of_another_kind_stays_as_it_is(payload: bytes) -> None:
    assert rendered(event("chunk", payload)) == b"event: chunk\ndata: " + payload + b"\n\n"


def test_an_exception_goes_by_its_name() -> None:
    headers = {":message-type": "exception", ":exception-type": "throttlingException"}
    assert rendered(message(headers, b'{"message":"slow"}')).startswith(b"event: throttlingException\n")
    assert (
        rendered(message({":message-type": "error", ":error-code": "500"}, b""))
        == b"event: error\ndata: {}\n\n"
    )


def test_headers_of_other_types_are_skipped() -> None:
    name = b"\x0b:event-type\x07\x00\x05other"
    flags = b"\x01a\x00" + b"\x01b\x04\x00\x00\x00\x01" + b"\x01c\x06\x00\x02xy"
    whole = message({}, b"{}")
    body = flags + name
    prelude = (len(whole) + len(body)).to_bytes(4) + len(body).to_bytes(4) + b"\0\0\0\0"
    assert rendered(prelude + body + b"{}" + b"\0\0\0\0") == b"event: other\ndata: {}\n\n"


def test_a_cut_stream_is_rendered_up_to_its_last_whole_message() -> None:
    first, second = event("messageStart", b"{}"), event("messageStop", b"{}")
    for length in range(len(second)):
        assert rendered(first + second[:length]) == b"event: messageStart\ndata: {}\n\n"


@given(st.binary())
def test_any_bytes_are_rendered_or_left_out(stream: bytes) -> None:
    assert isinstance(rendered(stream), bytes)
    assert rendered(event("e", b"{}") + stream).startswith(b"event: e\n")


@pytest.mark.skipif("LLMLEDGER_CORPUS" not in os.environ, reason="needs the recorded exchanges")
def test_recorded_streams_are_rendered_as_the_daemon_knows_them() -> None:
    lines = (Path(os.environ["LLMLEDGER_CORPUS"]) / "open.ndjson").read_text().splitlines()
    recorded = [one for one in map(json.loads, lines) if one.get("response_raw_b64")]
    assert recorded
    for one in recorded:
        assert (
            rendered(base64.b64decode(one["response_raw_b64"])).decode().strip()
            == one["response_sse"].strip()
        )
