"""Buffer of records that are not yet durable: bounded in bytes, ordered by line number.

Invariants:
- ``records`` = ``delivered`` + waiting records + the sum of ``lost``, whenever the lock is free; incoming
  lines that were not yet merged are in none of these, and ``counts`` merges them.
- The n-th line that entered has the number n, from 1; lines leave only from the front, when the daemon
  has acknowledged them as durable. A written line that must not be written again is replaced by the
  report of its loss, so that other lines keep their numbers.
- ``take`` does no I/O, and takes no lock while there is space: it appends to ``_coming``, which is
  atomic, and each holder of the lock merges these few lines first. It is reentrant: a signal handler
  or a destructor may call it on the same thread while any method runs.
- When the buffer is full the newest record is dropped and counted; an empty buffer accepts one record
  larger than the limit. Nothing is dropped before the counts are exact.

Reason for the lock-free path: with cold caches, acquiring and releasing a free lock was a quarter of the
cost of ``record`` (``python -m bench.cold``).
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
"""Limit of lines removed per hold of the lock: some 0.1 ms, for which a caller can block."""

_COMING_AT_MOST: Final = 32
"""Incoming lines after which the caller merges them itself: some 25 µs, once in 32 records without a sender."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _alone(
    method: Callable[Concatenate[Buffer, _P], _T],
) -> Callable[Concatenate[Buffer, _P], _T]:
    """Run the method under the lock, after merging incoming lines, and detect reentrant calls."""

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
    """Queue of lines between the application's threads and the sender's thread."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.max_line_bytes = MAX_LINE_BYTES
        self.records = 0
        self.delivered = 0
        self.begins_lost = 0
        self.broken_promises = 0
        """Records that were accepted and lost afterwards: too long, or refused by the daemon."""
        self.lost: Counter[str] = Counter()
        self.unrecorded: Counter[str] = Counter()
        """Calls of which no record was made, in none of the other sums."""
        self.held_bytes = 0
        self.unwritten_bytes = 0
        self._coming: deque[Line] = deque()
        """Lines appended without the lock, not yet counted in ``held_bytes``."""
        self._coming_bytes = 0
        """Their size, added up without the lock: if threads lose an addition, it is too low until the
        lines are merged, and exact afterwards."""
        self.first = 1
        """Number of the oldest line in the buffer, or of the next line if it is empty."""
        self.last = 0
        """Number of the newest line ever written to a connection, completely or partly."""
        # An RLock, because `with` releases it whatever a signal handler raises,
        # and because the same thread may reenter.
        self._lock = threading.RLock()
        self._inside = False
        self._written: deque[Line] = deque()
        self._unwritten: deque[Line] = deque()
        self._unreported: Counter[str] = Counter()
        self._report_number = 0
        self._closed = ""
        self._limit = max_bytes
        """Size up to which ``take`` needs no exact count; -1 when the buffer is closed."""

    # Any thread.

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is accepted."""
        return bool(self._closed)

    def take(self, kind: Literal["record", "begin"], fields: dict[str, Any], now: float) -> int:
        """Accept the fields; return the number of unwritten bytes, or 0 if the record was dropped and counted.

        This is all work on the caller's thread, in one body: with cold caches, as between two calls of a
        model, memory access costs the application more than the computation.
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
        # No call between reading and setting it: CPython switches threads at calls.
        coming_bytes = self._coming_bytes + size
        if are_many or self.held_bytes + coming_bytes > self._limit:
            return self.offer(line)
        self._coming_bytes = coming_bytes
        self._coming.append(line)
        return self.unwritten_bytes + coming_bytes

    def offer(self, line: Line) -> int:
        """Accept a line as ``take`` does, but under the lock, with exact counts."""
        with self._lock:
            if self._inside:  # reentrant call: the line is checked when it is merged
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
        """Count a record that was lost before it became a line."""
        self._count_lost(reason)

    @_alone
    def report(self, reason: str) -> None:
        """Report a call of which no record was made, in the next loss report."""
        self.unrecorded[reason] += 1
        self._unreported[reason] += 1

    @_alone
    def counts(self) -> tuple[int, int, Counter[str], int]:
        """Return a consistent snapshot of ``records``, ``delivered``, ``lost`` and ``held_bytes``."""
        return self.records, self.delivered, self.lost.copy(), self.held_bytes

    @_alone
    def needs_writing(self, above: int) -> bool:
        """Return whether more than ``above`` bytes are unwritten."""
        return self.unwritten_bytes > above

    @_alone
    def newest(self) -> int:
        """Return the number of the newest line, 0 before the first."""
        return self.first + len(self._written) + len(self._unwritten) - 1

    @_alone
    def finish(self) -> int:
        """Close the buffer, append the last loss report and the ``end`` line; return its number."""
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
        """Return the next line to write; it then waits for its acknowledgment."""
        # One loss report at a time: otherwise each dropped record would add another.
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
        """Drop the last line from ``next_line``; return the loss report that takes its number."""
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
        """Mark all lines that are not durable as unwritten, after a connection was lost."""
        self.unwritten_bytes += sum(line.size for line in self._written)
        self._unwritten.extendleft(reversed(self._written))
        self._written.clear()

    def forget(self, durable: int) -> None:
        """Remove the first ``durable`` lines of the session, as far as they were written."""
        while self._forget_some(min(durable, self.last)):
            pass

    @_alone
    def refuse(self, reason: str) -> None:
        """Drop and count all lines, now and later: the daemon refuses the session."""
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
