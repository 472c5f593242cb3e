"""A connection's first request is answered here or given to the server whole, and its client holds little meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from llmledgerd.admin.first_request import FirstRequest
from llmledgerd.admin.probes import MOST_BYTES, Answer

PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n"
OTHER = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_paused = self.is_closed = self.is_aborted = False
        self.protocol: Any = None

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class Behind(asyncio.Protocol):
    """The server's protocol."""

    read: bytes | None = None
    transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.read = (self.read or b"") + data


class Connection:
    """A connection that has just been accepted."""

    def __init__(self, *, seconds: float = 60.0, answers: bool = True) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.handed: list[FirstRequest] = []
        self.open: set[FirstRequest] = set()
        self.wire = Wire()
        self.behind = Behind()
        answer = self._answer if answers else None
        self.first = FirstRequest(answer, self.handed.append, self.open, seconds)
        self.first.connection_made(self.wire)

    async def _answer(self, *asked: str) -> Answer:
        path, authorization, accept = asked
        self.asked.append((path, authorization, accept))
        await self.may_answer.wait()
        return Answer(200, b"ok\n")

    def read(self, *pieces: bytes) -> None:
        for data in pieces:
            rest = data
            while rest and not self.wire.is_paused:
                buffer = self.first.get_buffer(-1)
                taken = min(len(buffer), len(rest))
                assert taken, "an empty buffer is an error of the protocol's"
                buffer[:taken] = rest[:taken]
                self.first.buffer_updated(taken)
                rest = rest[taken:]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("pieces", [[PROBE], [PROBE[at : at + 1] for at in range(len(PROBE))]])
async def test_a_probe_is_answered_and_the_connection_closed(pieces: Sequence[bytes]) -> None:
    connection = Connection()
    connection.read(*pieces)
    await turns()
    assert connection.asked == [("/healthz", "Bearer t", "")]
    assert connection.wire.written.endswith(b"\r\n\r\nok\n")
    assert connection.wire.is_closed
    assert connection.handed == []
    connection.first.connection_lost(None)
    assert connection.open == set()


async def test_what_follows_a_probe_while_it_is_answered_is_dropped() -> None:
    connection = Connection()
    connection.may_answer.clear()
    connection.read(PROBE)
    await turns()
    connection.read(OTHER, b"x" * 100_000, PROBE)
    connection.may_answer.set()
    await turns()
    assert len(connection.asked) == 1
    assert connection.wire.written.count(b"HTTP/1.1 200") == 1
    assert connection.handed == []


async def test_another_request_is_the_server_s_with_every_byte_that_was_read() -> None:
    connection = Connection()
    connection.read(OTHER[:3], OTHER[3:10])
    assert connection.wire.is_paused, "what follows is the server's to read"
    assert connection.open == {connection.first}
    (handed,) = connection.handed
    handed.hand_over(connection.behind)
    assert connection.wire.protocol is connection.behind
    assert connection.behind.transport is connection.wire
    assert connection.behind.read == OTHER[:10]
    assert [connection.wire.is_paused, connection.open] == [False, set()]


async def test_two_requests_at_once_are_the_server_s() -> None:
    connection = Connection()
    connection.read(PROBE + OTHER)
    connection.handed[0].hand_over(connection.behind)
    assert connection.behind.read == PROBE + OTHER
    assert connection.asked == []


async def test_headers_without_end_are_the_server_s_once_they_are_too_long() -> None:
    connection = Connection()
    endless = PROBE[:-2] + b"x: " + b"y" * 1_000_000
    connection.read(endless)
    connection.handed[0].hand_over(connection.behind)
    assert connection.behind.read == endless[:MOST_BYTES]


async def test_without_answers_the_first_byte_is_the_server_s() -> None:
    connection = Connection(answers=False)
    connection.read(PROBE[:1])
    assert len(connection.handed) == 1


async def test_a_connection_that_closes_while_it_waits_is_not_given_to_the_server() -> None:
    connection = Connection()
    connection.read(OTHER)
    connection.wire.close()
    connection.first.connection_lost(None)
    connection.handed[0].hand_over(connection.behind)
    assert connection.behind.transport is None
    assert connection.open == set()


@pytest.mark.parametrize("said", [b"", b"G", PROBE[:-1]])
async def test_who_does_not_end_a_request_is_disconnected_in_time(said: bytes) -> None:
    connection = Connection(seconds=0.0)
    connection.read(said)
    await turns()
    assert connection.wire.is_aborted


async def test_who_does_not_read_the_answer_is_disconnected_in_time() -> None:
    connection = Connection(seconds=0.0)
    connection.read(PROBE)
    await turns()
    assert connection.wire.written
    assert connection.wire.is_aborted


async def test_who_waits_for_the_answer_or_the_server_is_not_disconnected() -> None:
    asks, waits = Connection(seconds=0.0), Connection(seconds=0.0)
    asks.may_answer.clear()
    asks.read(PROBE)
    waits.read(OTHER)
    await turns()
    assert not asks.wire.is_aborted
    assert not waits.wire.is_aborted


async def test_a_client_that_has_ended_its_side_is_answered_if_it_has_asked() -> None:
    asked, silent = Connection(), Connection()
    asked.read(PROBE)
    silent.read(PROBE[:-1])
    assert asked.first.eof_received()
    assert not silent.first.eof_received()
    await turns()
    assert asked.wire.written.endswith(b"ok\n")


async def test_a_client_that_leaves_is_not_answered() -> None:
    connection = Connection()
    connection.may_answer.clear()
    connection.read(PROBE)
    await turns()
    connection.first.connection_lost(None)
    connection.may_answer.set()
    await turns()
    assert connection.wire.written == b""
