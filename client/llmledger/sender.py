"""Sender thread, which owns the socket: connect, handshake, write, read acknowledgments, reconnect.

Invariants:
- No line is written before the hello is answered; then the lines after the answered number follow, in
  order. A connection with any error is dropped, never reused.
- A line leaves the buffer only when the daemon has acknowledged it as durable.
- The thread never spins: each iteration writes, reads, or sleeps.
- Nothing is written to a socket with an untrusted owner (``peer``), however long that lasts.
- A forked child does not run this thread, and closes inherited descriptors without writing to them.
"""

from __future__ import annotations

import select
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Final, Literal

from llmledger.buffer import UNSUPPORTED, Buffer
from llmledger.connection import Connection, Wakeup
from llmledger.outbox import Outbox
from llmledger.peer import Untrusted
from llmledger.protocol import Answer, Hello, frame
from llmledger.timing import AdaptiveSleep, Backoff, LogRateLimit

HELLO_TIMEOUT_SECONDS: Final = 10.0
"""Timeout for answers: a hanging daemon may have a successor at the same path."""

BACKOFF_FIRST_SECONDS: Final = 0.05
BACKOFF_CAP_SECONDS: Final = 3.0

WAKE_NAPPING_SHARE: Final = 4
"""Unwritten fraction of the buffer that ends a nap, so that a burst does not fill it."""

WRITES_PER_TURN: Final = 16
"""Unacknowledged fraction of the buffer above which answers are read, at most 1 MiB later, to free it."""

NAPS_PER_ANSWER: Final = 4
"""Naps after which answers are read that nobody waits for: reading them costs as much as writing some lines."""

_NEVER: Final = sys.maxsize


class Refused(Exception):
    """The daemon refuses this session permanently."""


