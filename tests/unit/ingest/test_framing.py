"""However a stream is cut into reads, the same lines come out."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.ingest.framing import HEAD_BYTES, Block, Framer, Oversize, split, split_at


def lines_of(items: list[Block | Oversize]) -> list[bytes | tuple[bytes, int]]:
    out: list[bytes | tuple[bytes, int]] = []
    for item in items:
        if isinstance(item, Oversize):
            out.append((item.head, item.size))
            continue
        body = b"".join(item.pieces)
        assert body.endswith(b"\n")
        assert body.count(b"\n") == item.lines
        assert len(body) == item.size
        out += body.split(b"\n")[:-1]
    return out


def fed(limit: int, reads: list[bytes]) -> tuple[list[bytes | tuple[bytes, int]], bytes]:
    framer = Framer(limit)
    shared = bytearray(max([len(read) for read in reads], default=1) + 1)
    out: list[bytes | tuple[bytes, int]] = []
    for read in reads:
        shared[: len(read)] = read
        shared[len(read) :] = b"\n" * (len(shared) - len(read))  # what is behind a read is not read
        out += lines_of(framer.feed(shared, len(read)))
    return out, framer.rest()


def expected(limit: int, stream: bytes) -> tuple[list[bytes | tuple[bytes, int]], bytes]:
    *lines, rest = stream.split(b"\n")
    out = [line if len(line) <= limit else (line[:HEAD_BYTES], len(line)) for line in lines]
    return out, rest if len(rest) <= limit else b""


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


streams = st.lists(
    st.one_of(st.binary(max_size=12), st.integers(0, 9000).map(lambda size: b"x" * size)), max_size=12
).map(b"\n".join)


@given(streams, st.lists(st.integers(0, 60_000), max_size=20), st.sampled_from([8, 1024, 5000, 1 << 20]))
def test_whole_cut_at_random_and_byte_by_byte_agree(stream: bytes, places: list[int], limit: int) -> None:
    assert fed(limit, cut(stream, places)) == expected(limit, stream)


def test_one_byte_at_a_time() -> None:
    stream = b'{"a":1}\n\n' + b"y" * 5000 + b"\nlast"
    assert fed(100, [stream[i : i + 1] for i in range(len(stream))]) == expected(100, stream)


def test_a_line_over_the_limit_costs_its_head_and_no_more_memory() -> None:
    framer = Framer(1 << 20)
    read = bytearray(b"z" * (256 << 10))
    for _ in range(800):
        assert framer.feed(read, len(read)) == []
        assert framer.held <= 1 << 20
    assert framer.held == HEAD_BYTES
    (long,) = framer.feed(bytearray(b"z\n"), 2)
    assert isinstance(long, Oversize)
    assert (len(long.head), long.size) == (HEAD_BYTES, (200 << 20) + 1)


@given(
    st.lists(st.binary(max_size=5).map(lambda b: b.replace(b"\n", b"")), min_size=1, max_size=50),
    st.integers(1, 7),
)
def test_a_split_block_holds_the_same_lines_in_smaller_blocks(lines: list[bytes], most: int) -> None:
    body = b"\n".join(lines) + b"\n"
    blocks = split(Block([body], len(lines), len(body)), most)
    assert all(block.lines <= most for block in blocks)
    assert lines_of(list(blocks)) == lines


@given(
    st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")), min_size=1), st.integers(-1, 9)
)
def test_a_block_that_is_split_behind_a_line_holds_the_same_lines(lines: list[bytes], behind: int) -> None:
    body = b"\n".join(lines) + b"\n"
    blocks = split_at(Block([body[:2], body[2:]], len(lines), len(body)), behind)
    assert lines_of(list(blocks)) == lines
    assert [block.lines for block in blocks] == (
        [behind, len(lines) - behind] if 0 < behind < len(lines) else [len(lines)]
    )
