"""Switching it on and off, and what is open when the process ends."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
import logging
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

import llmledger
from llmledger.instrumentation import bodies
from llmledger.instrumentation.safety import faults
from llmledger.instrumentation.switch import LIBRARIES
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
    hooked = llmledger.instrument(hosts={providers.host: "stand-in"}, client=made)
    assert hooked[: len(LIBRARIES)] == list(LIBRARIES)  # behind them, what other tests have imported
    yield made
    llmledger.uninstrument()
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
    llmledger.instrument()
    llmledger.instrument()
    assert all(now is not then for now, then in zip(_methods(), before, strict=True))
    assert [inspect.iscoroutinefunction(one) for one in _methods()] == [
        inspect.iscoroutinefunction(one) for one in before
    ]
    llmledger.uninstrument()
    assert _methods() == before
    llmledger.uninstrument()


def test_who_wrapped_us_is_left_in_place_and_then_sees_the_original(
    client: Captured, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = httpx.Client._send_single_request

    def theirs(self: Any, request: Any) -> Any:
        return ours(self, request)

    monkeypatch.setattr(httpx.Client, "_send_single_request", theirs)
    llmledger.uninstrument()
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
        assert llmledger.instrument()[:4] == ["httpx2", "aiohttp", "urllib3", "websockets"]
    finally:
        llmledger.uninstrument()


LEAVES_A_STREAM_OPEN = """
    import multiprocessing, sys, httpx, llmledger

    def leave_open():
        global answer, pieces
        session = httpx.Client()
        request = session.build_request(
            "POST", f"http://{sys.argv[1]}/v1/chat/completions", json={"model": "hang", "stream": True}
        )
        answer = session.send(request, stream=True)
        pieces = answer.iter_bytes()
        next(pieces)

    llmledger.instrument(hosts=[sys.argv[1]])
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
        result = subprocess.run(command, env={"LLMLEDGER_SOCKET": str(daemon.path)}, check=False)
        assert result.returncode == 3
        (record,) = daemon.records()
    assert (record["outcome"], record["request"]["model"]) == ("cancelled", "hang")
    assert daemon.controls("begin")[0]["provider_trace_id"] == record["provider_trace_id"]
    assert daemon.controls("end") == [{"taken": 1}]


DISABLED = """
    import importlib, sys, threading
    import aiohttp, httpx, httpx2, urllib3

    places = [
        (httpx.Client, "_send_single_request"), (httpx.AsyncClient, "_send_single_request"),
        (httpx2.Client, "_send_single_request"), (httpx2.AsyncClient, "_send_single_request"),
        (aiohttp.ClientSession, "_request"), (aiohttp.ClientRequest, "__init__"),
        (urllib3.connectionpool.HTTPConnectionPool, "_make_request"),
    ]
    before = [vars(owner)[name] for owner, name in places]
    import llmledger
    loaded = set(sys.modules)
    assert llmledger.instrument(hosts=["localhost", "", 3]) == []
    assert not llmledger.record(model="m")
    assert not llmledger.begin(provider_trace_id="x")
    with llmledger.context(org_id="acme"):
        assert llmledger.flush() and llmledger.stats().records == 0
    llmledger.uninstrument()
    assert all(vars(owner)[name] is was for (owner, name), was in zip(places, before))
    assert threading.active_count() == 1
    assert not {name for name in set(sys.modules) - loaded if name.startswith("llmledger")}
    assert llmledger.close()
"""


def test_switched_off_by_the_environment_nothing_is_hooked_started_or_imported(tmp_path: Path) -> None:
    environment = {"LLMLEDGER_DISABLED": "1", "LLMLEDGER_SOCKET": str(tmp_path / "nowhere")}
    subprocess.run([sys.executable, "-c", textwrap.dedent(DISABLED)], env=environment, check=True)


def test_a_fault_is_logged_without_what_the_exception_says(
    client: Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults.clear()
    monkeypatch.setattr(aiohttp.ClientSession, "_build_url", _refuses)
    with pytest.raises(ValueError, match="sk-secret"):
        asyncio.run(_post("http://h/v1/chat/completions?key=sk-secret"))
    (record,) = caplog.records
    text = logging.Formatter().format(record)
    assert "_begin failed with ValueError" in text
    assert "_build_url" in text
    assert "sk-secret" not in text
    faults.clear()


def test_a_log_handler_that_raises_harms_no_call(
    client: Captured, providers: Providers, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise ZeroDivisionError

    broken = Broken()
    logging.getLogger("llmledger").addFilter(broken)
    monkeypatch.setattr(bodies, "recorded_url", _refuses)
    try:
        assert httpx.post(providers.url + PATH, json={"model": "m"}).status_code == 200
    finally:
        logging.getLogger("llmledger").removeFilter(broken)
    assert client.lines == []
    assert faults
    faults.clear()


def _refuses(*arguments: Any) -> Any:
    raise ValueError(f"no {arguments}")


async def _post(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        await session.post(url)


def test_an_import_that_switches_it_on_again_is_no_deadlock(
    client: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module
    nested: list[str] = []

    def importing(name: str, *args: Any) -> Any:
        if name == "httpx" and not nested:
            nested.append(name)
            llmledger.instrument(client=client)
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", importing)
    assert llmledger.instrument(client=client)[: len(LIBRARIES)] == list(LIBRARIES)
    assert nested


def test_an_exchange_that_is_closed_in_another_context_raises_nothing(
    client: Captured, providers: Providers
) -> None:
    transport = httpx.MockTransport(_never)

    def begin() -> Any:
        session = httpx.AsyncClient(transport=transport)
        running = session.post(providers.url + PATH, json={"model": "m"})
        running.send(None)
        return running

    contextvars.copy_context().run(begin).close()
    assert client.record_of()["outcome"] == "cancelled"


async def _never(_: httpx.Request) -> httpx.Response:
    await _Never()
    raise AssertionError


class _Never:
    def __await__(self) -> Any:
        yield
