"""Segment: its name, its metadata, and the reading of its groups.

Invariant: reading never changes a file, and damage is reported, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec

from llmledgerd.spool import format as fmt
from llmledgerd.spool.files import FileSystem, Handle
from llmledgerd.spool.format import Buffer, Frame, Gap, Kind
from llmledgerd.spool.state import Group

SUFFIX = ".seg"
TEMPORARY = ".tmp"
PART_BYTES = 128 << 10
"""Bytes of a segment in memory at a time, beside a larger group. Larger parts keep the disk from the next sync for
longer (docs/performance.md, "What was tried")."""
HEAD_PART_BYTES = 8 << 10
"""Bytes read behind such a group: its padding and the next head, which tells how much to read for that one."""


class HeaderMeta(msgspec.Struct, kw_only=True):
    """Meta of a header: its content beside the snapshot."""

    format: int
    batch: bytes
    created_us: int
    previous: int = 0
    previous_size: int = 0
    """Valid length of the previous segment; a failed write may have left more bytes."""
    previous_marker: bytes = b""
    """Marker of the previous segment, in case its own header is damaged."""


class Segment(msgspec.Struct, kw_only=True):
    """Metadata of a segment, in memory."""

    number: int
    batch: str
    """Its UUID, ``batch_id`` of its rows."""
    marker: bytes = b""
    """Marker of its frames."""
    size: int = 0
    rows: int = 0
    line_bytes: int = 0
    """Bytes of lines, as received."""
    first_us: int = 0
    last_us: int = 0
    header_bytes: int = 0
    """Bytes of its header, if this process began it."""
    recovered: bool = False
    """It was begun by an earlier process, which may have inserted it."""
    compressed: bool = False
    nameless: bool = False
    """Its header is lost, and with it the id under which its rows may have been inserted. ``batch`` is then
    derived from its number, and its lines count as repeats, so that they are looked up by id."""

    @property
    def name(self) -> str:
        return name_of(self.number)

    def is_idle_beyond(self, size: int) -> bool:
        """Return whether so many bytes without a line follow the header.

        A segment with lines is sealed because of them; nothing else would end one without lines.
        """
        return not self.rows and self.size - self.header_bytes >= size

    def add(self, group: Group, size: int) -> None:
        self.rows = max(self.rows, group.first_row + group.lines)
        self.line_bytes += sum(entry.size for entry in group.entries)
        self.first_us = min(self.first_us or group.received_us, group.received_us)
        self.last_us = max(self.last_us, group.received_us)
        self.size = size


class Open(msgspec.Struct):
    """The segment that is being appended to."""

    segment: Segment
    handle: Handle
    suspect: bool = False
    """It is not written to again. Either a write failed, so that it is unknown what the file holds
    beyond ``segment.size``; or its successor could not be begun, and a header that says how much of
    this one counts may be on the disk all the same."""


class ReadGroup(msgspec.Struct):
    """Group read from a segment; ``body`` is None if it is damaged."""

    group: Group
    body: bytes | memoryview | None


class Damage(msgspec.Struct):
    """Damage that recovery found, for the log and the accounting. ``lines`` is None if unknown."""

    segment: str
    what: str
    lines: int | None = None
    store: str = ""
    """Store that lacks the lines; empty if the damage concerns all."""


_decode_group = msgspec.msgpack.Decoder(Group).decode


def name_of(number: int) -> str:
    return f"{number:016d}{SUFFIX}"


def number_of(name: str) -> int | None:
    """Return the number of the segment that has this name; None where it is no segment's name."""
    stem = name.removesuffix(SUFFIX)
    # The spool never writes seventeen digits: sixteen are enough for a segment each microsecond,
    # and a foreign file must not raise the numbers above what a header can say.
    if len(stem) != 16 or not (stem.isascii() and stem.isdigit()):
        return None
    return int(stem) if name == name_of(int(stem)) else None


def frames(marker: bytes, read: Callable[[int, int], bytes], size: int) -> Iterator[Frame]:
    """Yield the frames of a segment, read in parts; after damage the rest is read at once.

    ``read`` takes an offset and a number of bytes.
    """
    at, part = 0, PART_BYTES
    while at < size:
        data = read(at, min(part, size - at))
        head = fmt.read_head(marker, data)
        if head is None:
            data = read(at, size - at)
        elif head.size > len(data):
            data = read(at, min(_part_for(head), size - at))
        end, part = len(data), PART_BYTES
        for item in fmt.scan(marker, data):
            if isinstance(item, Frame):
                yield item
            elif head is not None:
                end = item.start  # an incomplete frame here begins the next part, or is damaged
                part = _part_for(fmt.read_head(marker, data, end))
                break
        if not end:
            return  # a frame whose end is not in the file
        at += end


def _part_for(head: fmt.Head | None) -> int:
    """Return how many bytes to read from the beginning of a frame on."""
    if head is None or head.size <= PART_BYTES:
        return PART_BYTES
    return head.size + HEAD_PART_BYTES


def senders(groups: Iterable[Group]) -> set[bytes]:
    """Return the sessions that have lines in these groups."""
    return {entry.session for group in groups for entry in group.entries if entry.session}


def group_in(frame: Frame) -> ReadGroup:
    """Return the group in a frame."""
    return ReadGroup(_decode_group(frame.meta), _body_or_none(frame))


def _body_or_none(frame: Frame) -> bytes | memoryview | None:
    try:
        return fmt.body_of(frame)
    except ValueError:
        return None


def written_beside(files: FileSystem, name: str, buffers: Sequence[Buffer]) -> str:
    """Write and sync the replacement of a file under a temporary name, and return that name. Raises OSError."""
    temporary = f"{name}{TEMPORARY}"
    files.unlink(temporary)
    handle = files.create(temporary)
    try:
        handle.write(buffers)
        handle.sync()
    except OSError:
        with suppress(OSError):
            files.unlink(temporary)  # on a full disk it occupies the space that is needed
        raise
    finally:
        with suppress(OSError):  # synced or deleted
            handle.close()
    return temporary


def groups(segment: Segment, read: Callable[[int, int], bytes]) -> Iterator[ReadGroup]:
    """Yield a segment's groups in order; where its header is lost, their lines may repeat others."""
    for frame in frames(segment.marker, read, segment.size):
        if frame.kind != Kind.GROUP:
            continue
        found = group_in(frame)
        if segment.nameless:
            for entry in found.group.entries:
                entry.repeats = True
        yield found


def compressed_frames(marker: bytes, data: bytes) -> list[Buffer]:
    """Return a segment's frames compressed; empty where it is damaged.

    A damaged segment is not rewritten, because reading it counts the losses.
    """
    buffers: list[Buffer] = []
    for frame in fmt.scan(marker, data):
        if isinstance(frame, Gap) or frame.body is None:
            return []
        if frame.kind != Kind.PADDING:
            buffers += fmt.compressed(marker, frame)
    return buffers
