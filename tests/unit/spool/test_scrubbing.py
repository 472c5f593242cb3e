"""Lines of somebody are blanked in a segment that lies aside, and nothing else of it changes."""

from __future__ import annotations

import msgspec
import pytest

from llmledgerd.spool import BegunCall, Entry, EntryKind, Group, Settled
from llmledgerd.spool import format as fmt
from llmledgerd.spool.format import Frame, Gap, Kind
from llmledgerd.spool.scrubbing import scrubbed
from llmledgerd.spool.segment import HeaderMeta
from llmledgerd.spool.state import Snapshot

encode = msgspec.msgpack.encode


def judge(line: bytes, received_us: int, cut: bool) -> bool | None:
    return None if b"?" in line else b"theirs" in line


MARKER = fmt.MAGIC + bytes(range(1, 9))
"""Not at random: a `?` in a marker or in a checksum would be judged too."""


def group(*lines: bytes, kind: EntryKind = EntryKind.LINES) -> bytes:
    body = b"".join(line + b"\n" for line in lines)
    entry = Entry(kind, b"", 0, len(lines), len(body))
    return b"".join(fmt.encode(MARKER, Kind.GROUP, encode(Group(7, 0, [entry])), [body]))


def packed(frame: bytes) -> bytes:
    (found,) = fmt.scan(MARKER, frame)
    assert isinstance(found, Frame)
    return b"".join(fmt.compressed(MARKER, found))


LINES = (b'{"a":"theirs"}', b'{"a":"other"}', b'{"a":"?"}')


@pytest.mark.parametrize("frame", [group(*LINES), packed(group(*LINES))])
def test_a_line_is_blanked_in_its_place_in_a_frame_that_stays_whole(frame: bytes) -> None:
    done = scrubbed(frame, judge)
    (found,) = fmt.scan(MARKER, b"".join(done.buffers))
    assert isinstance(found, Frame)
    assert bytes(fmt.body_of(found)).split(b"\n") == [bytes(len(LINES[0])), LINES[1], LINES[2], b""]
    assert (done.lines, done.unknown) == (1, 1)


def test_begun_calls_and_the_daemon_s_own_lines_go_too() -> None:
    begun = {"a": BegunCall(b"", b"theirs", 1), "b": BegunCall(b"", b"other", 1)}
    meta = encode(HeaderMeta(format=fmt.FORMAT, batch=b"", created_us=1))
    header = b"".join(fmt.encode(MARKER, Kind.HEADER, meta, [encode(Snapshot(begun=begun))]))
    settled = b"".join(fmt.encode(MARKER, Kind.SETTLED, encode(Settled(segment=1, opened=begun))))
    own = group(msgspec.json.encode({"abandoned": b"theirs"}), kind=EntryKind.OWN)
    done = scrubbed(header + settled + own, judge)
    data = b"".join(done.buffers)
    first, second, third = (found for found in fmt.scan(MARKER, data) if isinstance(found, Frame))
    assert set(msgspec.msgpack.decode(fmt.body_of(first), type=Snapshot).begun) == {"b"}
    assert set(msgspec.msgpack.decode(second.meta, type=Settled).opened) == {"b"}
    assert not bytes(fmt.body_of(third)).strip(b"\0\n")
    assert done.lines == 3


def test_what_is_damaged_is_searched_as_it_lies_and_what_nobody_can_read_is_counted() -> None:
    torn = bytearray(group(*LINES[:2]))
    torn[fmt.MARKER_BYTES + 2] ^= 1  # the head
    bad = bytearray(group(*LINES[:2]))
    bad[-3] ^= 1  # the body
    lost = bytearray(packed(group(*LINES[:2] * 9)))
    lost[-3] ^= 1
    newer = b"".join(fmt.encode(MARKER, 9, b"", [b"theirs"]))
    done = scrubbed(bytes(torn + bad + lost) + newer, judge)
    data = b"".join(done.buffers)
    assert (data.count(LINES[0]), data.count(LINES[1][:-3])) == (0, 2)
    assert done.lines >= 3
    assert done.unknown == 1
    assert len(data) == len(torn + bad + lost) + len(newer)


def test_a_segment_of_others_is_the_same_bytes() -> None:
    frame = group(LINES[1]) + b"junk" + packed(group(LINES[1] * 99))
    assert b"".join(scrubbed(frame, judge).buffers) == frame
    assert any(isinstance(found, Gap) for found in fmt.scan(MARKER, frame))
