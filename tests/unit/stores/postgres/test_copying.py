"""Rows become the text that COPY takes, and nothing in a value can end its field."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.errors import BatchRejected
from llmledgerd.stores.postgres.copying import encode, moment

ESCAPES = {b"\\\\": b"\\", b"\\t": b"\t", b"\\n": b"\n", b"\\r": b"\r"}


def fields(block: bytes | bytearray) -> list[list[bytes]]:
    """Cut a block as COPY does, without taking the escapes back."""
    lines = bytes(block).split(b"\n")
    assert lines.pop() == b""
    return [line.split(b"\t") for line in lines]


def unescaped(field: bytes) -> bytes:
    out, at = b"", 0
    while at < len(field):
        pair = field[at : at + 2]
        out += ESCAPES.get(pair, field[at : at + 1])
        at += 2 if pair in ESCAPES else 1
    return out


@given(st.lists(st.text(alphabet="a\\\t\n\r\N{GREEK SMALL LETTER ALPHA}.N{},\"'"), min_size=1))
def test_any_text_is_one_field_and_comes_back(texts: list[str]) -> None:
    cut = fields(encode(("a", "b"), [(text, text.encode()) for text in texts], {"a", "b"}))
    assert [[unescaped(field).decode() for field in row] for row in cut] == [[text, text] for text in texts]


@pytest.mark.parametrize("times", [1, 500_000])
def test_a_view_of_a_line_is_written_as_its_bytes(times: int) -> None:
    value = b'{"a\\n":"\t"}' * times
    row = ("id", value)
    assert encode(("a", "b"), [("id", memoryview(value))], {"a", "b"}) == encode(
        ("a", "b"), [row], {"a", "b"}
    )


def test_values_are_written_by_their_kind() -> None:
    columns = ("id", "created_at", "n", "flag", "cost", "none", "tags", "left_out")
    row = ("x", 1_700_000_000_000_001, 7, True, Decimal("1E-9"), None, ["a", 'b"\\', "NULL"], "never seen")
    (found,) = fields(encode(columns, [row], set(columns) - {"left_out"}))
    assert found == [
        b"x",
        b"2023-11-14T22:13:20.000001+00:00",
        b"7",
        b"1",
        b"0.000000001",
        b"\\N",
        b'{"a","b\\\\"\\\\\\\\","NULL"}',
    ]


def test_a_nul_becomes_a_replacement_character_and_is_counted() -> None:
    block = encode(("a", "b"), [("x\0y\0", b'"\\u0000"'), ("plain", b"")], {"a", "b"})
    assert fields(block)[0] == ["x\ufffdy\ufffd".encode(), b'"\\\\u0000"']
    assert block.nul_replaced == 2


@pytest.mark.parametrize("value", [b"\xff", "\ud800", object(), [1]])
def test_a_value_that_no_column_holds_names_its_column(value: object) -> None:
    with pytest.raises(BatchRejected, match="column color"):
        encode(("color",), [(value,)], {"color"})


def test_times_beyond_what_python_can_say_are_its_ends() -> None:
    assert moment(1 << 62).year == 9999
    assert moment(-(1 << 62)).year == 1


def test_a_large_value_is_encoded_as_a_small_one_and_without_a_second_copy() -> None:
    text = 'ö☃ \\ and "more"\n\t'.encode() * 200_000
    columns, row = ("id", "request_json", "response_json"), ("a", text, b"{}")
    small = encode(columns, [row, row], columns)
    tracemalloc.start()
    try:
        large = encode(columns, [row], columns)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert large == small[: len(large)]
    assert peak < 1.5 * len(large)
    with pytest.raises(BatchRejected):
        encode(columns, [("a", text + b"\xff", b"")], columns)
    with pytest.raises(BatchRejected):
        encode(columns, [("a", text + "ö".encode()[:1], b"")], columns)
