"""A server that is loaded for its first client: nobody is lost meanwhile, and nothing waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmledgerd.admin import on_demand
from llmledgerd.admin.api import Api
from llmledgerd.admin.changes import Changes
from llmledgerd.admin.on_demand import Begin, OnDemand
from llmledgerd.admin.server import Admin
from llmledgerd.telemetry.metrics import Metrics
from llmledgerd.telemetry.status import Status
from tests.helpers.config import config as configured

END = b"bye"
MOST = 60
"""Connections."""


class Greeting(asyncio.Protocol):
    """Says hello, and closes the connection when it is told to."""

    def __init__(self, greeter: Greeter) -> None:
        self._greeter = greeter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._greeter.connections += 1
        transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        self._greeter.read.append(data)
        if data.endswith(END):
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._greeter.connections -= 1


class Greeter:
    is_closed = False
    connections = 0

    def __init__(self) -> None:
        self.read: list[bytes] = []

    def protocol(self) -> Greeting:
        return Greeting(self)

    async def close(self) -> None:
        self.is_closed = True


class Place:
    """A socket, and a server behind it that is loaded when the test allows it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loads = 0
        self.may_load = threading.Event()
        self.may_load.set()
        self.failures: list[Exception] = []
        self.errors: list[Exception] = []
        """What the next loads raise."""
        self.greeter = Greeter()
        self.server = OnDemand(self._load, self.failures.append, self.failures.append)

    def _load(self) -> Begin:
        self.loads += 1
        assert self.may_load.wait(30)
        if self.errors:
            raise self.errors.pop()

        async def begin() -> Greeter:
            return self.greeter

        return begin

    def start(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(self.path))
        self.server.start([sock], MOST)

    async def connect(self, said: bytes = END) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, str(self.path))
            await asyncio.get_running_loop().sock_sendall(sock, said)
        except OSError:
            sock.close()
            raise
        return sock


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setattr(on_demand, "RETRY_SECONDS", 0.01)
    found = Place(tmp_path / "s")
    found.start()
    yield found
    found.may_load.set()
    await found.server.close()


async def heard(sock: socket.socket) -> bytes:
    """Return the first bytes that come; none of a connection that was closed."""
    with sock, contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            return await asyncio.get_running_loop().sock_recv(sock, 100)
    return b""


async def test_nothing_is_loaded_for_nobody_and_once_for_all(place: Place) -> None:
    silent = await place.connect(b"")
    while not place.server._first:
        await asyncio.sleep(0.001)  # until it is accepted
    assert place.loads == 0
    silent.close()
    assert [await heard(await place.connect()) for _ in range(3)] == [b"hello"] * 3
    assert place.loads == 1


async def test_clients_wait_for_the_load_and_the_event_loop_does_not(place: Place) -> None:
    place.may_load.clear()
    waiting = [await place.connect() for _ in range(50)]
    hears = [asyncio.create_task(heard(sock)) for sock in waiting]
    while not place.loads:
        await asyncio.sleep(0.001)  # the loop turns, though the load is held
    place.may_load.set()
    assert await asyncio.gather(*hears) == [b"hello"] * 50
    assert place.greeter.read == [END] * 50


async def test_silent_clients_those_that_wait_and_the_server_s_are_limited_together(place: Place) -> None:
    third = MOST // 3
    served = [await place.connect(b"stay") for _ in range(third)]
    while place.greeter.connections < third:
        await asyncio.sleep(0.001)
    silent = [await place.connect(b"") for _ in range(MOST - third)]
    async with asyncio.timeout(30):
        while await heard(await place.connect()) != b"":
            await asyncio.sleep(0.001)  # the last ones are not accepted yet
    silent.pop().close()
    async with asyncio.timeout(30):
        while await heard(await place.connect()) != b"hello":
            await asyncio.sleep(0.001)
    for sock in (*served, *silent):
        sock.close()


async def test_a_failed_load_disconnects_who_waits_and_the_next_client_tries_again(place: Place) -> None:
    place.errors = [ImportError("half an upgrade"), MemoryError()]
    assert await heard(await place.connect()) == b""
    assert await heard(await place.connect()) == b""
    assert await heard(await place.connect()) == b"hello"
    assert [type(failure) for failure in place.failures] == [MemoryError, ImportError]


async def test_a_stop_during_the_load_starts_no_server(place: Place) -> None:
    place.may_load.clear()
    sock = await place.connect()
    while not place.loads:
        await asyncio.sleep(0.001)
    await place.server.close()
    place.may_load.set()
    assert await heard(sock) == b""
    assert not place.greeter.is_closed
    assert place.failures == []
    with pytest.raises(ConnectionRefusedError):
        await place.connect()


async def test_a_stop_closes_the_server_and_may_be_repeated(place: Place) -> None:
    assert await heard(await place.connect()) == b"hello"
    await place.server.close()
    assert place.greeter.is_closed
    place.server.stop_accepting()


async def status() -> Status:
    raise NotImplementedError


async def test_a_login_that_was_reloaded_before_the_first_request_is_used_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    monkeypatch.setattr(Api, "log_in_as", lambda _, url: used.append(url))
    settings = configured(socket_path=f"{tmp_path}/s", spool_dir=f"{tmp_path}/spool")
    admin = Admin(settings, status, Metrics({}), None, Changes.of(settings))
    await admin.start()
    admin.log_in_as("http://new:login@localhost/default")
    assert used == []
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "admin.sock"))
    writer.write(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"200 OK" in await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert used == ["http://new:login@localhost/default"]
    await admin.stop()
