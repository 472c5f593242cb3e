"""Frames: the on-disk format of a segment's entries.

Invariant: a frame that ``scan`` returns is, to 64 bits of checksum, the frame that was encoded for this
very segment; and no damage hides the frames after it. The bytes are specified in the package's docstring.

Each segment has its own sync marker with 64 random bits that never leave the spool. A scan for the next
frame after damage passes through bodies, which senders wrote: without the marker, no sender can write a body
in which a frame is found.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum

import msgspec
import xxhash
import zstandard

MAGIC = b"\xf5LLT"  # f5 never occurs in UTF-8, so not in JSON either
MARKER_BYTES = 12
FORMAT = 1
HEAD = struct.Struct(f"<{MARKER_BYTES}sBBHIQQ")
SUM = struct.Struct("<Q")
HEAD_BYTES = HEAD.size + SUM.size
ZSTD = 1
SMALL_BYTES = 64 << 10
"""Size up to which compressing a header saves too little."""

Buffer = bytes | bytearray | memoryview


class Kind(IntEnum):
    HEADER = 1
    GROUP = 2
    SETTLED = 3
    REJECTED_ROW = 4
    PADDING = 5


class Frame(msgspec.Struct):
    """Frame and its position in a segment; ``body`` is None if its checksum fails."""

    kind: int
    flags: int
    meta: bytes
    body: memoryview | None
    start: int
    end: int


class Gap(msgspec.Struct):
    """Bytes that belong to no frame."""

    start: int
    end: int


def new_marker() -> bytes:
    """Return the marker of a new segment."""
    return MAGIC + secrets.token_bytes(MARKER_BYTES - len(MAGIC))


def encode(
    marker: bytes, kind: int, meta: bytes, body: Sequence[Buffer] = (), flags: int = 0
) -> list[Buffer]:
    """Return the frame's buffers, for one gathered write; the body is not copied."""
    body_sum = xxhash.xxh3_64()
    for piece in body:
        body_sum.update(piece)
    size = sum(map(len, body))
    head = HEAD.pack(marker, kind, flags, 0, len(meta), size, body_sum.intdigest())
    head_sum = xxhash.xxh3_64_intdigest(head + meta)
    return [head + SUM.pack(head_sum) + meta, *body]


def padding(marker: bytes, size: int, block: int) -> list[Buffer]:
    """Return the padding frame from ``size`` bytes to a block boundary; empty at a boundary."""
    room = -size % block
    if not room:
        return []
    if room < HEAD_BYTES:
        room += -(-(HEAD_BYTES - room) // block) * block
    return encode(marker, Kind.PADDING, b"", [bytes(room - HEAD_BYTES)])


def compressed(marker: bytes, frame: Frame) -> list[Buffer]:
    """Return the same frame with its body compressed, if it is not yet. Raises ValueError on damage."""
    if frame.body is None:
        raise ValueError("damaged body")
    if frame.flags & ZSTD or not frame.body:
        return encode(marker, frame.kind, frame.meta, [frame.body], frame.flags)
    body = zstandard.ZstdCompressor(level=1).compress(frame.body)
    return encode(marker, frame.kind, frame.meta, [body], frame.flags | ZSTD)


def squeezed(body: bytes) -> tuple[bytes, int]:
    """Return a header's stored body and flags; a large one is compressed."""
    if len(body) <= SMALL_BYTES:
        return body, 0
    return zstandard.ZstdCompressor(level=1).compress(body), ZSTD


def body_of(frame: Frame) -> bytes | memoryview:
    """Return the decompressed body. Raises ValueError on damage."""
    if frame.body is None:
        raise ValueError("damaged body")
    if not frame.flags & ZSTD:
        return frame.body
    try:
        return zstandard.ZstdDecompressor().decompress(frame.body)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


class Head(msgspec.Struct):
    """The fixed part of a frame."""

    kind: int
    flags: int
    meta_len: int
    body_len: int
    body_sum: int

    @property
    def size(self) -> int:
        """Bytes of the whole frame."""
        return HEAD_BYTES + self.meta_len + self.body_len


def read_head(marker: bytes, data: Buffer, at: int = 0) -> Head | None:
    """Return the head of the frame at ``at``; None unless head and meta are complete."""
    if at + HEAD_BYTES > len(data):
        return None
    found, kind, flags, _, meta_len, body_len, body_sum = HEAD.unpack_from(data, at)
    meta_end = at + HEAD_BYTES + meta_len
    if found != marker or meta_end > len(data):
        return None
    view = memoryview(data)
    head_sum = xxhash.xxh3_64(view[at : at + HEAD.size])
    head_sum.update(view[at + HEAD_BYTES : meta_end])
    if head_sum.intdigest() != SUM.unpack_from(data, at + HEAD.size)[0]:
        return None
    return Head(kind, flags, meta_len, body_len, body_sum)


def marker_in(data: bytes) -> bytes:
    """Return the marker of the first complete head; empty if there is none."""
    at = data.find(MAGIC)
    while at >= 0:
        marker = bytes(data[at : at + MARKER_BYTES])
        if read_head(marker, data, at) is not None:
            return marker
        at = data.find(MAGIC, at + 1)
    return b""


def meta_bytes(marker: bytes, head: bytes) -> int:
    """Return the bytes of meta after a possibly damaged head; 0 if there is no head."""
    if len(head) < HEAD_BYTES or not head.startswith(marker):
        return 0
    return int(HEAD.unpack_from(head)[4])


def scan(marker: bytes, data: bytes, start: int = 0) -> Iterator[Frame | Gap]:
    """Yield every frame of a segment, and the gaps between them, in order."""
    at = start
    gap_start = start
    while at < len(data):
        head = read_head(marker, data, at)
        if head is None:
            at = data.find(marker, at + 1) if marker else -1
            if at < 0:
                break
            continue
        if gap_start < at:
            yield Gap(gap_start, at)
        frame = _frame(data, at, head)
        if frame is None:
            gap_start = at  # the head is whole and the body ends beyond the file: a torn tail
            break
        yield frame
        at = gap_start = frame.end
    if gap_start < len(data):
        yield Gap(gap_start, len(data))


def _frame(data: bytes, at: int, head: Head) -> Frame | None:
    body_start = at + HEAD_BYTES + head.meta_len
    end = at + head.size
    if end > len(data):
        return None
    body = memoryview(data)[body_start:end]
    whole = xxhash.xxh3_64_intdigest(body) == head.body_sum
    return Frame(head.kind, head.flags, data[at + HEAD_BYTES : body_start], body if whole else None, at, end)
