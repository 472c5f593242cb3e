"""What ``instrument`` records without a provider is said once."""

from __future__ import annotations

import logging

import pytest

from llmledger.instrumentation.advice import MOST_HOSTS, Advice
from llmledger.instrumentation.hook import Hook
from llmledger.instrumentation.patches import Patches
from llmledger.instrumentation.recognize import Hosts


def test_calls_without_a_provider_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook(hosts=Hosts(["gateway.internal"]), client=None, begin=False, patches=Patches())
    for _ in range(3):
        assert hook.recognize("POST", "gateway.internal", 443, "/v1/chat/completions") is not None
    (said,) = caplog.messages
    assert "cost is unknown" in said


def test_hosts_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    advice = Advice()
    for number in range(MOST_HOSTS + 5):
        advice.no_provider(f"h{number}")
    assert len(caplog.messages) == MOST_HOSTS


def test_a_handler_that_raises_is_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(logging.getLogger("llmledger"), "warning", fail)
    Advice().no_provider("h")
