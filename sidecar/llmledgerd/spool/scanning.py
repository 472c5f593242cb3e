"""Scan of one segment file for its whole frames and its valid length.

Invariant: this module writes nothing. Bytes of another format raise NotUnderstood.
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
    """The file was written by another version."""


class Found(msgspec.Struct):
    """A frame without its body; ``record`` is None for a kind that is not known."""

    record: Record | None
    start: int
    end: int
    whole: bool = True
    """The body is not known to be damaged."""


class Opened(msgspec.Struct):
    """Result of reading one segment file, up to its valid length."""

    number: int
    size: int
    marker: bytes
    """Marker of its frames; empty if no frame is whole."""
    sealed: bool
    """A newer header exists, so the whole segment was synced, and a hole in it is not a torn tail."""
    frames: list[Found] = []
    gaps: list[Gap] = []
    snapshot: Snapshot | None = None
    longer: bool = False
    """The file is longer than its valid length."""
    kept: bool = True
    """Bytes that could not be understood, if any, are in quarantine."""

    @property
    def header(self) -> HeaderMeta | None:
        first = self.frames[0].record if self.frames else None
        return first if isinstance(first, HeaderMeta) else None

    @property
    def groups(self) -> Iterator[Group]:
        return (frame.record for frame in self.frames if isinstance(frame.record, Group))


def marker_of(files: FileSystem, number: int, known: bytes) -> bytes:
    """Return the marker of a segment's frames. Raises OSError.

    It is in the first head, or in the next header (``known``). If both are lost, which requires damage to
    the newest segment's header, the marker of the first whole head in the file is used.
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
    """Read heads and metas without bodies; None if one is not whole."""
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

    Padding after such a frame is part of it too, because it may have reached the disk first.
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
