"""Which exchanges with unknown hosts look like LLM calls, and how they are reported."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Patches
from llmledger.instrumentation.recognize import Call, Hosts
from llmledger.instrumentation.unknown_hosts import MOST_HOSTS, UnknownHosts, looks_like_call, may_be_call
from tests.helpers.captured import Captured

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
PATH = "/team/v1/chat/completions"

CALLS: list[Any] = [
    CHAT,
    CHAT.decode(),
    {"model": "m", "input": "hi"},
    b'{"anthropic_version":"x","messages":[{"role":"user","content":"hi"}]}',
    b'{"contents":[{"parts":[]}]}',
    b'{"model":"m","query":"q","documents":["d"]}',
    b'{"model":"m","prompt":"p"}',
]
OTHERS: list[Any] = [
    None,
    b"",
    b"{",
    b"[]",
    b'{"messages":[{"id":1}]}',
    b'{"channel":"c","messages":["hi"]}',
    b'{"input":"hi"}',
    b'{"model":{"id":1},"input":"hi"}',
    b"\xff\xfe",
    b'{"messages":"hi","model":"m"}',
    {"text": "hi"},
    iter([CHAT]),
]


@pytest.mark.parametrize("body", CALLS)
def test_a_body_with_a_model_and_what_to_answer_is_a_call(body: Any) -> None:
    assert looks_like_call(body)


@pytest.mark.parametrize("body", OTHERS)
def test_any_other_body_is_not(body: Any) -> None:
    assert not looks_like_call(body)


def test_the_path_ends_like_a_providers() -> None:
    assert may_be_call("POST", PATH)
    assert may_be_call("POST", "/v1beta/models/m:streamGenerateContent")
    assert not may_be_call("GET", PATH)
    assert not may_be_call("POST", "/v1/orders")


@pytest.fixture
def client() -> Iterator[Captured]:
    captured = Captured()
    captured.begin_anew()  # so that it takes reports; nothing is sent to a socket that is not there
    yield captured
    captured.close(0.0)


def recognized(
    hook: Hook, host: str = "llm.example", body: Any = CHAT, port: int | None = None
) -> Call | None:
    return hook.recognize("POST", host, port, PATH, lambda: body)


def hook_of(client: Captured, *, records_unknown: bool = False) -> Hook:
    return Hook(Hosts(), client, False, Patches(), records_unknown=records_unknown)


def test_such_a_call_is_counted_and_logged_once(client: Captured, caplog: pytest.LogCaptureFixture) -> None:
    hook = hook_of(client)
    with caplog.at_level(logging.WARNING, "llmledger"):
        for _ in range(3):
            assert recognized(hook) is None
        assert recognized(hook, "gw.example", port=8443) is None
    assert client.stats().unrecorded == {"unknown_host:llm.example": 3, "unknown_host:gw.example:8443": 1}
    assert client.stats().lost == {}
    told = [record.getMessage() for record in caplog.records if "look like" in record.getMessage()]
    assert len(told) == 2
    assert PATH not in "".join(told)


def test_another_exchange_is_not_counted_and_its_body_not_read(client: Captured) -> None:
    hook = hook_of(client)

    def unread() -> bytes:
        raise AssertionError

    assert hook.recognize("POST", "llm.example", None, "/orders", unread) is None
    assert hook.recognize("GET", "llm.example", None, PATH, unread) is None
    assert recognized(hook, body=b'{"a":1}') is None
    assert hook.recognize("POST", "api.openai.com", None, "/v1/conversations", unread) is None
    assert client.stats().unrecorded == {}


def test_it_is_recorded_where_that_was_chosen(client: Captured) -> None:
    assert recognized(hook_of(client, records_unknown=True)) == Call("", "", False)
    assert client.stats().unrecorded == {}


def test_any_number_of_hosts_takes_bounded_memory() -> None:
    unknown = UnknownHosts()
    reasons = {unknown.met(f"h{number}.example", None) for number in range(3 * MOST_HOSTS)}
    assert "unknown_host" in reasons
    assert len(reasons) == MOST_HOSTS + 1


def test_a_host_that_is_none_is_not_named() -> None:
    assert UnknownHosts().met("user:pass@h/path?key=1", None) == "unknown_host"
