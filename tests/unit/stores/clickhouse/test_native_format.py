"""A block has the bytes that the driver's own column types write, whichever way it was made."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.insert import InsertContext
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.errors import BatchRejected
from llmledgerd.stores.clickhouse.native_format import LARGE_BYTES, native_block, native_pieces

ROWS = 3
TEXTS = st.text(st.characters(codec="utf-8"), max_size=4)
LONG = st.binary(max_size=3).flatmap(
    lambda start: st.sampled_from((0, 1000, 20_000)).map(lambda n: start + b"x" * n)
)
MONEY = st.decimals(0, Decimal("999999999.999999999"), places=9) | st.decimals(0, 999_999, places=20)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "String": TEXTS,
    "Nullable(String)": TEXTS | st.none(),
    "UInt8": st.integers(0, 255) | st.booleans(),
    "UInt64": st.integers(0, 2**64 - 1),
    "Nullable(UInt32)": st.none() | st.integers(0, 2**32 - 1),
    "DateTime64(6, 'UTC')": st.integers(0, 2_000_000_000_000_000),
    "UUID": st.uuids().map(str),
    "Array(String)": st.lists(TEXTS, max_size=2),
    "Nullable(Decimal(18, 9))": st.none() | MONEY,
    "Decimal(18, 9)": MONEY,
    "Map(String, Decimal(18, 9))": st.dictionaries(TEXTS, MONEY, max_size=3),
    "Map(String, Decimal(18, 6))": st.dictionaries(TEXTS, st.decimals(0, 10**11, places=6), max_size=3),
    "Float64": st.sampled_from((0.0, -0.0, 1.5)),
}


def column_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Columns of different values, of few, and of one."""
    few = st.lists(values, min_size=1, max_size=2).flatmap(st.sampled_from)
    return st.lists(values, min_size=ROWS, max_size=ROWS) | few.map(lambda one: [one] * ROWS)


def block_of(declared: str, column: Sequence[Any]) -> bytearray:
    kind = get_from_name(declared)
    return native_block(["c"], [kind], [(value,) for value in column], InsertContext("", ["c"], [kind]))


def assert_as_the_driver_writes(declared: str, column: Sequence[Any]) -> None:
    written = bytearray()
    kind = get_from_name(declared)
    context = InsertContext("", ["c"], [kind])
    context.start_column("c")
    kind.write_column(column, written, context)
    name = declared.encode()
    assert (
        block_of(declared, column) == bytes([1, len(column), 1]) + b"c" + bytes([len(name)]) + name + written
    )


@pytest.mark.parametrize("declared", VALUES)
def test_every_column_has_the_bytes_of_the_driver(declared: str) -> None:
    @given(column_of(VALUES[declared]))
    def check(column: list[Any]) -> None:
        assert_as_the_driver_writes(declared, column)

    check()


@given(column_of(LONG))
def test_long_texts_have_the_bytes_of_the_driver(column: list[bytes]) -> None:
    assert_as_the_driver_writes("String", column)


@pytest.mark.parametrize(
    ("declared", "column"),
    [
        ("String", ["\ud800"] * ROWS),
        ("String", [None] * ROWS),
        ("String", [b"x" * 2000, "text", b""]),
        ("UInt8", [256] * ROWS),
        ("UInt32", [1, -1, 1]),
        ("Nullable(Decimal(18, 9))", [Decimal("1e10"), None, Decimal(0)]),
        ("Nullable(Decimal(18, 9))", [Decimal("NaN"), None, Decimal(0)]),
    ],
)
def test_what_no_column_holds_is_rejected_by_its_name(declared: str, column: list[Any]) -> None:
    with pytest.raises(BatchRejected, match="column c"):
        block_of(declared, column)


def test_columns_stand_in_their_order_with_their_own_names() -> None:
    kinds = [get_from_name(declared) for declared in ("UInt8", "String")]
    block = native_block(["n", "text"], kinds, [(1, "a"), (2, "b")], InsertContext("", ["n", "text"], kinds))
    assert block == b"\2\2" + b"\1n\5UInt8\1\2" + b"\4text\6String\1a\1b"


def test_a_block_in_pieces_has_the_same_bytes_and_does_not_copy_what_is_large() -> None:
    kinds = [get_from_name("String"), get_from_name("UInt8")]
    large = memoryview(b"x" * LARGE_BYTES)
    columns: tuple[list[bytes | memoryview], ...] = ([large], [large, b"y", large], [b"a", b"b"])
    for texts in columns:
        rows = [(text, 7) for text in texts]
        given = (["c", "d"], kinds, rows, InsertContext("", ["c", "d"], kinds))
        pieces = native_pieces(*given)
        assert b"".join(pieces) == native_block(*given)
        assert sum(piece is large for piece in pieces) == texts.count(large)
