"""The log: segments that are appended to, sealed, read, written off and deleted.

Invariant: nothing that ``append`` returned for is forgotten by a crash after it, and nothing is
deleted before what replaces it is on the disk. All methods but ``read`` and ``compress`` belong
to the one writer thread. The bytes are specified in the package's docstring.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from llmtraced.errors import SpoolBroken
from llmtraced.spool import format as fmt
from llmtraced.spool import recovery
from llmtraced.spool.files import Files, Handle
from llmtraced.spool.format import Buffer, Gap, Kind
from llmtraced.spool.segment import Damage, HeaderMeta, ReadGroup, Segment, groups_in, name_of, rewrite
from llmtraced.spool.state import Condemned, Group, Settled, State

RESERVE = "reserve"
RESERVE_BYTES = 4 << 20  # a header with 50,000 sessions and some settled frames fit

_encode = msgspec.msgpack.Encoder().encode


class Open(msgspec.Struct):
    """The segment that is being appended to."""

    segment: Segment
    handle: Handle
    suspect: bool = False
    """A write failed: what the file holds beyond ``segment.size`` is not known."""


class Spool:
    """One folder of segments. ``segments`` are the sealed ones, oldest first."""

    def __init__(self, files: Files, *, fsync: bool = True) -> None:
        self._files = files
        self._fsync = fsync
        self._open: Open | None = None
        self._deletions: list[int] = []
        self._previous = (0, 0)
        self.state = State()
        self.segments: dict[int, Segment] = {}
        self.incomplete = False
        """Sessions may have been forgotten: an unknown one may repeat what was stored."""
        self.last_number = 0

    def recover(self) -> list[Damage]:
        """Take over what an earlier process left. Nothing that lies in the folder stops it."""
        found = recovery.recover(self._files)
        self.state = found.state
        self.segments = {segment.number: segment for segment in found.segments}
        self.last_number = found.last_number
        self._previous = found.previous
        self.incomplete = found.incomplete
        for number in {*found.done, *self.state.snapshot.settled}:
            self._delete(number)
        missing = self.state.reconcile(self.waiting())
        if missing:
            found.damage.append(Damage("the spool", "lines without a trace", missing))
        return found.damage

    # -- appending ---------------------------------------------------------------------------

    def append(self, group: Group, pieces: Sequence[bytes | bytearray], now_us: int) -> None:
        """Write and sync one group; ``first_row`` is set here. Raises SpoolBroken: nothing counts."""
        current = self._writable(now_us)
        group.first_row = current.segment.rows
        self._write(current, fmt.encode(Kind.GROUP, _encode(group), pieces))
        current.segment.add(group, current.segment.size)
        self.state.received_group(group)

    def settle(self, settled: Settled, now_us: int) -> None:
        """Write off a sealed segment, then delete it. Raises SpoolBroken: it is still there."""
        self._write(self._writable(now_us), fmt.encode(Kind.SETTLED, _encode(settled)))
        self.state.settle(settled)
        self.segments.pop(settled.segment, None)
        self._delete(settled.segment)

    def condemn(self, row: Condemned, now_us: int) -> None:
        """Write down that a row becomes a dead letter. Raises SpoolBroken: it is not decided."""
        self._write(self._writable(now_us), fmt.encode(Kind.CONDEMNED, _encode(row)))
        self.state.condemn(row)

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

    def waiting(self) -> int:
        """Lines that lie in segments."""
        return sum(segment.rows for segment in self._all())

    def size(self) -> int:
        """Bytes on disk in segments."""
        return sum(segment.size for segment in self._all())

    def waiting_by_session(self) -> Counter[bytes]:
        total: Counter[bytes] = Counter()
        for segment in self._all():
            total.update(segment.by_session)
        return total

    def _all(self) -> Iterator[Segment]:
        yield from self.segments.values()
        if self._open is not None:
            yield self._open.segment

    def _writable(self, now_us: int) -> Open:
        if self._open is None or self._open.suspect:
            return self._begin(now_us)
        return self._open

    def _write(self, current: Open, buffers: list[Buffer]) -> None:
        try:
            current.handle.write(buffers)
            if self._fsync:
                current.handle.sync()
        except OSError as error:
            current.suspect = True
            self._cut_back(current.segment)
            raise SpoolBroken(f"{current.segment.name}: {error.strerror or error}") from error
        current.segment.size += sum(map(len, buffers))

    def _cut_back(self, segment: Segment) -> None:
        """Drop what a failed write left, as a courtesy to recovery; headers say what counts anyway.

        After a failed sync the kernel may take the pages for clean, so the segment is not written
        to again: the next write begins another.
        """
        try:
            self._files.truncate(segment.name, segment.size)
        except OSError:
            return

    def _begin(self, now_us: int) -> Open:
        """Seal what is open and create the next segment. Raises SpoolBroken: nothing changed."""
        try:
            created = self._create(now_us)
        except OSError as error:
            raise SpoolBroken(f"no new segment: {error.strerror or error}") from error
        self._retire()
        self._open = created
        return created

    def _create(self, now_us: int) -> Open:
        number = self.last_number + 1
        self.last_number = number  # a name is never used twice, whatever happens to its file
        batch = uuid.uuid4()
        open_ = self.open
        previous = (open_.number, open_.size) if open_ else self._previous
        meta = HeaderMeta(
            format=fmt.FORMAT,
            batch=batch.bytes,
            created_us=now_us,
            previous=previous[0],
            previous_size=previous[1],
        )
        buffers = fmt.encode(Kind.HEADER, _encode(meta), [_encode(self.state.snapshot)])
        handle = self._files.create(name_of(number))
        try:
            handle.write(buffers)
            handle.sync()
            self._files.sync_folder()
        except OSError:
            handle.close()
            self._unlink(name_of(number))  # what stays is empty, and recovery deletes it
            raise
        return Open(Segment(number=number, batch=str(batch), size=sum(map(len, buffers))), handle)

    def _retire(self) -> None:
        """Let go of the segment before, and of what the folder's sync has made certain."""
        gone, self._deletions = set(self._deletions), []
        self.state.snapshot.settled = [n for n in self.state.snapshot.settled if n not in gone]
        if self._open is None:
            return
        self._open.handle.close()
        segment = self._open.segment
        if segment.rows:
            self.segments[segment.number] = segment
        else:
            self._delete(segment.number)

    def _delete(self, number: int) -> None:
        if self._unlink(name_of(number)):
            self._deletions.append(number)

    def _unlink(self, name: str) -> bool:
        """Delete a file that nothing depends on; return whether it is gone."""
        try:
            self._files.unlink(name)
        except OSError:
            return False
        return True

    # -- room ----------------------------------------------------------------------------------

    def reserve(self) -> None:
        """Keep some bytes of the disk for the spool's own book-keeping. Raises SpoolBroken."""
        try:
            self._files.reserve(RESERVE, RESERVE_BYTES)
        except OSError as error:
            raise SpoolBroken(f"reserve: {error.strerror or error}") from error

    def give_up_reserve(self) -> None:
        """Make room on a full disk, so that finished segments can be written off."""
        self._unlink(RESERVE)

    # -- reading -------------------------------------------------------------------------------

    def read(self, segment: Segment) -> list[ReadGroup]:
        """Return a sealed segment's groups in order. Raises SpoolBroken where the disk fails."""
        try:
            data = self._files.read(segment.name, 0, segment.size)
        except OSError as error:
            raise SpoolBroken(f"{segment.name}: {error.strerror or error}") from error
        return list(groups_in(data))

    def compress(self, segment: Segment) -> bool:
        """Rewrite a sealed segment that has to wait, smaller; return whether that was worth it."""
        data = self._files.read(segment.name, 0, segment.size)
        buffers: list[Buffer] = []
        for frame in fmt.scan(data):
            if isinstance(frame, Gap) or frame.body is None:
                return False  # reading it says what is lost; nothing is rewritten over damage
            buffers += fmt.compressed(frame)
        size = sum(map(len, buffers))
        if size > segment.size * 0.9:
            segment.compressed = True
            return False
        rewrite(self._files, segment.name, buffers)
        segment.size, segment.compressed = size, True
        return True
