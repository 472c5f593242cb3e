"""The drop-in for senders of today: the same methods, and the record on the wire."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llmledger.legacy import DEFAULT_SOCKET, SocketProviderTraceBackend
from tests.helpers.fake_daemon import FakeDaemon


@dataclass
class User:
    organization_id: str = "org-1"


@dataclass
class Trace:
    """What such applications hand over."""

    id: str = "provider_trace-00000000-0000-4000-8000-000000000001"
    step_id: str = "step-1"
    agent_id: str = "agent-1"
    run_id: str | None = None
    agent_tags: list[str] | None = None
    call_type: str | None = None
    source: str = "tests"
    org_id: str | None = None
    user_id: str = "user-1"
    request_json: dict[str, Any] = field(default_factory=lambda: {"model": "gpt-4o", "messages": []})
    response_json: dict[str, Any] | None = field(
        default_factory=lambda: {"model": "gpt-4o", "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    )
    llm_config: dict[str, Any] | None = field(default_factory=lambda: {"model": "gpt-4o"})
    compaction_settings: dict[str, Any] | None = None


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "d.sock") as running:
        yield running


def written(backend: SocketProviderTraceBackend, daemon: FakeDaemon) -> dict[str, Any]:
    assert backend._client.close(10)
    (record,) = daemon.records()
    return record


def test_it_connects_where_such_senders_always_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMLEDGER_SOCKET", raising=False)
    assert SocketProviderTraceBackend().socket_path == DEFAULT_SOCKET
    monkeypatch.setenv("LLMLEDGER_SOCKET", "/elsewhere")
    assert SocketProviderTraceBackend().socket_path == "/elsewhere"
    assert SocketProviderTraceBackend("/mine").socket_path == "/mine"


async def test_a_trace_is_taken_and_given_back(daemon: FakeDaemon) -> None:
    backend = SocketProviderTraceBackend(str(daemon.path))
    trace = Trace()
    assert await backend.create_async(actor=User(), provider_trace=trace) is trace
    record = written(backend, daemon)
    assert record["provider_trace_id"] == trace.id
    assert (record["request"], record["response"]) == (trace.request_json, trace.response_json)
    assert (record["org_id"], record["type"], record["error"]) == ("org-1", "agent_step", None)


@pytest.mark.parametrize("error", ["overloaded", {"message": "overloaded"}])
def test_an_error_is_said_beside_the_response(daemon: FakeDaemon, error: Any) -> None:
    backend = SocketProviderTraceBackend(str(daemon.path))
    response = {"error": error, "error_type": "OverloadedError"}
    backend.create_sync(User(), Trace(response_json=response, call_type="summarization"))
    record = written(backend, daemon)
    assert (record["error"], record["error_type"]) == ("overloaded", "OverloadedError")
    assert (record["response"], record["type"]) == (response, "summarization")


def test_a_trace_with_fewer_attributes_is_taken_too(daemon: FakeDaemon) -> None:
    backend = SocketProviderTraceBackend(str(daemon.path))
    backend.create_sync(None, type("Old", (), {"id": "provider_trace-1", "request_json": {}})())
    assert written(backend, daemon)["provider_trace_id"] == "provider_trace-1"


async def test_reading_gives_nothing_as_the_class_that_it_replaces_does() -> None:
    assert "get_by_step_id_async" in vars(SocketProviderTraceBackend)
    await SocketProviderTraceBackend().get_by_step_id_async("step-1", User())


def test_the_drop_in_needs_the_client_library_alone() -> None:
    code = (
        "import sys, llmledger.legacy; sys.exit(any(name.startswith('llmledgerd') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
