"""A segment is read in parts, and gives what scanning it whole gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.spool import format as fmt
from llmledgerd.spool.format import Frame, Kind
from llmledgerd.spool.segment import PART_BYTES, frames

MARKER = fmt.new_marker()
BODY_SIZES = st.sampled_from((0, 1, 3_000, 5_000, PART_BYTES - 200, PART_BYTES, 3 * PART_BYTES))
META_SIZES = st.sampled_from((0, 50, 6_000))


def encoded(meta: int, body: int, flags: int) -> bytes:
    return b"".join(fmt.encode(MARKER, Kind.GROUP, bytes(meta), [b"x" * body], flags))


def padded(meta: int, body: int, block: int) -> bytes:
    frame = encoded(meta, body, 0)
    return frame + b"".join(fmt.padding(MARKER, len(frame), block))


def read_in_parts(data: bytes, sizes: list[int] | None = None) -> tuple[list[Frame], int]:
    """Return the frames, and how many bytes were read; ``sizes`` gets those of each reading."""
    sizes = [] if sizes is None else sizes

    def read(start: int, size: int) -> bytes:
        sizes.append(size)
        return data[start : start + size]

    return list(frames(MARKER, read, len(data))), sum(sizes)


@given(st.lists(st.tuples(META_SIZES, BODY_SIZES), max_size=6), st.booleans(), st.data())
def test_parts_give_the_frames_that_the_whole_gives_also_of_a_damaged_segment(
    sizes: list[tuple[int, int]], is_damaged: bool, data: st.DataObject
) -> None:
    whole = bytearray(b"".join(encoded(*size, flags) for flags, size in enumerate(sizes)))
    if is_damaged and whole:
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 0x55
    expected = [item for item in fmt.scan(MARKER, bytes(whole)) if isinstance(item, Frame)]

    found, _ = read_in_parts(bytes(whole))

    assert [(one.flags, one.meta, one.body) for one in found] == [
        (one.flags, one.meta, one.body) for one in expected
    ]


@pytest.mark.parametrize("block", [1, 4096])
@pytest.mark.parametrize("larger", [1.5, 8.0])
def test_of_groups_larger_than_a_part_all_but_the_first_are_read_once(larger: float, block: int) -> None:
    data = b"".join(padded(50, int(larger * PART_BYTES), block) for _ in range(20))
    calls: list[int] = []

    found, read = read_in_parts(data, calls)

    assert len([one for one in found if one.kind == Kind.GROUP]) == 20
    assert read < 1.1 * len(data)
    assert len(calls) <= 22
