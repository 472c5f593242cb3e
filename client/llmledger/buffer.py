"""What has been handed over and is not yet durable, bounded in bytes, in the order of its numbers.

Invariants:
- ``records`` = ``delivered`` + waiting records + the sum of ``lost``, whenever the lock is free; lines
  that have come and were not taken up yet are in none of these, and ``counts`` takes them up.
- The n-th line that entered has the number n, counted from 1; lines leave from the front alone,
  when the daemon has called them durable. A written line that may not be written again is replaced
  by the report of its loss, so that no other line's number moves.
- ``take`` does no I/O, and while there is room no lock is taken: it appends to ``_coming``, which is
  atomic, and whoever holds the lock takes these lines up before anything else, a few at most. It may
  be called again on its own thread while anything here runs (by a signal handler or a destructor).
- When it is full the newest record is dropped and counted; into an empty buffer one record enters
  that is larger than the bound. Nothing is dropped before the sums have been made exact.

Why no lock: in a caller whose caches are cold, taking and giving back a free one is a quarter of what
``record`` took with it (``python -m bench.cold``).
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from sys import getsizeof
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeVar

from llmledger.encoding import SCALARS
from llmledger.line import FIELD_BYTES, OVERHEAD_BYTES, SHORT, Line, control, frozen
from llmledger.protocol import MAX_LINE_BYTES

BUFFER_FULL: Final = "buffer_full"
TOO_LONG: Final = "too_long"
CLOSED: Final = "closed"
ENCODE_FAILED: Final = "encode_failed"
UNSUPPORTED: Final = "unsupported_protocol_version"

_FORGET_AT_ONCE = 256
"""Lines that leave under one hold of the lock: some 0.1 ms, while a caller might wait for it."""

_COMING_AT_MOST: Final = 32
"""Then a caller takes them up itself: some 25 µs, once in 32 records, where no sender comes by."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _alone(
    method: Callable[Concatenate[Buffer, _P], _T],
) -> Callable[Concatenate[Buffer, _P], _T]:
    """Run the method under the lock, behind all lines that came, with calls from within it recognized."""

    def run(self: Buffer, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self._lock:
            was_inside, self._inside = self._inside, True
            try:
                if not was_inside:
                    self._take_up()
                return method(self, *args, **kwargs)
            finally:
                self._inside = was_inside

    return run


class Buffer:
    """Lines between the application's threads and the sender's."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.max_line_bytes = MAX_LINE_BYTES
        self.records = 0
        self.delivered = 0
        self.begins_lost = 0
        self.broken_promises = 0
        """Records that were taken first and lost later: too long, or refused by the daemon."""
        self.lost: Counter[str] = Counter()
        self.held_bytes = 0
        self.unwritten_bytes = 0
        self._coming: deque[Line] = deque()
        """Lines that were offered and are in no sum yet, but in this one."""
        self._coming_bytes = 0
        """What they take, as callers add it up without a lock: should threads ever lose each other's
        addition, it is too low until the lines are taken up, and right again from then on."""
        self.first = 1
        """The number of the oldest line that is held, or of the next one to come."""
        self.last = 0
        """The number of the newest line that was ever given to a connection, in whole or in part."""
        # An RLock, because a lock taken with `with` is given back whatever a signal handler raises,
        # and because the same thread may come again.
        self._lock = threading.RLock()
        self._inside = False
        self._written: deque[Line] = deque()
        self._unwritten: deque[Line] = deque()
        self._unreported: Counter[str] = Counter()
        self._report_number = 0
        self._closed = ""
        self._limit = max_bytes
        """Up to that much, ``take`` need not look closer; -1 when nothing is taken any more."""

    # Any thread.

    def take(self, kind: Literal["record", "begin"], fields: dict[str, Any], now: float) -> int:
        """Take the fields; return how many bytes wait to be written, or 0: dropped, and counted.

        All the work on the caller's thread, in one body: with cold caches, as between two calls of a
        model, the application pays more for what is touched here than for what is done.
        """
        size = OVERHEAD_BYTES + FIELD_BYTES * len(fields)
        for name, value in fields.items():
            of = type(value)
            if of is str or of is bytes:
                length = len(value)
                size += length if length < SHORT or of is bytes or value.isascii() else getsizeof(value)
            elif of not in SCALARS:
                fields[name] = value = frozen(name, value)
                size += len(value)
        line = Line(kind, size, fields, now)
        are_many = len(self._coming) >= _COMING_AT_MOST
        # Nothing is called between this and its being set: that is where CPython lets other threads in.
        coming_bytes = self._coming_bytes + size
        if are_many or self.held_bytes + coming_bytes > self._limit:
            return self.offer(line)
        self._coming_bytes = coming_bytes
        self._coming.append(line)
        return self.unwritten_bytes + coming_bytes

    def offer(self, line: Line) -> int:
        """Do as ``take`` does with a line, under the lock: by exact sums."""
        with self._lock:
            if self._inside:  # this thread is at work below: the line is judged when it is taken up
                self._coming_bytes += line.size
                self._coming.append(line)
                return self.unwritten_bytes + self._coming_bytes
            self._inside = True
            try:
                self._take_up()
                return self.unwritten_bytes if self._enter(line) else 0
            finally:
                self._inside = False

    @_alone
    def lose(self, reason: str) -> None:
        """Count a record that never became a line."""
        self._count_lost(reason)

    @_alone
    def counts(self) -> tuple[int, int, Counter[str], int]:
        """Return, of one moment, ``records``, ``delivered``, ``lost`` and ``held_bytes``."""
        return self.records, self.delivered, self.lost.copy(), self.held_bytes

    @_alone
    def needs_writing(self, above: int) -> bool:
        """Return whether more bytes than that wait to be written."""
        return self.unwritten_bytes > above

    @_alone
    def newest(self) -> int:
        """Return the number of the newest line, 0 before the first."""
        return self.first + len(self._written) + len(self._unwritten) - 1

    @_alone
    def finish(self) -> int:
        """Take nothing more, put the last report and the ``end`` behind the rest; return its number."""
        if not self._closed:
            self._closed = CLOSED
            self._limit = -1
            if self._unreported:
                self._report()
            self._append(control("end", {"taken": self.records}))
        return self.newest()

    # The sender's thread.

    @_alone
    def next_line(self) -> Line | None:
        """Return the next line to write, which is then waiting for its ``durable``."""
        # One report waits at a time: while records are dropped, each would be followed by another.
        if self._unreported and self._report_number <= self.last and not self._closed:
            self._report()
        if not self._unwritten:
            return None
        line = self._unwritten.popleft()
        self.unwritten_bytes -= line.size
        self._written.append(line)
        self.last = max(self.last, self.first + len(self._written) - 1)
        return line

    @_alone
    def replace(self, reason: str) -> Line:
        """Drop the line that ``next_line`` gave last; return the report that takes its number."""
        line = self._written.pop()
        self.held_bytes -= line.size
        self._count_lost(reason, line, is_handed_over=True)
        report = control("dropped", dict(self._unreported))
        self._unreported.clear()
        self._written.append(report)
        self.held_bytes += report.size
        return report

    @_alone
    def rewind(self) -> None:
        """The connection is gone: all that is not durable is to be written again."""
        self.unwritten_bytes += sum(line.size for line in self._written)
        self._unwritten.extendleft(reversed(self._written))
        self._written.clear()

    def forget(self, durable: int) -> None:
        """Let go of the first ``durable`` lines of the session, as far as they were ever written."""
        while self._forget_some(min(durable, self.last)):
            pass

    @_alone
    def refuse(self, reason: str) -> None:
        """Nobody will ever take these lines: drop and count them, and all that come later."""
        self._closed = reason
        self._limit = -1
        for line in (*self._written, *self._unwritten):
            self._count_lost(reason, line, is_handed_over=True)
        self._written.clear()
        self._unwritten.clear()
        self.held_bytes = self.unwritten_bytes = 0

    # Inside the lock.

    @_alone
    def _forget_some(self, durable: int) -> bool:
        for _ in range(_FORGET_AT_ONCE):
            if self.first > durable:
                return False
            if self._written:
                line = self._written.popleft()
            else:
                line = self._unwritten.popleft()
                self.unwritten_bytes -= line.size
            self.held_bytes -= line.size
            self.delivered += line.kind == "record"
            self.first += 1
        return True

    def _take_up(self) -> None:
        while self._coming:
            line = self._coming.popleft()
            if not self._enter(line):
                self.broken_promises += line.kind == "record"
        self._coming_bytes = 0

    def _enter(self, line: Line) -> bool:
        is_full = self.held_bytes > 0 and self.held_bytes + line.size > self.max_bytes
        reason = self._closed or (BUFFER_FULL if is_full else "")
        if reason:
            self._count_lost(reason, line)
            return False
        self.records += line.kind == "record"
        self._append(line)
        return True

    def _append(self, line: Line) -> None:
        self.held_bytes += line.size
        self.unwritten_bytes += line.size
        self._unwritten.append(line)

    def _count_lost(self, reason: str, line: Line | None = None, is_handed_over: bool = False) -> None:
        """``is_handed_over``: the line was counted among ``records`` when it entered."""
        if line is not None and line.kind != "record":
            self.begins_lost += line.kind == "begin"
            return
        self.records += not is_handed_over
        self.broken_promises += is_handed_over
        self.lost[reason] += 1
        self._unreported[reason] += 1

    def _report(self) -> None:
        self._append(control("dropped", dict(self._unreported)))
        self._unreported.clear()
        self._report_number = self.first + len(self._written) + len(self._unwritten) - 1
