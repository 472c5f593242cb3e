"""Connection of an HTTP address until its first request is answered, or handed to the HTTP server.

Invariants:
- A client that sends slowly, nothing, or more than a probe has, takes MOST_BYTES of memory, and a connection
  for ASK_SECONDS.
- A byte that was read is part of a probe that is answered, or is the server's first. After an answer the connection is
  closed, and nothing that follows the request is read as another one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, cast

from llmledgerd.admin.probes import MOST_BYTES, Answer, Probe, may_become_one, probe_of, response

ASK_SECONDS: Final = 10.0
"""Time in which the first request has to be sent, and then its answer to be read."""

Answering = Callable[[str, str, str], Awaitable[Answer]]
"""Returns the answer to a request for a path with the header fields ``Authorization`` and ``Accept``; never raises."""


class FirstRequest(asyncio.BufferedProtocol):
    """Protocol of a connection whose first request is unknown."""

    transport: asyncio.Transport
    _late: asyncio.TimerHandle

    def __init__(
        self,
        answer: Answering | None,
        hand_on: Callable[[FirstRequest], None],
        connections: set[FirstRequest],
        ask_seconds: float = ASK_SECONDS,
    ) -> None:
        """``answer`` answers probes; without it, every request is handed on. ``hand_on`` calls ``hand_over``, sooner or later.

        The connection is one of ``connections`` until it is closed or handed over.
        """
        self._answer = answer
        self._hand_on = hand_on
        self._connections = connections
        self._ask_seconds = ask_seconds
        self._buffer = bytearray(MOST_BYTES)
        self._length = 0
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._allow_time()

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._length :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._answering is not None:  # what follows the request is dropped
            return
        known, self._length = self._length, self._length + nbytes
        if self._answer is not None:
            read = self._read()
            if may_become_one(read, known):
                return
            probe = probe_of(read)
            if probe is not None:
                self._late.cancel()
                self._length = 0
                self._answering = asyncio.create_task(self._respond(self._answer, probe))
                return
        self._late.cancel()
        self.transport.pause_reading()  # what follows is the server's to read
        self._hand_on(self)

    def eof_received(self) -> bool:
        """Keep a connection open whose client still reads."""
        return self._answering is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self._late.cancel()
        self._connections.discard(self)
        if self._answering is not None:
            self._answering.cancel()

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Make the connection another protocol's, with the bytes that were read, unless it is closed."""
        if self.transport.is_closing():
            return
        self._connections.discard(self)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        self.transport.resume_reading()
        protocol.data_received(self._read())

    def _read(self) -> bytes:
        return bytes(memoryview(self._buffer)[: self._length])

    async def _respond(self, answer: Answering, probe: Probe) -> None:
        found = await answer(probe.path, probe.authorization, probe.accept)
        self._allow_time()
        self.transport.write(response(probe, found, time.time()))
        self.transport.close()  # when the answer is written

    def _allow_time(self) -> None:
        self._late = asyncio.get_running_loop().call_later(self._ask_seconds, self.transport.abort)
