"""What ``instrument`` does not record, or records without a provider, is said once."""

from __future__ import annotations

import logging

import pytest

from llmledger.instrumentation.advice import MOST_HOSTS, MOST_REQUESTS, Advice
from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Patches
from llmledger.instrumentation.recognize import Hosts


def test_a_call_to_an_unknown_host_is_named_once_with_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook(hosts=Hosts(), client=None, begin=False, patches=Patches())
    for _ in range(3):
        assert hook.recognize("POST", "gateway.internal", 443, "/v1/chat/completions") is None
    (said,) = caplog.messages
    assert "gateway.internal" in said
    assert "llmledger.instrument(hosts={'gateway.internal': 'openai'})" in said


def test_calls_without_a_provider_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook(hosts=Hosts(["gateway.internal"]), client=None, begin=False, patches=Patches())
    for _ in range(3):
        assert hook.recognize("POST", "gateway.internal", 443, "/v1/chat/completions") is not None
    (said,) = caplog.messages
    assert "cost is unknown" in said


@pytest.mark.parametrize(
    ("method", "host", "path"),
    [
        ("GET", "a.example", "/v1/chat/completions"),
        ("POST", "a.example", "/2010-04-01/Accounts/x/Messages"),
        ("POST", "a.example", "/api/users"),
        ("POST", "api.openai.com", "/v1/files"),
        ("POST", "api.openai.com", "/v1/chat/completions"),
    ],
)
def test_other_requests_are_not_mentioned(
    method: str, host: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    hook = Hook(hosts=Hosts(), client=None, begin=False, patches=Patches())
    hook.recognize(method, host, 443, path)
    assert caplog.messages == []


def test_hosts_and_requests_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    advice = Advice()
    for number in range(MOST_HOSTS + 5):
        advice.unknown_host("POST", f"h{number}", "/v1/messages")
    assert len(caplog.messages) == MOST_HOSTS
    late = Advice()
    for _ in range(MOST_REQUESTS):
        late.unknown_host("POST", "h", "/other")
    late.unknown_host("POST", "h", "/v1/messages")
    assert len(caplog.messages) == MOST_HOSTS


def test_a_handler_that_raises_is_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(logging.getLogger("llmledger"), "warning", fail)
    Advice().unknown_host("POST", "h", "/v1/messages")
