"""Listening sockets whose server is imported and started for the first connection.

Invariant: clients that come before the server runs wait in the kernel's queue and are answered, and the event loop does
not wait for the import. If the server cannot be started, the clients that wait are disconnected, so that a probe fails
at once, and a later connection is another attempt.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from llmledgerd.system import memory
from llmledgerd.system.accept_loop import BACKLOG, Acceptor

RETRY_SECONDS: Final = 1.0
"""Time after a failed start in which clients wait: an import takes a share of a core."""


class Server(Protocol):
    """What serves connections that others accept."""

    @property
    def protocol(self) -> Callable[[], asyncio.BaseProtocol]:
        """The factory of a connection's protocol."""

    async def close(self) -> None:
        """Close the connections."""


Begin = Callable[[], Awaitable[Server]]


class OnDemand:
    """Listening sockets, and the server behind them from the first connection on."""

    def __init__(
        self,
        load: Callable[[], Begin],
        on_trouble: Callable[[OSError], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """``load`` imports, in a thread, and returns what starts the server, on the event loop.

        ``on_trouble`` receives the error if no connection can be accepted, ``on_failure`` what a start failed with.
        """
        self._load = load
        self._on_trouble = on_trouble
        self._on_failure = on_failure
        self._waiting: list[socket.socket] = []
        self._acceptors: list[Acceptor] = []
        self._server: Server | None = None
        self._starting: asyncio.Task[None] | None = None
        self._resuming: asyncio.TimerHandle | None = None

    def start(self, sockets: Sequence[socket.socket]) -> None:
        """Listen. Raises OSError."""
        self._waiting = list(sockets)
        for sock in sockets:
            sock.setblocking(False)
            sock.listen(BACKLOG)
        self._wait()

    def stop_accepting(self) -> None:
        """Close the sockets; connections stay. Further calls have no effect."""
        if self._starting is not None:
            self._starting.cancel()  # an import goes on to its end, and nothing follows it
        if self._resuming is not None:
            self._resuming.cancel()
        for acceptor in self._acceptors:
            acceptor.close()
        self._stop_waiting()
        for sock in self._waiting:
            sock.close()
        self._waiting = []

    async def close(self) -> None:
        """Close everything."""
        self.stop_accepting()
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._server is not None:
            await self._server.close()

    def _wait(self) -> None:
        for sock in self._waiting:
            asyncio.get_running_loop().add_reader(sock, self._wake)

    def _stop_waiting(self) -> None:
        for sock in self._waiting:
            asyncio.get_running_loop().remove_reader(sock)

    def _wake(self) -> None:
        self._stop_waiting()
        self._starting = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        try:
            begin = await asyncio.to_thread(self._loaded)
            self._server = await begin()
        except Exception as error:  # noqa: BLE001 - an import can raise anything, and records do not depend on it
            self._on_failure(error)
            self._disconnect()
            self._resuming = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wait)
            return
        sockets, self._waiting = self._waiting, []
        self._acceptors = [Acceptor(sock, self._server.protocol, self._on_trouble) for sock in sockets]
        for acceptor in self._acceptors:
            acceptor.start()

    def _loaded(self) -> Begin:
        begin = self._load()
        memory.collect_less()
        return begin

    def _disconnect(self) -> None:
        """Close the connections that wait."""
        for sock in self._waiting:
            try:
                for _ in range(BACKLOG):
                    sock.accept()[0].close()
            except OSError:  # none is left; or none can be accepted, and they wait on
                continue
