"""The write-ahead log: segments that are appended to, sealed, read, written off and deleted.

Invariant: nothing that ``append`` returned for is forgotten by a crash after it, and nothing is
deleted before what replaces it is on the disk. All methods but ``read`` and ``compress`` belong
to the one writer thread. The bytes are specified in the package's docstring.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from llmledgerd.errors import ConfigError, SpoolBroken
from llmledgerd.spool import format as fmt
from llmledgerd.spool import recovery
from llmledgerd.spool.backlog import Backlog
from llmledgerd.spool.bounds import Limits
from llmledgerd.spool.files import FileSystem
from llmledgerd.spool.format import Buffer, Kind
from llmledgerd.spool.reserve import Reserve
from llmledgerd.spool.segment import (
    Damage,
    HeaderMeta,
    Open,
    ReadGroup,
    Segment,
    compressed_frames,
    groups,
    name_of,
    senders,
    written_beside,
)
from llmledgerd.spool.state import ONLY_STORE, Change, Group, RejectedRow, Settled, State

MOST_COMPRESSED = 0.9  # a compressed segment is not kept above this share of its former size

_encode = msgspec.msgpack.Encoder().encode
T = TypeVar("T")


class Spool:
    """One folder of segments, and the stores that they wait for."""

    def __init__(
        self,
        files: FileSystem,
        *,
        fsync: bool = True,
        stores: Sequence[str] = (ONLY_STORE,),
        limits: Limits | None = None,
    ) -> None:
        self._files = files
        self._limits = limits or Limits()
        self._reserve = Reserve(files, self._limits.reserve)
        self._fsync = fsync
        self.stores = tuple(stores)
        self._open: Open | None = None
        self._doomed: set[int] = set()
        """Segments to delete once the next header is on the disk, or once the disk allows it."""
        self._unlinked: set[int] = set()
        """Segments whose deletion is not synced yet."""
        self._previous = (0, 0, b"")
        self._swapping = threading.Lock()
        """Lock between deletion of a segment and its replacement by a compressed copy."""
        self.state = State(limits=self._limits)
        self.state.put_in_force(self.stores, {}, 0)
        self._backlog = Backlog(self.stores)
        self.change = Change({}, {})
        """Differences between the configured stores and those of the previous process."""
        self.incomplete = False
        """Sessions may have been lost: an unknown session may repeat stored lines. Known ones have it in
        their ``suspect_until``."""
        self.last_number = 0
        self.last_us = 0
        """Latest time that an earlier process stored."""
        self.unsynced: list[str] = []
        """Segments of an earlier process that may be in the page cache alone, because the disk failed
        at the start. Nothing is appended or acknowledged before they are synced."""

    def recover(self) -> list[Damage]:
        """Recover the state of an earlier process. No content of the folder prevents it.

        Raises ConfigError where the folder itself cannot be read.
        """
        try:
            found = recovery.recover(self._files, self.stores, self._limits)
        except OSError as error:
            raise ConfigError(f"spool_dir: {error.strerror or error}") from error
        self.state = found.state
        self.change = found.change
        self._backlog = Backlog(self.stores)
        for segment in found.segments:
            self._wait(segment)
        self._backlog.sent_before(found.newest)
        self.last_number = found.last_number
        self.last_us = found.last_us
        self._previous = found.previous
        self.incomplete = found.incomplete
        self.unsynced = found.unsynced
        self._doomed = set(found.done)
        for number in [number for number in self._doomed if number < found.base]:
            self._delete(number)
        for store, progress in self.state.snapshot.stores.items():
            if missing := progress.reconcile(self.waiting(store)):
                found.damage.append(Damage("the spool", "lines without a trace", missing, store))
        # What was forgotten since the newest header is back; and an earlier version had no bounds.
        self.state.budget.evict_sessions(self.state.budget.newest_us(), self.waiting_sessions())
        self.state.budget.evict_calls()
        return found.damage

    def forget(self, now_us: int, *, memory_us: int, ended_memory_us: int, live: Collection[bytes]) -> None:
        """Remove expired state and state above the limits, except sessions that are ``live``.

        Sessions with waiting lines stay too: repeats of those lines cannot be looked up in a store yet.
        """
        busy, oldest = self.waiting_sessions().union(live), self.oldest_us(now_us)
        self.state.forget(
            now_us, memory_us=memory_us, ended_memory_us=ended_memory_us, busy=busy, oldest_us=oldest
        )

    def _wait(self, segment: Segment) -> None:
        unread = segment.number > self.state.snapshot.read
        self._backlog.add(segment, self.state.wanting(segment.number), unread=unread)

    # -- appending ---------------------------------------------------------------------------

    def append(self, group: Group, pieces: Sequence[bytes | bytearray], now_us: int) -> None:
        """Write and sync one group; ``first_row`` is set here. After SpoolBroken nothing of it counts."""
        current = self._writable(now_us)
        group.first_row = current.segment.rows
        self._write(current, Kind.GROUP, group, pieces)
        current.segment.add(group, current.segment.size)
        self._backlog.sent(senders([group]), current.segment.number)
        self.state.received_group(group)

    def settle(self, settled: Settled, now_us: int) -> None:
        """Write off a sealed segment for one store, and delete it when that was the last that waited.

        After SpoolBroken the segment still waits.
        """
        settled = self.state.budget.truncated(settled)
        self._write(self._writable(now_us), Kind.SETTLED, settled)
        self.state.settle(settled)
        with self._swapping:
            if self._backlog.settled(settled.store, settled.segment, read=settled.reads):
                self._delete(settled.segment)

    def is_next_to_read(self, segment: Segment) -> bool:
        """Return whether the next settlement of the segment must report its calls and sessions."""
        return self._backlog.is_next_to_read(segment.number)

    def reject_row(self, row: RejectedRow, now_us: int) -> None:
        """Record that a row becomes a dead letter. After SpoolBroken nothing is recorded."""
        self.reject_rows([row], now_us)

    def reject_rows(self, rows: Sequence[RejectedRow], now_us: int) -> None:
        """Record that these rows become dead letters, all with one sync. Raises SpoolBroken, as above."""
        current = self._writable(now_us)
        marker = current.segment.marker
        self._append(
            current,
            [buffer for row in rows for buffer in fmt.encode(marker, Kind.REJECTED_ROW, _encode(row))],
        )
        for row in rows:
            self.state.reject_row(row)

    def seal(self, now_us: int) -> Segment | None:
        """Close the open segment if it has lines, begin the next, and return the sealed one.

        Raises SpoolBroken where the next cannot be begun; the open one stays open then.
        """
        if self._open is None or not self._open.segment.rows:
            return None
        segment = self._open.segment
        self._begin(now_us)
        return segment

    @property
    def open(self) -> Segment | None:
        return self._open.segment if self._open else None

    @property
    def segments(self) -> dict[int, Segment]:
        """The sealed segments, oldest first."""
        return self._backlog.segments

    def queue(self, store: str) -> dict[int, Segment]:
        """Return the segments that wait for one store."""
        return self._backlog.queues[store]

    def waiting(self, store: str) -> int:
        """Return the number of lines that wait for one store."""
        return self._backlog.rows[store] + (self._open.segment.rows if self._open else 0)

    def size(self) -> int:
        """Return the bytes on disk in segments."""
        return self._backlog.size + (self._open.segment.size if self._open else 0)

    def oldest_us(self, default: int) -> int:
        """Return the time of receipt of the oldest waiting line."""
        oldest = next(iter(self.segments.values()), self.open)
        return oldest.first_us if oldest and oldest.rows else default

    def freed_by_shipping(self) -> int:
        """Return the bytes on disk that delivery of the backlog will free."""
        open_ = self.open
        return self._backlog.size + (open_.size if open_ and open_.rows else 0)

    def waiting_sessions(self) -> set[bytes]:
        """Return the sessions whose lines may wait for a store."""
        return self._backlog.waiting_sessions(self.open)

    def unread_sessions(self) -> set[bytes]:
        """Return the sessions with lines that may still end a call or the session."""
        return self._backlog.unread_sessions(self.open)

    def _writable(self, now_us: int) -> Open:
        if self._open is None or self._open.suspect or self._open.segment.is_idle_beyond(self._limits.roll):
            return self._begin(now_us)
        return self._open

    def _write(self, current: Open, kind: Kind, meta: object, body: Sequence[bytes | bytearray] = ()) -> None:
        self._append(current, fmt.encode(current.segment.marker, kind, _encode(meta), body))

    def _append(self, current: Open, frames: list[Buffer]) -> None:
        buffers = frames + fmt.padding(current.segment.marker, sum(map(len, frames)), current.handle.block)
        try:
            current.handle.write(buffers)
            if self._fsync:
                current.handle.sync()
        except OSError as error:
            current.suspect = True
            self.state.cut(current.segment.number, current.segment.size)
            self._cut_back(current.segment)
            raise SpoolBroken(f"{current.segment.name}: {error.strerror or error}") from error
        current.segment.size += sum(map(len, buffers))

    def _cut_back(self, segment: Segment) -> None:
        """Truncate the remains of a failed write. This only simplifies recovery: headers say which bytes count.

        After a failed sync the kernel may take the pages for clean, so the segment is not written
        to again: the next write begins another.
        """
        with suppress(OSError):
            self._files.truncate(segment.name, segment.size)

    def _begin(self, now_us: int) -> Open:
        """Seal the open segment and create the next. After SpoolBroken nothing has changed."""
        try:
            while self.unsynced:
                self._files.resync(self.unsynced[-1])
                self.unsynced.pop()
            created = self._create(now_us)
        except OSError as error:
            if self._open is not None:
                self._open.suspect = True
            raise SpoolBroken(f"no new segment: {error.strerror or error}") from error
        before, self._open = self._open, created
        self.state.deleted(self._unlinked)
        self._unlinked = set()
        if before is not None:
            self._retire(before)
        for number in list(self._doomed):
            self._delete(number)
        return created

    def _create(self, now_us: int) -> Open:
        number = self.last_number + 1
        self.last_number = number  # a name is never used twice, whatever happens to its file
        batch = uuid.uuid4()
        open_ = self.open
        previous = (open_.number, open_.size, open_.marker) if open_ else self._previous
        marker = fmt.new_marker()
        meta = HeaderMeta(
            format=fmt.FORMAT,
            batch=batch.bytes,
            created_us=now_us,
            previous=previous[0],
            previous_size=previous[1],
            previous_marker=previous[2],
        )
        body, flags = fmt.squeezed(_encode(self.state.snapshot))
        buffers = fmt.encode(marker, Kind.HEADER, _encode(meta), [body], flags)
        handle = self._files.create(name_of(number), direct=True)
        buffers += fmt.padding(marker, sum(map(len, buffers)), handle.block)
        try:
            handle.write(buffers)
            handle.sync()
            self._files.sync_folder()
        except OSError:
            with suppress(OSError):
                handle.close()
            self._delete(number)  # should it stay: without lines, recovery deletes it
            raise
        size = sum(map(len, buffers))
        segment = Segment(number=number, batch=str(batch), marker=marker, size=size, header_bytes=size)
        return Open(segment, handle)

    def _retire(self, before: Open) -> None:
        """Close a segment that receives no more lines; delete it if it has none."""
        with suppress(OSError):  # what counts in it was synced
            before.handle.close()
        if before.segment.rows:
            with self._swapping:
                self._wait(before.segment)
        else:
            self._doomed.add(before.segment.number)

    def _delete(self, number: int) -> None:
        """Delete a file that nothing depends on, later if the disk refuses."""
        try:
            self._files.unlink(name_of(number))
        except OSError:
            self._doomed.add(number)
        else:
            self._doomed.discard(number)
            self._unlinked.add(number)

    # -- free space ----------------------------------------------------------------------------------

    def reserve(self) -> None:
        """Reserve disk space for changes that free disk space. Raises SpoolBroken."""
        self._reserve.keep()

    def freeing(self, action: Callable[[], T]) -> T:
        """Make a change that frees disk space, with the reserve if necessary. Raises SpoolBroken."""
        return self._reserve.freeing(action)

    def close(self) -> None:
        """Close the open segment's file; everything in it is as durable as before."""
        if self._open is not None:
            self._open.suspect = True
            with suppress(OSError):
                self._open.handle.close()

    # -- reading -------------------------------------------------------------------------------

    def read(self, segment: Segment) -> Iterator[ReadGroup]:
        """Yield a sealed segment's groups in order, with little of it in memory at a time.

        Raises SpoolBroken where the disk fails.
        """
        damaged = False
        try:
            with self._files.reading(segment.name) as read:
                for found in groups(segment, read):
                    damaged = damaged or found.body is None
                    yield found
        except OSError as error:
            raise _unreadable(segment, error) from error
        if damaged:
            with suppress(OSError):  # the copy is for operators; the lines are counted as lost in any case
                self._files.copy(segment.name, f"{recovery.QUARANTINE}/{segment.name}")

    def compress(self, segment: Segment) -> bool:
        """Compress a sealed segment that has to wait; return whether its file was replaced.

        For any thread. Raises SpoolBroken where the disk fails; the segment reads as before then.
        """
        try:
            buffers = compressed_frames(segment.marker, self._files.read(segment.name, 0, segment.size))
        except OSError as error:
            raise _unreadable(segment, error) from error
        size = sum(map(len, buffers))
        segment.compressed = True
        if not buffers or size > segment.size * MOST_COMPRESSED:
            return False
        try:
            temporary = written_beside(self._files, segment.name, buffers)
            with self._swapping:
                if segment.number not in self.segments:
                    self._files.unlink(temporary)
                    return False
                self._files.rename(temporary, segment.name)
                self._backlog.resized(segment, size)
            self._files.sync_folder()
        except OSError as error:
            segment.compressed = False
            raise SpoolBroken(f"{segment.name}: not compressed: {error.strerror or error}") from error
        return True


def _unreadable(segment: Segment, error: OSError) -> SpoolBroken:
    return SpoolBroken(f"{segment.name}: {error.strerror or error}")
