"""Recording is off in a suite that names the plugin, and as the environment says where it says so."""

from __future__ import annotations

import pytest

import llmledger
from llmledger import pytest_plugin


def test_recording_is_off_between_configure_and_unconfigure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMLEDGER_DISABLED", raising=False)
    pytest_plugin.pytest_configure()
    try:
        assert llmledger.instrument() == []
        assert not llmledger.TraceClient("/nonexistent").record(model="m")
    finally:
        pytest_plugin.pytest_unconfigure()
    client = llmledger.TraceClient("/nonexistent")
    assert client.record(model="m")
    client.close(0.0)


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMLEDGER_DISABLED", "0")
    pytest_plugin.pytest_configure()
    pytest_plugin.pytest_unconfigure()
    client = llmledger.TraceClient("/nonexistent")
    assert client.record(model="m")
    client.close(0.0)
