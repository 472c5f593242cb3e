"""Batches and background responses, fetched again and again by several processes, to one row each in the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import llmledger
from llmledger.instrumentation import fetching
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.daemon import RunningDaemon
from tests.helpers.scrape import scrape
from tests.helpers.waiting import until

LINES = 1000
POLLS = 50

CREATED = 1794873600
"""In November 2026: earlier the price list has no prices of batches."""


def batch_line(number: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    body = {"id": f"c{number}", "created": CREATED, "model": "gpt-4o", "usage": usage}
    return {"custom_id": f"row-{number}", "response": {"status_code": 200, "body": body}, "error": None}


def inlined(number: int) -> dict[str, Any]:
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}
    response = {"candidates": [], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}
    return {"response": response, "metadata": {"key": f"row-{number}"}}


class Provider:
    """Answers as OpenAI and Google would; a background response is complete when it is asked for the last time."""

    def __init__(self) -> None:
        self._polls = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/content"):
            return httpx.Response(
                200, content=b"\n".join(json.dumps(batch_line(n)).encode() for n in range(LINES))
            )
        if "/batches/" in path:
            results = {"inlinedResponses": {"inlinedResponses": list(map(inlined, range(LINES)))}}
            return httpx.Response(200, json={"name": "batches/b", "done": True, "response": results})
        name = path.rpartition("/")[2]
        if name != "responses":
            self._polls += 1
        state = "completed" if self._polls == POLLS else "queued"
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7} if state == "completed" else None
        identity = json.loads(request.content)["input"] if name == "responses" else name
        body = {"id": identity, "object": "response", "background": True, "model": "gpt-5", "status": state}
        return httpx.Response(200, json={**body, "created_at": CREATED, "usage": usage})


@pytest.fixture
def daemon(tmp_path: Path, server_url: str) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path / "d", url=server_url, settings={"orphan_grace_seconds": 0.1}) as running:
        yield running


def in_a_process(daemon: RunningDaemon, work: Callable[[httpx.Client], object], provider: Provider) -> None:
    """Do the work as a process of its own would: with a client, and nothing remembered."""
    fetching._recorded.clear()
    client = llmledger.TraceClient(daemon.socket)
    llmledger.instrument(client=client)
    try:
        with (
            llmledger.context(org_id="acme"),
            httpx.Client(transport=httpx.MockTransport(provider)) as session,
        ):
            work(session)
        until(lambda: not fetching._threads, limit=30)
    finally:
        llmledger.uninstrument()
    assert client.close(30)


def rows(daemon: RunningDaemon) -> list[dict[str, Any]]:
    assert daemon.terminate() == 0
    store = Store(daemon.url)
    try:
        return list(store.query("SELECT * FROM llm_traces"))
    finally:
        store.close()


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1/files/f/content",
        pytest.param("https://generativelanguage.googleapis.com/v1beta/batches/b", marks=pytest.mark.chaos),
    ],
)
def test_a_batch_of_a_thousand_lines_fetched_in_three_processes_is_a_thousand_rows(
    daemon: RunningDaemon, url: str
) -> None:
    provider = Provider()
    for _ in range(3):
        in_a_process(daemon, lambda session: session.get(url), provider)
    found = rows(daemon)
    assert sorted(row["step_id"] for row in found) == sorted(f"row-{number}" for number in range(LINES))
    for row in found:
        assert (row["prompt_tokens"], row["completion_tokens"], row["is_batch"]) == (3, 4, 1)
        assert (row["usage_source"], row["cost_reason"]) == ("reported", "")
        assert row["cost_usd"] > 0


def test_a_background_response_polled_fifty_times_is_one_row_and_one_never_fetched_is_pending(
    daemon: RunningDaemon,
) -> None:
    provider = Provider()
    url = "https://api.openai.com/v1/responses"

    def create(session: httpx.Client) -> None:
        for name in ("resp_polled", "resp_forgotten"):
            session.post(url, json={"model": "gpt-5", "background": True, "input": name})

    def poll(session: httpx.Client) -> None:
        for _ in range(POLLS):
            session.get(f"{url}/resp_polled")

    in_a_process(daemon, create, provider)
    # The row of the one that is fetched late takes the place of the pending one.
    until(lambda: scrape(daemon.folder / "admin.sock")("abandoned_calls_total") == 2)
    in_a_process(daemon, poll, provider)
    found = {row["outcome"]: row for row in rows(daemon)}
    assert found.keys() == {"ok", "abandoned"}
    assert (found["ok"]["prompt_tokens"], found["ok"]["completion_tokens"]) == (3, 4)
    pending = found["abandoned"]
    assert (pending["error_type"], pending["usage_source"], pending["cost_usd"]) == (
        "pending",
        "unknown",
        None,
    )