class Sender:
    """The background thread of one client in one process."""

    def __init__(self, path: str, buffer: Buffer, hello: Hello) -> None:
        self._path = path
        self._buffer = buffer
        self._hello = hello
        self.wake_above = _NEVER
        """Unwritten bytes above which a caller must wake the sleeping thread."""
        self.is_connected = False
        self.rejected = 0
        self.untrusted = 0
        self._wakeup = Wakeup()
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._progress = threading.Condition()
        self._is_closing = False
        self._is_over = False
        self._has_connected = False
        self._failure = ""
        """Why the last attempt to connect failed."""
        self._adaptive_sleep = AdaptiveSleep()
        self._lines_rested = 0
        """Newest line written before the thread's last rest."""
        self._naps_unread = 0
        """Naps since answers were read."""
        self._awaited = 0
        """Number of threads that wait for durability."""
        self._wake_napping_bytes = buffer.max_bytes // WAKE_NAPPING_SHARE
        self._log_limit = LogRateLimit()
        self._backoff = Backoff(first=BACKOFF_FIRST_SECONDS, cap=BACKOFF_CAP_SECONDS)

    # Other threads.

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if none can be created."""
        thread = threading.Thread(target=self._run, name="llmledger-sender", daemon=True)
        thread.start()
        self._thread = thread

    def wake(self) -> None:
        """End the thread's sleep."""
        self.wake_above = _NEVER
        self._wakeup.signal()

    def wait_durable(self, number: int, deadline: float) -> bool:
        """Wait until the first ``number`` lines are durable; return whether they are."""
        if threading.current_thread() is self._thread:
            return False  # a log handler or destructor on this thread would deadlock
        with self._progress:
            self._awaited += 1
            self._wakeup.signal()
            try:
                self._progress.wait_for(
                    lambda: self._is_over or self._buffer.first > number,
                    max(0.0, deadline - time.monotonic()),
                )
            finally:
                self._awaited -= 1
        return self._buffer.first > number

    def close(self, deadline: float) -> bool:
        """Deliver waiting lines and the ``end`` until the deadline, and stop the thread."""
        newest = self._buffer.finish()
        self._is_closing = True
        is_durable = self.wait_durable(newest, deadline)
        self._is_over = True
        self._wakeup.signal()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(0.1, deadline - time.monotonic()))
        records, delivered, _, _ = self._buffer.counts()
        is_durable = is_durable or records == delivered  # all but the ``end``, which tells the daemon no more
        if not is_durable:
            self._say_undelivered()
        return is_durable

    def _say_undelivered(self) -> None:
        if self._has_connected:
            self._warn(
                "undelivered", "closed with records that the daemon at %s has not acknowledged", self._path
            )
            return
        records, delivered, lost, _ = self._buffer.counts()
        left = records - delivered - lost.total()
        self._warn(
            "undelivered",
            "%s not delivered: no daemon answered at %s (%s); start llmledgerd, or set"
            " LLMLEDGER_SOCKET to its socket (LLMLEDGER_DISABLED=1 switches recording off)",
            "1 record was" if left == 1 else f"{left} records were",
            self._path,
            self._failure or "no attempt was finished",
        )

    def abandon(self) -> None:
        """Close the descriptors of the parent's session in a forked child."""
        if self._connection is not None:
            self._connection.close()
        self._wakeup.close()

    # The thread.

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._serve()
            except Refused as error:
                self._refused(error)
            except Untrusted as error:
                self.untrusted += 1
                self._warn(
                    "untrusted", "the socket %s is not trusted, nothing is sent: %s", self._path, error
                )
                self._pause()
            except Exception as error:  # noqa: BLE001 - outermost handler of the thread; it always reconnects
                self._failure = _reason(error)
                self._warn(
                    "away",
                    "the daemon at %s is unavailable (%s); records wait in memory",
                    self._path,
                    self._failure,
                )
                self._pause()
            finally:
                self._disconnect()
        with self._progress:
            self._progress.notify_all()

    def _serve(self) -> None:
        self._connection = connection = Connection(self._wakeup)
        connection.open(self._path)
        self._greet(connection)
        self.is_connected = self._has_connected = True
        self._backoff.succeeded()
        outbox = Outbox(self._buffer)
        while not self._is_over:
            state = self._write(connection, outbox)
            if self._sleep(connection, state):
                self._process(connection.receive())

    def _greet(self, connection: Connection) -> None:
        hello = self._hello
        hello.first = self._buffer.first
        hello.last = self._buffer.last or None
        line = frame("hello", hello)
        if connection.send([memoryview(line)]) != len(line):
            raise BlockingIOError("the socket buffer is full before the hello")
        deadline = time.monotonic() + HELLO_TIMEOUT_SECONDS
        while not self._is_over:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timeout waiting for the answer to the hello")
            if connection.sleep(left) and self._process(connection.receive()):
                return

    def _write(self, connection: Connection, outbox: Outbox) -> Literal["done", "more", "blocked"]:
        """Write waiting lines; ``blocked``: the socket buffer is full."""
        for _ in range(WRITES_PER_TURN):
            views = outbox.views()
            if not views:
                return "done"
            count = connection.send(views)
            if not count:
                return "blocked"
            outbox.written(count)
        return "more"

    def _sleep(self, connection: Connection, state: Literal["done", "more", "blocked"]) -> bool:
        """Sleep until there is something to do; return whether that is, maybe, to receive."""
        if state != "done":
            return connection.sleep(None if state == "blocked" else 0, is_blocked=state == "blocked")
        lines, self._lines_rested = self._buffer.last - self._lines_rested, self._buffer.last
        seconds = self._adaptive_sleep.seconds(lines)
        self.wake_above = 0 if seconds is None else self._wake_napping_bytes
        # Announced first, looked at second: a caller that saw the old value has put its line in before.
        if self._buffer.needs_writing(self.wake_above):
            seconds = 0
        # Answers are read after some naps, not each at a turn of its own, unless a flush or room waits for them.
        receives = seconds is None or self._awaited > 0 or self._buffer.held_bytes > self._wake_napping_bytes
        has_answer = connection.sleep(seconds, receives=receives)
        self.wake_above = _NEVER
        self._naps_unread = 0 if receives else self._naps_unread + 1
        if self._naps_unread < NAPS_PER_ANSWER:
            return has_answer
        self._naps_unread = 0
        return has_answer or self._buffer.first <= self._buffer.last

    def _process(self, answers: list[Answer]) -> bool:
        """Process the answers; return whether one was an acknowledgment."""
        durable = None
        for answer in answers:
            if answer.error is not None:
                raise Refused(f"{answer.error}, supported: {answer.supported}")
            if answer.max_line_bytes is not None:
                self._buffer.max_line_bytes = answer.max_line_bytes
            if answer.rejected is not None:
                self.rejected += 1
                self._warn("rejected", "a record became a dead letter: %s", answer.reason)
            durable = answer.durable if answer.durable is not None else durable
        if durable is None:
            return False
        self._buffer.forget(durable)
        with self._progress:
            self._progress.notify_all()
        return True

    def _refused(self, error: Refused) -> None:
        self._buffer.refuse(UNSUPPORTED)
        self._is_over = True
        self._warn("refused", "the daemon at %s refuses this client: %s", self._path, error)

    def _pause(self) -> None:
        """Wait until the next attempt is due, or until the close."""
        self._disconnect()
        moment = self._backoff.failed(time.monotonic())
        was_closing = self._is_closing
        poll = select.poll()
        poll.register(self._wakeup.reader, select.POLLIN)
        while not self._is_over and self._is_closing == was_closing:
            left = moment - time.monotonic()
            if left <= 0:
                return
            if poll.poll(left * 1000):
                self._wakeup.clear()

    def _disconnect(self) -> None:
        self.is_connected = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._buffer.rewind()

    def _warn(self, kind: str, text: str, *values: Any) -> None:
        if not self._log_limit.is_due(kind, time.monotonic()):
            return
        with suppress(Exception):  # a log handler or filter of the application may raise
            import logging  # imported only when needed: it is a third of the import time

            logging.getLogger("llmledger").warning(text, *values)


def _reason(error: Exception) -> str:
    """Return why there is no connection, in the system's words."""
    said = getattr(error, "strerror", None)
    return said.lower() if isinstance(said, str) and said else str(error) or type(error).__name__
