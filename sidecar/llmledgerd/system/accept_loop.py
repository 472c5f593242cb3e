"""Accept loop of a listening socket.

Invariant: no error of ``accept`` ends the listening. Without a descriptor or memory for another
connection, clients wait in the kernel's queue, and ``accept`` is retried after a pause: the
event loop neither spins nor, as its own servers do, closes the socket permanently.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

BACKLOG: Final = 1024
AT_ONCE: Final = 4
"""Connections accepted before others have their turn in the event loop. With 64, a process that opened a
connection per record had 1,024 of them accepted and not yet read, and its limit refused the next ones. A
client that connects faster than the daemon reads waits in the kernel's queue."""
ENDED_AT_ONCE: Final = 32
"""The same, with those that are done when they are accepted."""
YOUNG_SECONDS: Final = 0.001
"""Who connects for one record has written it and closed by then, where the daemon has a core of its own."""
PAUSE_SECONDS: Final = 0.25


class Acceptor:
    """One listening socket, from ``start`` until ``close``."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        on_trouble: Callable[[OSError], None],
        take_ended: Callable[[socket.socket], bool] | None = None,
    ) -> None:
        """``protocol`` makes the protocol of each connection; ``on_trouble`` receives the error if none can be accepted.

        ``take_ended`` takes an accepted connection at once, and returns whether it is done with it.
        """
        self._socket = sock
        self._protocol = protocol
        self._on_trouble = on_trouble
        self._take_ended = take_ended
        self._young: list[socket.socket] = []
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._is_closed = False

    def start(self) -> None:
        """Listen. Raises OSError."""
        self._socket.setblocking(False)
        self._socket.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Stop accepting. Accepted connections stay, and further calls have no effect."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    @property
    def is_opening(self) -> bool:
        """Whether an accepted connection has not been passed to its protocol yet."""
        return bool(self._opening or self._young)

    def _resume(self) -> None:
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        left = AT_ONCE
        for _ in range(ENDED_AT_ONCE):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:  # EMFILE, ENFILE, ENOBUFS, ENOMEM
                self._loop.remove_reader(self._socket)
                self._resuming = self._loop.call_later(PAUSE_SECONDS, self._resume)
                self._on_trouble(error)
                return
            connection.setblocking(False)
            if self._is_done(connection):
                continue
            if self._take_ended is not None and len(self._young) < ENDED_AT_ONCE:
                self._young.append(connection)
                if len(self._young) == 1:
                    self._loop.call_later(YOUNG_SECONDS, self._grow)
            else:
                self._begin(connection)
            left -= 1
            if not left:
                return

    def _grow(self) -> None:
        """Give those that were not done when they were accepted to their protocols, if they are not now."""
        young, self._young = self._young, []
        for connection in young:
            if not self._is_done(connection):
                self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        task = self._loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _is_done(self, connection: socket.socket) -> bool:
        if self._take_ended is None:
            return False
        is_done = True
        try:
            is_done = self._take_ended(connection)
        finally:
            if is_done:
                connection.close()
        return is_done

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError as error:
            connection.close()
            self._on_trouble(error)
