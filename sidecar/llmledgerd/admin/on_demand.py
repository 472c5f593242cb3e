"""Listening sockets, and an HTTP server that is imported and started for the first request that needs it.

Invariants:
- Its clients take neither descriptors nor memory from the record socket: there is a limit of connections, with
  those that wait for the server.
- Clients that come before the server runs wait and are answered, and the event loop does not wait for the import. If
  the server cannot be started, the clients that wait are disconnected, and later ones are another attempt.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, cast

from llmledgerd.admin.first_request import Answering, FirstRequest
from llmledgerd.system import memory
from llmledgerd.system.accept_loop import Acceptor

RETRY_SECONDS: Final = 1.0
"""Time after a failed start in which clients wait: an import takes a share of a core."""


class Server(Protocol):
    """What serves connections that others accept."""

    @property
    def protocol(self) -> Callable[[], asyncio.Protocol]:
        """The factory of a connection's protocol."""

    @property
    def connections(self) -> int:
        """The number of its connections."""

    async def close(self) -> None:
        """Close the connections."""


Begin = Callable[[], Awaitable[Server]]


class Refusal(asyncio.Protocol):
    """Protocol of a connection over the limit, which is aborted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()  # uvloop's transports are not of this class


class OnDemand:
    """Listening sockets, and the server behind them from the first request that needs it on."""

    def __init__(
        self,
        load: Callable[[], Begin],
        on_trouble: Callable[[OSError], None],
        on_failure: Callable[[Exception], None],
        answer: Answering | None = None,
    ) -> None:
        """``load`` imports, in a thread, and returns what starts the server, on the event loop.

        ``on_trouble`` receives the error if no connection can be accepted, ``on_failure`` what a start failed with.
        ``answer`` answers probes, for which the server is not needed.
        """
        self._load = load
        self._on_trouble = on_trouble
        self._on_failure = on_failure
        self._answer = answer
        self._limit = 0
        self._acceptors: list[Acceptor] = []
        self._first: set[FirstRequest] = set()
        """Connections that the server does not have."""
        self._waiting: list[FirstRequest] = []
        """Those of them that wait for the server."""
        self._server: Server | None = None
        self._starting: asyncio.Task[None] | None = None
        self._is_closed = False

    def start(self, sockets: Sequence[socket.socket], connections: int) -> None:
        """Listen, and have at most so many connections, but for some accepted at one moment. Raises OSError."""
        self._limit = connections
        self._acceptors = [Acceptor(sock, self._protocol, self._on_trouble) for sock in sockets]
        for acceptor in self._acceptors:
            acceptor.start()

    def stop_accepting(self) -> None:
        """Close the sockets; connections stay, but those that wait for the server. Further calls have no effect."""
        self._is_closed = True
        for acceptor in self._acceptors:
            acceptor.close()
        if self._starting is not None:
            self._starting.cancel()  # an import goes on to its end, and nothing follows it
        self._disconnect()

    async def close(self) -> None:
        """Close everything."""
        self.stop_accepting()
        for connection in self._first:
            connection.transport.abort()
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._server is not None:
            await self._server.close()

    def _protocol(self) -> asyncio.BaseProtocol:
        of_server = 0 if self._server is None else self._server.connections
        if len(self._first) + of_server >= self._limit:
            return Refusal()
        return FirstRequest(self._answer, self._hand_on, self._first)

    def _hand_on(self, connection: FirstRequest) -> None:
        """Give a connection to the server, when it runs."""
        if self._server is not None:
            connection.hand_over(self._server.protocol())
        elif self._is_closed:
            connection.transport.abort()
        else:
            self._waiting.append(connection)
            if self._starting is None:
                self._starting = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        """Start the server, and give it the connections that wait."""
        while self._server is None:
            try:
                begin = await asyncio.to_thread(self._loaded)
                self._server = await begin()
            except Exception as error:  # noqa: BLE001 - an import can raise anything, and records do not depend on it
                self._on_failure(error)
                self._disconnect()
                await asyncio.sleep(RETRY_SECONDS)
                if not self._waiting:
                    break
        self._starting = None
        waiting, self._waiting = self._waiting, []
        for connection in waiting:  # each by itself, so that what fails for one fails for one
            asyncio.get_running_loop().call_soon(self._hand_on, connection)

    def _loaded(self) -> Begin:
        begin = self._load()
        memory.collect_less()
        return begin

    def _disconnect(self) -> None:
        """Close the connections that wait."""
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.transport.abort()
