"""A segment is read in parts, and gives what scanning it whole gives."""

from __future__ import annotations

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


def read_in_parts(data: bytes) -> tuple[list[Frame], int]:
    """Return the frames, and how many bytes were read."""
    sizes = []

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


def test_of_groups_larger_than_a_part_all_but_the_first_are_read_once() -> None:
    data = b"".join(encoded(50, PART_BYTES * 3 // 2, flags) for flags in range(20))

    found, read = read_in_parts(data)

    assert len(found) == 20
    assert read < 1.1 * len(data)


def test_groups_of_one_long_line_each_are_read_with_their_neighbours_and_few_of_them_twice() -> None:
    data = b"".join(encoded(50, 200_000, flags) for flags in range(20))

    found, read = read_in_parts(data)

    assert len(found) == 20
    assert read < 1.25 * len(data)
