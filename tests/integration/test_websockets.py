"""Models' WebSockets through the library itself and OpenAI's SDK: passed on unchanged, one record for a response."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

import llmledger
from llmledger.instrumentation import websockets
from llmledger.instrumentation.safety import faults
from tests.helpers import sdks
from tests.helpers.captured import Captured

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

USAGE = {"total_tokens": 5, "input_tokens": 3, "output_tokens": 2}


def _answer(connection: ServerConnection) -> None:
    for number, message in enumerate(connection):
        asked = json.loads(message)
        if asked.get("type") != "response.create":
            continue
        name = f"resp_{number}"
        connection.send(json.dumps({"type": "response.created", "response": {"id": name}}))
        if asked.get("cut"):
            return
        connection.send(json.dumps({"type": "response.output_text.delta", "response_id": name, "delta": "a"}))
        response = {"id": name, "object": "realtime.response", "status": "completed", "usage": USAGE}
        connection.send(json.dumps({"type": "response.done", "response": response}))


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with serve(_answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(10)


@pytest.fixture
def client(host: str) -> Iterator[Captured]:
    made = Captured()
    llmledger.instrument(hosts={host: "stand-in"}, client=made)
    yield made
    llmledger.uninstrument()
    assert not faults


def in_sync(url: str, asked: str) -> list[str]:
    with connect(url) as connection:
        connection.send(asked)
        connection.send(asked)
        return [str(connection.recv()) for _ in range(6)]


def in_async(url: str, asked: str) -> list[str]:
    async def call() -> list[str]:
        async with connect_async(url) as connection:
            await connection.send(asked)
            await connection.send(asked)
            found: list[str] = []
            async for message in connection:
                found.append(str(message))
                if len(found) == 6:
                    break
            return found

    return asyncio.run(call())


def in_aiohttp(url: str, asked: str) -> list[str]:
    async def call() -> list[str]:
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as connection:
            await connection.send_json(json.loads(asked))
            await connection.send_str(asked)
            return [str((await connection.receive()).data) for _ in range(6)]

    return asyncio.run(call())


def in_httpx_ws(url: str, asked: str) -> list[str]:
    connect_ws = pytest.importorskip("httpx_ws").connect_ws
    with connect_ws(url) as session:
        session.send_text(asked)
        session.send_json(json.loads(asked))
        return [session.receive_text(timeout=20) for _ in range(6)]


def in_async_httpx_ws(url: str, asked: str) -> list[str]:
    aconnect_ws = pytest.importorskip("httpx_ws").aconnect_ws

    async def call() -> list[str]:
        async with aconnect_ws(url) as session:
            await session.send_text(asked)
            await session.send_text(asked)
            return [await session.receive_text(timeout=20) for _ in range(6)]

    return asyncio.run(call())


@pytest.mark.parametrize("call", [in_sync, in_async, in_aiohttp, in_httpx_ws, in_async_httpx_ws])
def test_each_response_is_a_record(
    client: Captured, host: str, call: Callable[[str, str], list[str]]
) -> None:
    with llmledger.context(org_id="acme"):
        seen = call(f"ws://{host}/v1/realtime?model=gpt-realtime", '{"type":"response.create"}')
    kinds = [json.loads(message)["type"] for message in seen]
    assert kinds == ["response.created", "response.output_text.delta", "response.done"] * 2
    for record in client.records():
        assert (record["provider"], record["model"], record["org_id"]) == ("stand-in", "gpt-realtime", "acme")
        assert json.loads(record["response"])["response"]["usage"] == USAGE
        assert record["url"].partition(":")[2] == f"//{host}/v1/realtime"
    assert len(client.records()) == 2


def test_a_response_that_is_cut_off_is_cancelled(client: Captured, host: str) -> None:
    with connect(f"ws://{host}/v1/realtime") as connection:
        connection.send('{"type":"response.create","cut":true}')
        connection.recv()
        with pytest.raises(ConnectionClosed):
            connection.recv()
    assert client.record_of()["outcome"] == "cancelled"


def test_a_response_that_is_open_when_its_connection_is_dropped_or_the_process_ends_is_cancelled(
    client: Captured, host: str
) -> None:
    connection = connect(f"ws://{host}/v1/realtime")
    connection.send('{"type":"response.create","cut":true}')
    connection.recv()
    websockets._end_all()  # as the exit does
    assert client.record_of()["outcome"] == "cancelled"
    connection.close()
    assert len(client.records()) == 1


def test_a_forked_child_leaves_its_parents_responses_alone(client: Captured, host: str) -> None:
    with connect(f"ws://{host}/v1/realtime") as connection:
        connection.send('{"type":"response.create","cut":true}')
        connection.recv()
        websockets._forked()
    assert client.records() == []


def test_another_websocket_is_not_observed(client: Captured, host: str) -> None:
    in_sync(f"ws://{host}/socket", '{"type":"response.create"}')
    assert client.lines == []


def test_openais_realtime_is_recorded(client: Captured, host: str) -> None:
    openai: Any = sdks.sdk("openai")
    with (
        openai.OpenAI(api_key="k", websocket_base_url=f"ws://{host}/v1") as sdk,
        sdk.realtime.connect(model="gpt-realtime") as connection,
    ):
        connection.response.create()
        for event in connection:
            if event.type == "response.done":
                break
    assert client.record_of()["model"] == "gpt-realtime"
