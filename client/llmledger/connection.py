"""One connection to the daemon, and the pipe by which other threads end the sender's sleep.

Invariant: nothing here blocks but ``sleep``, and that no longer than it is told. Whatever ends a
connection, an end of file included, leaves as an OSError; lines that make no sense do too, because
a daemon that is not understood is as good as none.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from typing import Final

import msgspec

from llmledger.environment import daemon_uids
from llmledger.peer import check
from llmledger.protocol import Answer

_READ_BYTES: Final = 64 << 10
_LONGEST_ANSWER: Final = 1 << 20
# An application may have given SIGPIPE its deadly default back.
_NO_SIGPIPE: Final = getattr(socket, "MSG_NOSIGNAL", 0)
_decode = msgspec.json.Decoder(Answer).decode


class Alarm:
    """Ends a sleep from another thread. Its ends are closed when nobody can ring any more.

    Closing them earlier would let a late ``ring`` write into a descriptor that the application has
    been given since, so only ``__del__``, and ``close`` in a forked child, do.
    """

    reader = _writer = -1  # what ``__del__`` finds where there was no pipe to be had, or no stack left

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def ring(self) -> None:
        """End the sleep that is under way, or the next one."""
        with suppress(BlockingIOError):  # full: rung more than often enough
            os.write(self._writer, b"\0")

    def heard(self) -> None:
        """Forget the rings so far."""
        with suppress(BlockingIOError):
            os.read(self.reader, 4096)

    def close(self) -> None:
        """Give the descriptors back."""
        reader, self.reader = self.reader, -1
        writer, self._writer = self._writer, -1
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class Connection:
    """A Unix stream socket that is never waited for."""

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._received = b""
        self._poll = select.poll()
        self._poll.register(alarm.reader, select.POLLIN)

    def open(self, path: str) -> None:
        """Connect; a listener whose queue is full is one that is away, for now.

        Raises Untrusted, with nothing written, where somebody else holds the socket.
        """
        self._socket.connect(path)
        check(self._socket, path, daemon_uids())
        self._poll.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """Close this process's descriptor. No shutdown: a forked child must not end its parent's."""
        self._socket.close()

    def send(self, views: list[memoryview]) -> int:
        """Return how many bytes the kernel took; 0 when it takes none now."""
        try:
            return self._socket.sendmsg(views, (), _NO_SIGPIPE)
        except BlockingIOError:
            return 0

    def sleep(self, seconds: float | None, *, hears: bool = True, is_blocked: bool = False) -> bool:
        """Sleep until an alarm, the time is over, or the connection ends.

        Also until an answer comes where it ``hears``, and until there is room where it ``is_blocked``.
        Return whether there is something to receive, as far as it was looked for.
        """
        wanted = (select.POLLIN if hears else 0) | (select.POLLOUT if is_blocked else 0)
        self._poll.modify(self._socket, wanted)
        ready = dict(self._poll.poll(None if seconds is None else max(0.0, seconds * 1000)))
        if self._alarm.reader in ready:
            self._alarm.heard()
        return bool(ready.get(self._socket.fileno(), 0) & ~select.POLLOUT)

    def receive(self) -> list[Answer]:
        """Return the whole answers that have arrived."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("the daemon closed the connection")
        *lines, self._received = (self._received + data).split(b"\n")
        if len(self._received) > _LONGEST_ANSWER:
            raise ConnectionAbortedError("an answer without an end")
        try:
            return [_decode(line) for line in lines]
        except msgspec.DecodeError as error:
            raise ConnectionAbortedError(f"an answer that is none: {error}") from error
