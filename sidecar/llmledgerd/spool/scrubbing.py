"""Erasure of matching lines in a segment's bytes. Pure.

Invariant: every other line keeps its place, its number and its bytes, and every frame that was whole
is whole afterwards. A blanked line has as many bytes as before, all of them NUL, which no JSON has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import zstandard

from llmledgerd.spool import format as fmt
from llmledgerd.spool.format import Buffer, Frame, Gap, Kind
from llmledgerd.spool.segment import HeaderMeta
from llmledgerd.spool.state import BegunCall, EntryKind, Group, Settled, Snapshot

Judge = Callable[[bytes, int, bool], bool | None]
"""Whether a line goes, by its bytes, its time of receipt (0 where that is unknown), and whether it is cut
off; None where that cannot be told."""


STEP_BYTES: Final = 4096


class Scrubbed(msgspec.Struct):
    """A segment's bytes without some lines."""

    marker: bytes
    """What the segment's frames begin with."""
    buffers: list[Buffer] = []
    lines: int = 0
    """Number of blanked lines."""
    unknown: int = 0
    """Lines and places that could not be read far enough."""


class _OwnLine(msgspec.Struct):
    abandoned: bytes | None = None


_encode = msgspec.msgpack.Encoder().encode


def scrubbed(data: bytes, judge: Judge) -> Scrubbed:
    """Return a segment that is not shipped anymore without the lines that ``judge`` selects.

    Begun calls and the daemon's own lines are included, and damaged bytes are searched as they are.
    """
    done = Scrubbed(fmt.marker_in(data))
    for found in fmt.scan(done.marker, data):
        if isinstance(found, Gap):
            raw = data[found.start : found.end]
            done.buffers.append(_blanked(raw.split(b"\n"), done, judge))
        else:
            done.buffers += _frame(data, found, done, judge)
    return done


def _frame(data: bytes, frame: Frame, done: Scrubbed, judge: Judge) -> list[Buffer]:
    as_it_was: list[Buffer] = [data[frame.start : frame.end]]
    try:
        if frame.kind == Kind.GROUP:
            return _group(frame, done, judge) or as_it_was
        if frame.kind == Kind.HEADER:
            return _header(frame, done, judge) or as_it_was
        if frame.kind == Kind.SETTLED:
            return _settled(frame, done, judge) or as_it_was
    except (ValueError, msgspec.DecodeError, zstandard.ZstdError):
        return _damaged(data, frame, done, judge)
    if frame.kind not in set(Kind):
        done.unknown += 1
    return as_it_was


def _group(frame: Frame, done: Scrubbed, judge: Judge) -> list[Buffer] | None:
    group = msgspec.msgpack.decode(frame.meta, type=Group)
    body = bytes(fmt.body_of(frame))
    before, parts, at = done.lines, [], 0
    for entry in group.entries:
        run, at = body[at : at + entry.size], at + entry.size
        if entry.kind == EntryKind.OWN:
            parts.append(_blanked_own(run, done, judge, group.received_us))
        else:
            cut = entry.kind == EntryKind.OVERSIZE
            parts.append(_blanked(run.split(b"\n"), done, judge, group.received_us, cut=cut))
    if done.lines == before:
        return None
    made = fmt.encode(done.marker, frame.kind, frame.meta, [b"".join(parts) + body[at:]])
    return fmt.compressed(done.marker, _read(done.marker, made)) if frame.flags & fmt.ZSTD else made


def _header(frame: Frame, done: Scrubbed, judge: Judge) -> list[Buffer] | None:
    meta = msgspec.msgpack.decode(frame.meta, type=HeaderMeta)
    if meta.format != fmt.FORMAT:
        raise ValueError("of another format")
    snapshot = msgspec.msgpack.decode(fmt.body_of(frame), type=Snapshot)
    kept = _kept(snapshot.begun, done, judge)
    if len(kept) == len(snapshot.begun):
        return None
    return fmt.encode(
        done.marker, frame.kind, frame.meta, [_encode(msgspec.structs.replace(snapshot, begun=kept))]
    )


def _settled(frame: Frame, done: Scrubbed, judge: Judge) -> list[Buffer] | None:
    settled = msgspec.msgpack.decode(frame.meta, type=Settled)
    kept = _kept(settled.opened, done, judge)
    if len(kept) == len(settled.opened):
        return None
    return fmt.encode(done.marker, frame.kind, _encode(msgspec.structs.replace(settled, opened=kept)))


def _kept(begun: dict[str, BegunCall], done: Scrubbed, judge: Judge) -> dict[str, BegunCall]:
    gone = {name for name, call in begun.items() if judge(call.line, call.received_us, False)}
    done.lines += len(gone)
    return {name: call for name, call in begun.items() if name not in gone}


def _damaged(data: bytes, frame: Frame, done: Scrubbed, judge: Judge) -> list[Buffer]:
    """Return a frame whose body or meaning is lost: its bytes, without the lines that can be seen in them."""
    raw = data[frame.start : frame.end]
    if frame.kind != Kind.GROUP:
        done.unknown += 1
        return [raw]
    start = fmt.HEAD_BYTES + len(frame.meta)
    if not frame.flags & fmt.ZSTD:
        return [raw[:start], _blanked(raw[start:].split(b"\n"), done, judge)]
    # Single lines of such a body cannot be read again, so it is blanked whole if one of them matches.
    seen = _unpacked(raw[start:]).split(b"\n") + raw[start:].split(b"\n")
    theirs = sum(judge(line, 0, False) is True for line in seen)
    done.lines += theirs
    done.unknown += not theirs
    return [raw[:start], bytes(len(raw) - start) if theirs else raw[start:]]


def _unpacked(body: bytes) -> bytes:
    """Return as much of a damaged body as can be decompressed."""
    found, unpack = b"", zstandard.ZstdDecompressor().decompressobj()
    with contextlib.suppress(zstandard.ZstdError):
        for start in range(0, len(body), STEP_BYTES):
            found += unpack.decompress(body[start : start + STEP_BYTES])
    return found


def _blanked(
    lines: list[bytes], done: Scrubbed, judge: Judge, received_us: int = 0, *, cut: bool = False
) -> bytes:
    return b"\n".join(_each(lines, done, judge, received_us, cut=cut))


def _each(
    lines: list[bytes], done: Scrubbed, judge: Judge, received_us: int, *, cut: bool
) -> Iterator[bytes]:
    for line in lines:
        goes = judge(line, received_us, cut) if line.strip(b"\0 ") else False
        if goes is None:
            done.unknown += 1
        elif goes:
            done.lines += 1
        yield bytes(len(line)) if goes else line


def _blanked_own(run: bytes, done: Scrubbed, judge: Judge, received_us: int) -> bytes:
    kept = []
    for line in run.split(b"\n"):
        abandoned = msgspec.json.decode(line, type=_OwnLine).abandoned if line else None
        goes = abandoned is not None and judge(abandoned, received_us, False)
        done.lines += bool(goes)
        kept.append(bytes(len(line)) if goes else line)
    return b"\n".join(kept)


def _read(marker: bytes, buffers: list[Buffer]) -> Frame:
    return next(found for found in fmt.scan(marker, b"".join(buffers)) if isinstance(found, Frame))
