"""Frames come back as they were written, and no damage hides the frames after it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.spool import format as fmt
from llmledgerd.spool.format import Frame, Gap, Kind

MARKER = fmt.new_marker()

PARTS = st.tuples(
    st.sampled_from(list(Kind)), st.binary(max_size=60), st.lists(st.binary(max_size=60), max_size=3)
)


def joined(frames: list[tuple[Kind, bytes, list[bytes]]]) -> tuple[bytes, list[int]]:
    """Return the bytes of some frames, and where each ends."""
    data, ends = b"", []
    for kind, meta, body in frames:
        data += b"".join(fmt.encode(MARKER, kind, meta, body))
        ends.append(len(data))
    return data, ends


@given(st.lists(PARTS, max_size=5))
def test_what_was_encoded_is_scanned(frames: list[tuple[Kind, bytes, list[bytes]]]) -> None:
    data, _ = joined(frames)
    found = [item for item in fmt.scan(MARKER, data) if isinstance(item, Frame)]
    assert [(frame.kind, frame.meta, bytes(fmt.body_of(frame))) for frame in found] == [
        (kind, meta, b"".join(body)) for kind, meta, body in frames
    ]


@given(st.lists(PARTS, min_size=1, max_size=4), st.data())
def test_a_file_cut_anywhere_gives_its_whole_frames_and_one_gap(
    frames: list[tuple[Kind, bytes, list[bytes]]], data: st.DataObject
) -> None:
    whole, ends = joined(frames)
    cut = data.draw(st.integers(0, len(whole)))
    items = list(fmt.scan(MARKER, whole[:cut]))
    kept = [end for end in ends if end <= cut]
    assert [item.end for item in items if isinstance(item, Frame)] == kept
    start = kept[-1] if kept else 0
    assert [item for item in items if isinstance(item, Gap)] == ([Gap(start, cut)] if cut > start else [])


@given(st.lists(PARTS, min_size=2, max_size=4), st.data())
def test_a_damaged_byte_spoils_one_frame_and_no_other(
    frames: list[tuple[Kind, bytes, list[bytes]]], data: st.DataObject
) -> None:
    whole, ends = joined(frames)
    damaged = bytearray(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    hit = next(index for index, end in enumerate(ends) if at < end)
    intact = {end for index, end in enumerate(ends) if index != hit}
    found = {
        item.end
        for item in fmt.scan(MARKER, bytes(damaged))
        if isinstance(item, Frame) and item.body is not None
    }
    assert found == intact


@given(st.lists(PARTS, max_size=4), st.sampled_from([1, 16, 44, 64, 4096]))
def test_padding_makes_whole_blocks_and_says_nothing(
    frames: list[tuple[Kind, bytes, list[bytes]]], block: int
) -> None:
    data, ends = joined(frames)
    padded = data + b"".join(fmt.padding(MARKER, len(data), block))
    assert len(padded) % block == 0
    assert len(padded) - len(data) < fmt.HEAD_BYTES + block
    items = list(fmt.scan(MARKER, padded))
    assert [item.end for item in items][: len(ends)] == ends
    assert all(isinstance(item, Frame) and item.kind == Kind.PADDING for item in items[len(ends) :])


def test_garbage_is_one_gap() -> None:
    garbage = b"no frame" + MARKER + b"still none"
    assert list(fmt.scan(MARKER, garbage)) == [Gap(0, len(garbage))]
    assert list(fmt.scan(MARKER, b"")) == []


@given(st.binary(max_size=2000))
def test_a_compressed_frame_has_the_same_body(body: bytes) -> None:
    (plain,) = fmt.scan(MARKER, b"".join(fmt.encode(MARKER, Kind.GROUP, b"meta", [body])))
    assert isinstance(plain, Frame)
    once = b"".join(fmt.compressed(MARKER, plain))
    (small,) = fmt.scan(MARKER, once)
    assert isinstance(small, Frame)
    assert (small.kind, small.meta, bytes(fmt.body_of(small))) == (Kind.GROUP, b"meta", body)
    assert b"".join(fmt.compressed(MARKER, small)) == once


def test_a_kind_that_is_not_known_is_kept_as_it_is() -> None:
    (frame,) = fmt.scan(MARKER, b"".join(fmt.encode(MARKER, 77, b"of a later version", [b"body" * 100])))
    assert isinstance(frame, Frame)
    (again,) = fmt.scan(MARKER, b"".join(fmt.compressed(MARKER, frame)))
    assert isinstance(again, Frame)
    assert (again.kind, bytes(fmt.body_of(again))) == (77, b"body" * 100)
