"""Connection to the daemon, and the self-pipe by which other threads wake the sender.

Invariant: only ``sleep`` blocks, for at most the given time. Every end of a connection, an end of file
included, raises OSError; so do invalid answers, because such a daemon is unusable.
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
# An application may have restored SIGPIPE's default, which ends the process.
_NO_SIGPIPE: Final = getattr(socket, "MSG_NOSIGNAL", 0)
_decode = msgspec.json.Decoder(Answer).decode


class Wakeup:
    """Self-pipe that ends a sleep from another thread. It is closed when no thread can ``signal`` any more.

    Closed earlier, a late ``signal`` could write into a descriptor that the application has reused, so
    only ``__del__``, and ``close`` in a forked child, close it.
    """

    reader = _writer = -1  # for ``__del__`` if creating the pipe failed

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def signal(self) -> None:
        """End the current sleep, or the next one."""
        with suppress(BlockingIOError):  # full: the sleep ends anyway
            os.write(self._writer, b"\0")

    def clear(self) -> None:
        """Forget the rings so far."""
        with suppress(BlockingIOError):
            os.read(self.reader, 4096)

    def close(self) -> None:
        """Close the descriptors."""
        reader, self.reader = self.reader, -1
        writer, self._writer = self._writer, -1
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class Connection:
    """Non-blocking Unix stream socket."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._received = b""
        self._poll = select.poll()
        self._poll.register(wakeup.reader, select.POLLIN)

    def open(self, path: str) -> None:
        """Connect. A listener with a full queue counts as unavailable.

        Raises Untrusted, before any write, if an untrusted user owns the socket.
        """
        self._socket.connect(path)
        check(self._socket, path, daemon_uids())
        self._poll.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """Close this process's descriptor. No shutdown: a forked child must not end its parent's."""
        self._socket.close()

    def send(self, views: list[memoryview]) -> int:
        """Return how many bytes the kernel accepted; 0 if it would block."""
        try:
            return self._socket.sendmsg(views, (), _NO_SIGPIPE)
        except BlockingIOError:
            return 0

    def sleep(self, seconds: float | None, *, receives: bool = True, is_blocked: bool = False) -> bool:
        """Sleep until an wakeup, the timeout, or the end of the connection.

        Also until an answer arrives if it ``receives``, and until the socket is writable if it ``is_blocked``.
        Return whether there is data to receive, if that was checked.
        """
        wanted = (select.POLLIN if receives else 0) | (select.POLLOUT if is_blocked else 0)
        self._poll.modify(self._socket, wanted)
        ready = dict(self._poll.poll(None if seconds is None else max(0.0, seconds * 1000)))
        if self._wakeup.reader in ready:
            self._wakeup.clear()
        return bool(ready.get(self._socket.fileno(), 0) & ~select.POLLOUT)

    def receive(self) -> list[Answer]:
        """Return the complete answers that have arrived."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("the daemon closed the connection")
        *lines, self._received = (self._received + data).split(b"\n")
        if len(self._received) > _LONGEST_ANSWER:
            raise ConnectionAbortedError("an answer exceeds the length limit")
        try:
            return [_decode(line) for line in lines]
        except msgspec.DecodeError as error:
            raise ConnectionAbortedError(f"invalid answer: {error}") from error
