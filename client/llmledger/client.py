"""record, begin, flush, close, stats: all that an application calls.

Invariant: nothing here raises into the application, and ``record`` and ``begin`` do no I/O and wait
for nothing. What cannot be taken is counted under a reason, and reported to the daemon.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from socket import gethostname
from time import monotonic, time
from typing import Any, Final, Literal, Unpack
from uuid import uuid4

import msgspec

from llmledger import lifecycle
from llmledger.buffer import ENCODE_FAILED, Buffer
from llmledger.context import filled
from llmledger.environment import is_disabled
from llmledger.fields import BeginFields, RecordFields
from llmledger.protocol import DEFAULT_SOCKET, Hello
from llmledger.sender import Sender

CLIENT_NAME: Final = "llmledger-python"
BUFFER_MAX_BYTES: Final = 64 << 20


class Stats(msgspec.Struct, frozen=True):
    """Counts of one client in one process: ``records = delivered + waiting + lost``, always."""

    session: str = ""
    is_connected: bool = False
    records: int = 0
    """Handed over, whatever became of them."""
    delivered: int = 0
    """Called durable by the daemon."""
    waiting: int = 0
    waiting_bytes: int = 0
    lost: Mapping[str, int] = {}
    """By reason: buffer_full, too_long, encode_failed, closed, unsupported_protocol_version."""
    begins_lost: int = 0
    """Announcements dropped; their records may have come all the same."""
    rejected: int = 0
    """Of the delivered: dead letters."""
    untrusted: int = 0
    """Connections given up with nothing written, because somebody else holds the socket (``peer``)."""


class TraceClient:
    """Hands records to the daemon's socket; the application never waits for it.

    >>> client = TraceClient(service="api")
    >>> client.record(
    ...     provider="openai", model="gpt-4o", org_id="acme", latency_ms=812, status_code=200,
    ...     request={"model": "gpt-4o", "messages": []},
    ...     response=response.content,  # bytes of JSON are passed through
    ... )
    True
    >>> client.flush(timeout=1.0)  # True: every record so far is on the daemon's disk
    True
    >>> client.close()

    One thread and one connection, made at the first record; safe from any thread, from asyncio,
    from signal handlers and destructors, and after ``fork``, where the child begins a session of
    its own. A process that ends in the ordinary way closes its clients by itself.

    ``socket_path`` is else ``LLMLEDGER_SOCKET``, else the daemon's default; ``service`` names the
    application, else ``LLMLEDGER_SERVICE``. ``buffer_max_bytes`` bounds what waits in memory.
    ``LLMLEDGER_DISABLED=1`` makes all methods do nothing, and so does a system without ``fork`` or Unix
    sockets, such as Windows, where the first client logs a warning.
    """

    def __init__(
        self,
        socket_path: str | os.PathLike[str] | None = None,
        *,
        buffer_max_bytes: int = BUFFER_MAX_BYTES,
        service: str | None = None,
    ) -> None:
        environment = os.environ
        self._path = os.fspath(socket_path or environment.get("LLMLEDGER_SOCKET") or DEFAULT_SOCKET)
        self._service = service if service is not None else environment.get("LLMLEDGER_SERVICE", "")
        self._buffer_max_bytes = buffer_max_bytes
        self._is_disabled = is_disabled()
        self._known_broken = 0
        self._begin_session()
        lifecycle.opened(self)

    def record(self, **fields: Unpack[RecordFields]) -> bool:
        """Hand over one finished call; return whether it was taken.

        False: it was dropped, and counted in ``stats().lost``. An id and a timestamp are made where
        none is given. What a payload may be is said in ``llmledger.line``.
        """
        return self.hand_over("record", filled(fields))

    def begin(self, **fields: Unpack[BeginFields]) -> bool:
        """Announce a call that starts; return whether it was taken.

        Give the ``provider_trace_id`` (``llmledger.new_id()``) that its record will have. Should the
        record never come, because the application died, the daemon stores the call as abandoned.
        """
        return self.hand_over("begin", filled(fields))

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was taken is durable, for ``timeout`` seconds; return whether it is.

        A record that was taken and had to be dropped since (too long for the daemon) makes one
        flush False. It blocks its thread: on an event loop, await ``aflush``.
        """
        buffer, sender = self._buffer, self._sender
        newest = buffer.newest()
        is_durable = newest < buffer.first or (
            sender is not None and sender.wait_durable(newest, monotonic() + timeout)
        )
        known, self._known_broken = self._known_broken, buffer.broken_promises
        return is_durable and known == self._known_broken

    async def aflush(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109 - the same meaning as in flush
        """Do as ``flush`` does, in a thread of asyncio's."""
        import asyncio  # whoever awaits this has it loaded; the others shall not pay for it

        return await asyncio.to_thread(self.flush, timeout)

    def close(self, timeout: float = 2.0) -> bool:
        """Flush for at most ``timeout`` seconds and end the session; return whether all is durable.

        Records that come later are dropped and counted as ``closed``.
        """
        lifecycle.closed(self)
        if self._sender is None:
            self._buffer.finish()
            return self._buffer.records == 0
        return self._sender.close(monotonic() + timeout)

    def stats(self) -> Stats:
        """Return the counts of this process's session."""
        records, delivered, lost, held_bytes = self._buffer.counts()
        sender = self._sender
        return Stats(
            session=self._session,
            is_connected=sender is not None and sender.is_connected,
            records=records,
            delivered=delivered,
            waiting=records - delivered - lost.total(),
            waiting_bytes=held_bytes,
            lost=dict(lost),
            begins_lost=self._buffer.begins_lost,
            rejected=0 if sender is None else sender.rejected,
            untrusted=0 if sender is None else sender.untrusted,
        )

    def begin_anew(self) -> None:
        """Be as if just made: this is a forked child. Called by ``lifecycle``."""
        if self._sender is not None:
            self._sender.abandon()
        self._known_broken = 0
        self._begin_session()

    def _begin_session(self) -> None:
        self._session = str(uuid4())
        self._buffer = Buffer(self._buffer_max_bytes)
        self._sender: Sender | None = None
        self._start_lock = threading.RLock()
        self._is_starting = False

    def hand_over(self, kind: Literal["record", "begin"], fields: Any) -> bool:
        """Do as ``record`` and ``begin`` do with a dict, which is the client's from now on."""
        if self._is_disabled:
            return False
        try:
            sender = self._sender or self._start()
            unwritten_bytes = self._buffer.take(kind, fields, time())
            if sender is not None and unwritten_bytes > sender.wake_above:
                sender.wake()
        except Exception:  # noqa: BLE001 - the client's outer edge: the application never sees our faults
            self._buffer.lose(ENCODE_FAILED)
            return False
        return unwritten_bytes > 0

    def _start(self) -> Sender | None:
        """Return the sender; None where the system gives no thread or descriptor now."""
        with self._start_lock:
            if self._sender is None and not self._is_starting:
                self._is_starting = True  # a signal handler that records comes by here again
                try:
                    self._sender = self._new_sender()
                except (OSError, RuntimeError):
                    return None  # the record waits, and the next one tries again
                finally:
                    self._is_starting = False
            return self._sender

    def _new_sender(self) -> Sender | None:
        if lifecycle.is_exiting():
            self._buffer.finish()  # nobody would send it any more: let it be counted
            return None
        from llmledger import __version__  # by now the package, which imports this module, is whole

        hello = Hello(
            session=self._session,
            first=1,
            client=f"{CLIENT_NAME}/{__version__}",
            pid=os.getpid(),
            service=self._service,
            host=gethostname(),
        )
        sender = Sender(self._path, self._buffer, hello)
        sender.start()
        lifecycle.close_in_child_of_multiprocessing()
        return sender
