"""Switching it on and off, and what is open when the process ends."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
import urllib3

import llmtrace
from llmtrace.instrumentation.safety import faults
from llmtrace.instrumentation.switch import LIBRARIES
from tests.helpers.captured import Captured
from tests.helpers.fake_daemon import FakeDaemon
from tests.helpers.providers import Providers

PATH = "/v1/chat/completions"
HTTPX = [httpx, httpx2]


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    with Providers() as running:
        yield running


@pytest.fixture
def client(providers: Providers) -> Iterator[Captured]:
    made = Captured()
    assert llmtrace.instrument(hosts={providers.host: "stand-in"}, client=made) == list(LIBRARIES)
    yield made
    llmtrace.uninstrument()
    assert not faults


def _methods() -> list[Any]:
    return [
        *(kind._send_single_request for library in HTTPX for kind in (library.Client, library.AsyncClient)),
        aiohttp.ClientSession.__dict__["_request"],
        aiohttp.ClientRequest.__dict__["__init__"],
        urllib3.connectionpool.HTTPConnectionPool.__dict__["_make_request"],
    ]


def test_uninstrument_restores_exactly() -> None:
    before = _methods()
    llmtrace.instrument()
    llmtrace.instrument()
    assert all(now is not then for now, then in zip(_methods(), before, strict=True))
    assert [inspect.iscoroutinefunction(one) for one in _methods()] == [
        inspect.iscoroutinefunction(one) for one in before
    ]
    llmtrace.uninstrument()
    assert _methods() == before
    llmtrace.uninstrument()


def test_who_wrapped_us_is_left_in_place_and_then_sees_the_original(
    client: Captured, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = httpx.Client._send_single_request

    def theirs(self: Any, request: Any) -> Any:
        return ours(self, request)

    monkeypatch.setattr(httpx.Client, "_send_single_request", theirs)
    llmtrace.uninstrument()
    assert httpx.Client._send_single_request is theirs
    httpx.post(providers.url + PATH, json={"model": "m"})
    assert client.lines == []


def test_a_library_that_is_not_there_is_not_hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without_httpx(name: str, *args: Any) -> Any:
        if name == "httpx":
            raise ModuleNotFoundError(name)
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", without_httpx)
    try:
        assert llmtrace.instrument() == ["httpx2", "aiohttp", "urllib3"]
    finally:
        llmtrace.uninstrument()


LEAVES_A_STREAM_OPEN = """
    import multiprocessing, sys, httpx, llmtrace

    def leave_open():
        global answer, pieces
        session = httpx.Client()
        request = session.build_request(
            "POST", f"http://{sys.argv[1]}/v1/chat/completions", json={"model": "hang", "stream": True}
        )
        answer = session.send(request, stream=True)
        pieces = answer.iter_bytes()
        next(pieces)

    llmtrace.instrument(hosts=[sys.argv[1]])
    if sys.argv[2] == "child":
        child = multiprocessing.get_context("fork").Process(target=leave_open)
        child.start()
        child.join()
    else:
        leave_open()
    sys.exit(3)
"""


@pytest.mark.parametrize("where", ["main", "child"])
def test_a_stream_that_is_open_when_its_process_ends_is_recorded(
    providers: Providers, tmp_path: Path, where: str
) -> None:
    with FakeDaemon(tmp_path / "d.sock") as daemon:
        command = [sys.executable, "-c", textwrap.dedent(LEAVES_A_STREAM_OPEN), providers.host, where]
        result = subprocess.run(command, env={"LLMTRACE_SOCKET": str(daemon.path)}, check=False)
        assert result.returncode == 3
        (record,) = daemon.records()
    assert (record["outcome"], record["request"]["model"]) == ("cancelled", "hang")
    assert daemon.controls("begin")[0]["provider_trace_id"] == record["provider_trace_id"]
    assert daemon.controls("end") == [{"taken": 1}]
