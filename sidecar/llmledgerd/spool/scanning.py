"""Scanning of one segment file: which of its frames are whole, and which of its bytes count.

Invariant: nothing is written here. Bytes of another format raise NotUnderstood and are never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llmledgerd.spool import format as fmt
from llmledgerd.spool.files import FileSystem
from llmledgerd.spool.format import Frame, Gap, Kind
from llmledgerd.spool.segment import HeaderMeta, name_of
from llmledgerd.spool.state import Group, RejectedRow, Settled, Snapshot

HEAD_READ = 4096  # holds the head and the meta of most groups, so one read does

Record = HeaderMeta | Group | Settled | RejectedRow

_RECORDS: dict[int, type[Record]] = {
    Kind.HEADER: HeaderMeta,
    Kind.GROUP: Group,
    Kind.SETTLED: Settled,
    Kind.REJECTED_ROW: RejectedRow,
}


class NotUnderstood(Exception):
    """Written by another version."""


class Found(msgspec.Struct):
    """A frame without its body; ``record`` is None for a kind that is not known."""

    record: Record | None
    start: int
    end: int
    whole: bool = True
    """Its body has not been found damaged."""


class Opened(msgspec.Struct):
    """One segment file as it was read, up to the bytes that count."""

    number: int
    size: int
    marker: bytes
    """What its frames begin with; empty where none is whole."""
    sealed: bool
    """A newer header is there, so all of this one was synced, and a hole in it is no torn tail."""
    frames: list[Found] = []
    gaps: list[Gap] = []
    snapshot: Snapshot | None = None
    longer: bool = False
    """The file goes on beyond what counts."""
    kept: bool = True
    """What could not be understood is in quarantine, or there was no such thing."""

    @property
    def header(self) -> HeaderMeta | None:
        first = self.frames[0].record if self.frames else None
        return first if isinstance(first, HeaderMeta) else None

    @property
    def groups(self) -> Iterator[Group]:
        return (frame.record for frame in self.frames if isinstance(frame.record, Group))


def marker_of(files: FileSystem, number: int, known: bytes) -> bytes:
    """Return what a segment's frames begin with. Raises OSError.

    Its own first head says so, or else ``known``, the word of the next header; only where both are
    gone, which takes damage to the newest segment's header, is it the first whole head's in the file.
    """
    name = name_of(number)
    start = files.read(name, 0, HEAD_READ)
    own = start[: fmt.MARKER_BYTES]
    if start.startswith(fmt.MAGIC) and fmt.read_head(own, start) is not None:
        return own
    return known or fmt.marker_in(files.read(name))


def scan_segment(
    files: FileSystem, number: int, marker: bytes, limit: int | None, sealed: bool, with_snapshot: bool
) -> Opened:
    """Scan one segment. Raises OSError, NotUnderstood.

    A sealed segment was synced, so its bodies are left alone until they are shipped: a backlog of
    gigabytes must not delay the start. The newest is read whole.
    """
    there = files.size(name_of(number))
    size = there if limit is None else min(there, limit)
    skimmed = _skim(files, Opened(number, size, marker, sealed), with_snapshot) if sealed else None
    opened = skimmed or _read_whole(files, Opened(number, size, marker, sealed))
    opened.longer = size < there
    return opened


def _skim(files: FileSystem, opened: Opened, with_snapshot: bool) -> Opened | None:
    """Read heads and metas alone; None at the first one that is not whole."""
    at, name = 0, name_of(opened.number)
    while at < opened.size:
        data = files.read(name, at, HEAD_READ)
        more = fmt.HEAD_BYTES + fmt.meta_bytes(opened.marker, data) - len(data)
        if more > 0:
            data += files.read(name, at + len(data), more)
        head = fmt.read_head(opened.marker, data)
        if head is None or at + head.size > opened.size:
            return None
        record = _record(head.kind, data[fmt.HEAD_BYTES :][: head.meta_len])
        if with_snapshot and isinstance(record, HeaderMeta):
            (frame,) = fmt.scan(opened.marker, files.read(name, at, head.size))
            opened.snapshot = _snapshot(frame)
        opened.frames.append(Found(record, at, at + head.size))
        at += head.size
    return opened


def _read_whole(files: FileSystem, opened: Opened) -> Opened:
    """Read every byte; frames at the end whose body is not whole are part of the torn tail.

    So is the padding behind one, which may have come to the disk before it.
    """
    whole = 0
    for item in fmt.scan(opened.marker, files.read(name_of(opened.number), 0, opened.size)):
        if isinstance(item, Gap):
            opened.gaps.append(item)
            continue
        record = _record(item.kind, item.meta)
        opened.frames.append(Found(record, item.start, item.end, item.body is not None))
        if isinstance(record, HeaderMeta):
            opened.snapshot = _snapshot(item)
        is_next = item.kind != Kind.PADDING or whole == len(opened.frames) - 1
        if is_next and (item.body is not None or isinstance(record, HeaderMeta)):
            whole = len(opened.frames)
    if whole < len(opened.frames):
        tail = opened.frames[whole].start
        opened.frames = opened.frames[:whole]
        opened.gaps = [gap for gap in opened.gaps if gap.end <= tail] + [Gap(tail, opened.size)]
    return opened


def _record(kind: int, meta: bytes) -> Record | None:
    known = _RECORDS.get(kind)
    if known is None:
        return None
    try:
        record = msgspec.msgpack.decode(meta, type=known)
    except msgspec.DecodeError as error:
        raise NotUnderstood from error
    if isinstance(record, HeaderMeta) and record.format != fmt.FORMAT:
        raise NotUnderstood
    return record


def _snapshot(frame: Frame | Gap) -> Snapshot | None:
    if isinstance(frame, Gap):
        return None
    try:
        return msgspec.msgpack.decode(fmt.body_of(frame), type=Snapshot)
    except (ValueError, msgspec.DecodeError):
        return None
