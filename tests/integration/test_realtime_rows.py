"""Two hundred sessions over real WebSockets, through the hooks and the daemon: one right row for each response.

`python -m pytest -s tests/integration/test_realtime_rows.py` prints how many sessions and rows are right.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

import llmledger
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.realtime import KINDS, SESSIONS, Expected, session
from tests.helpers.scrape import scrape
from tests.helpers.waiting import until

PROVIDERS = sorted({provider for provider, *_ in KINDS})


def _played(connection: ServerConnection) -> None:
    """Play the provider's part of the session whose number begins the path."""
    assert connection.request is not None
    number = connection.request.path.split("/")[1]
    for said in session(int(number)).said:
        if said.is_sent:
            connection.recv()
        else:
            connection.send(json.dumps(said.message))


@contextmanager
def _served() -> Iterator[str]:
    with serve(_played, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(10)


def _talked(number: int, host: str) -> None:
    """Take the application's part of a session."""
    one = session(number)
    path = one.url.removeprefix("wss://").partition("/")[2]
    with llmledger.context(step_id=str(number)), connect(f"ws://{host}/{number}/{path}?{one.query}") as talk:
        for said in one.said:
            if said.is_sent:
                talk.send(json.dumps(said.message))
            else:
                talk.recv()


def _rows(url: str) -> list[dict[str, Any]]:
    store = Store(url)
    try:
        return list(store.query("SELECT * FROM llm_traces"))
    finally:
        store.close()


def _said(row: dict[str, Any]) -> str:
    is_known = row["usage_source"] != "unknown"
    counts = (row["prompt_tokens"], row["completion_tokens"], row["cached_input_tokens"] or 0)
    return str((row["outcome"], row["model"], row["provider"], counts if is_known else None))


def _worth(one: Expected, model: str, provider: str) -> str:
    counts = None if one.prompt is None else (one.prompt, one.completion, one.cached or 0)
    return str((one.outcome or "ok", model, provider, counts))


@pytest.mark.slow
def test_two_hundred_sessions_become_one_right_row_for_each_response(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon, ExitStack() as servers:
        hosts = {provider: servers.enter_context(_served()) for provider in PROVIDERS}
        client = llmledger.TraceClient(daemon.socket)
        llmledger.instrument(hosts={host: provider for provider, host in hosts.items()}, client=client)
        try:
            for number in range(SESSIONS):
                _talked(number, hosts[session(number).provider])
        finally:
            llmledger.uninstrument()
        assert client.close(60)
        admin = daemon.folder / "admin.sock"
        until(lambda: scrape(admin).of_store("waiting_lines") == 0, limit=120)
        scrape(admin).check_identity()
        assert daemon.terminate() == 0
        found: dict[str, list[str]] = {}
        for row in _rows(daemon.url):
            found.setdefault(row["step_id"], []).append(_said(row))
    wrong = []
    for number in range(SESSIONS):
        one = session(number)
        expected = sorted(_worth(part, one.model, one.provider) for part in one.expected)
        if sorted(found.get(str(number), [])) != expected:
            wrong.append((number, one.url, found.get(str(number)), expected))
    responses = sum(map(len, found.values()))
    print(f"\n{SESSIONS - len(wrong)} of {SESSIONS} sessions right, {responses} rows")
    assert wrong == []


DIES = """
import sys, llmledger
from websockets.sync.client import connect
host, number = sys.argv[1:]
llmledger.instrument(hosts={host: "openai"})
with connect(f"ws://{host}/{number}/v1/responses") as talk:
    talk.send('{"type":"response.create","model":"gpt-5","input":[]}')
    llmledger.flush(30)
    print("asked", flush=True)
    talk.recv()
    talk.recv(timeout=600)
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """Serve one that answers with the first event of a response, and nothing more."""

    def answer(connection: ServerConnection) -> None:
        connection.recv()
        connection.send('{"type":"response.created","response":{"id":"resp_1"}}')
        for _ in connection:
            pass

    with serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(10)


def test_a_response_is_a_row_although_the_process_is_killed_in_the_middle_of_it(
    tmp_path: Path, server_url: str, silent: str
) -> None:
    with RunningDaemon(tmp_path, url=server_url, settings={"orphan_grace_seconds": 0.1}) as daemon:
        environment = {
            **os.environ,
            "LLMLEDGER_SOCKET": str(daemon.socket),
            "PYTHONPATH": str(ROOT / "client"),
        }
        with subprocess.Popen(
            [sys.executable, "-c", DIES, silent, "0"], env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            process.send_signal(signal.SIGKILL)
        until(lambda: scrape(daemon.folder / "admin.sock")("abandoned_calls_total") == 1, limit=30)
        assert daemon.terminate() == 0
        (row,) = _rows(daemon.url)
    assert (row["outcome"], row["usage_source"], row["model"]) == ("abandoned", "unknown", "gpt-5")
    assert row["cost_usd"] is None
