"""Public client: record, begin, flush, close and stats.

Invariant: no method raises into the application, and ``record`` and ``begin`` do no I/O and never
block. A record that cannot be accepted is counted by reason and reported to the daemon.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
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
from llmledger.handed import is_deferred, record_deferred
from llmledger.protocol import DEFAULT_SOCKET, Hello
from llmledger.sender import Sender

CLIENT_NAME: Final = "llmledger-python"
BUFFER_MAX_BYTES: Final = 64 << 20


class Stats(msgspec.Struct, frozen=True):
    """Counters of one client in one process. Invariant: ``records = delivered + waiting + lost``."""

    session: str = ""
    is_connected: bool = False
    records: int = 0
    """Records passed to ``record``, in any state."""
    delivered: int = 0
    """Records acknowledged by the daemon as durable."""
    waiting: int = 0
    waiting_bytes: int = 0
    lost: Mapping[str, int] = {}
    """Lost records by reason: buffer_full, too_long, encode_failed, closed, unsupported_protocol_version."""
    unrecorded: Mapping[str, int] = {}
    """Calls that were seen and not recorded, by reason: ``unknown_host:`` and the host. In no other sum."""
    begins_lost: int = 0
    """Dropped ``begin`` lines; their records may still have been delivered."""
    rejected: int = 0
    """Delivered records that became dead letters."""
    untrusted: int = 0
    """Connections closed before any write, because an untrusted user owns the socket (``peer``)."""


class TraceClient:
    """Client that sends records to the daemon's socket without blocking the application.

    >>> client = TraceClient(service="api")
    >>> client.record(
    ...     provider="openai", model="gpt-4o", org_id="acme", latency_ms=812, status_code=200,
    ...     request={"model": "gpt-4o", "messages": []},
    ...     response=response.content,  # bytes of JSON are sent unchanged
    ... )
    True
    >>> client.flush(timeout=1.0)  # True: every record so far is on the daemon's disk
    True
    >>> client.close()

    It has one thread and one connection, created at the first record. Its methods are safe from any
    thread, from asyncio, signal handlers and destructors, and after ``fork``, where the child starts its
    own session. A normal exit of the process closes its clients.

    ``socket_path`` is the daemon's socket (default: ``LLMLEDGER_SOCKET``, else the daemon's default).
    ``service`` is the application's name (default: ``LLMLEDGER_SERVICE``). ``buffer_max_bytes`` is the
    limit of records in memory, in bytes. With ``LLMLEDGER_DISABLED=1``, and on a system without ``fork``
    or Unix sockets, such as Windows, all methods do nothing; there the first client logs a warning.
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
        """Record one finished call; return True if it was accepted.

        False means that it was dropped and counted in ``stats().lost``, or that the client is disabled.
        ``fields`` are those of ``RecordFields``, all optional; ``latency_ms`` is in milliseconds. A missing
        id and timestamp are generated. ``llmledger.line`` describes the types of payloads. Never blocks or
        raises.

        A background response, or a webhook's body that names one, is recorded under the id of its call, once.

        >>> client.record(provider="anthropic", model="claude-sonnet-4-5", response=body, latency_ms=640)
        True
        """
        own = filled(fields)
        response = own.get("response")
        if response is not None and own.get("provider_trace_id") is None:
            with suppress(Exception):  # whatever it is, it is recorded below
                if is_deferred(response) and record_deferred(own, self):
                    return True
        return self.hand_over("record", own)

    def begin(self, **fields: Unpack[BeginFields]) -> bool:
        """Announce the start of a call; return True if it was accepted.

        Pass the ``provider_trace_id`` of its later record. If no record follows, because the application
        crashed, the daemon stores the call as abandoned. Never blocks or raises.

        >>> trace_id = llmledger.new_id()
        >>> client.begin(provider_trace_id=trace_id, provider="openai", model="gpt-4o")
        True
        """
        return self.hand_over("begin", filled(fields))

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait up to ``timeout`` seconds until all accepted records are durable; return True if they are.

        A record that was accepted and dropped later (too long for the daemon) makes one flush return
        False. This blocks the thread: on an event loop, await ``aflush``. Never raises.
        """
        buffer, sender = self._buffer, self._sender
        newest = buffer.newest()
        is_durable = newest < buffer.first or (
            sender is not None and sender.wait_durable(newest, monotonic() + timeout)
        )
        known, self._known_broken = self._known_broken, buffer.broken_promises
        return is_durable and known == self._known_broken

    async def aflush(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109 - the same meaning as in flush
        """Run ``flush`` in a thread of asyncio's executor."""
        import asyncio  # callers of this have it loaded; others do not pay for the import

        return await asyncio.to_thread(self.flush, timeout)

    def close(self, timeout: float = 2.0) -> bool:
        """Flush for at most ``timeout`` seconds and end the session; return True if all records are durable.

        Later records are dropped and counted as ``closed``. Never raises.
        """
        lifecycle.closed(self)
        if self._sender is None:
            self._buffer.finish()
            return self._buffer.records == 0
        return self._sender.close(monotonic() + timeout)

    def stats(self) -> Stats:
        """Return the counters of this process's session.

        >>> client.stats().lost
        {}
        """
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
            unrecorded=self._buffer.unrecorded.copy(),
            begins_lost=self._buffer.begins_lost,
            rejected=0 if sender is None else sender.rejected,
            untrusted=0 if sender is None else sender.untrusted,
        )

    def begin_anew(self) -> None:
        """Reset to a new session in a forked child. Called by ``lifecycle``."""
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
        """Do the work of ``record`` and ``begin`` with a dict, which the client then owns."""
        if self._is_disabled:
            return False
        try:
            sender = self._sender or self._start()
            unwritten_bytes = self._buffer.take(kind, fields, time())
            if sender is not None and unwritten_bytes > sender.wake_above:
                sender.wake()
        except Exception:  # noqa: BLE001 - outermost handler: our faults must never reach the application
            self._buffer.lose(ENCODE_FAILED)
            return False
        return unwritten_bytes > 0

    def report_unrecorded(self, reason: str) -> None:
        """Report a call that was seen and not recorded. Never blocks or raises."""
        if self._is_disabled or self._buffer.is_closed:
            return
        self._buffer.report(reason)
        sender = self._sender or self._start()
        if sender is not None:
            sender.wake()

    def _start(self) -> Sender | None:
        """Return the sender; None if no thread or descriptor is available now."""
        with self._start_lock:
            if self._sender is None and not self._is_starting:
                self._is_starting = True  # a signal handler that records reenters here
                try:
                    self._sender = self._new_sender()
                except (OSError, RuntimeError):
                    return None  # the record waits, and the next one tries again
                finally:
                    self._is_starting = False
            return self._sender

    def _new_sender(self) -> Sender | None:
        if lifecycle.is_exiting():
            self._buffer.finish()  # no sender any more: count the record as lost
            return None
        from llmledger import __version__  # imported late: the package imports this module

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
