"""Columns in a terminal of any width: what must be seen is seen, and no number is cut."""

from __future__ import annotations

import doctest
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.cli import fitting
from llmledgerd.cli.fitting import Column, compact, compact_money, fit, short_ids

TEXT = st.text("abcdefgh-0123456789", max_size=40)


def test_the_examples_hold() -> None:
    assert doctest.testmod(fitting).failed == 0


@given(
    st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=5),
    st.integers(min_value=46, max_value=300),
)
def test_a_table_is_no_wider_than_its_terminal_and_keeps_its_groups(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    group, other, last = (list(cells) for cells in zip(*rows, strict=True))
    columns = [
        Column(name="GROUP", cells=group, narrowest=10),
        Column(name="OTHER", cells=other, rank=2, narrowest=8),
        Column(
            name="CALLS",
            cells=["12,345,678"] * len(rows),
            short=["12.3M"] * len(rows),
            shortened=3,
            is_right=True,
        ),
        Column(name="LAST", cells=last, rank=3, narrowest=5),
    ]
    found = fit(columns, width)
    shown = [one.column.name for one in found]
    assert sum(one.width for one in found) + 2 * (len(found) - 1) <= width
    assert {"GROUP", "CALLS"} <= set(shown)
    assert "OTHER" in shown or "LAST" not in shown, "the least important goes first"
    for one in found:
        if one.column.name == "CALLS":
            assert one.column.cells[0] in ("12,345,678", "12.3M")
            assert one.width >= len(one.column.cells[0])
        if one.column.name == "GROUP":
            assert one.column.cells == group, "a group is folded and not cut"


def test_a_pipe_has_everything_in_full() -> None:
    columns = [
        Column(name="ID", cells=["x" * 36], short=["x" * 8], shortened=1),
        Column(name="N", cells=["1,000,000"], short=["1.0M"], shortened=3, rank=9),
    ]
    assert [one.column.cells for one in fit(columns, 100_000)] == [["x" * 36], ["1,000,000"]]


@given(st.lists(st.text("ab", max_size=12), max_size=6))
def test_short_ids_tell_apart_what_long_ones_do(ids: list[str]) -> None:
    short = short_ids(ids)
    assert len(set(short)) == len(set(ids))
    assert all(one.startswith(begin) for one, begin in zip(ids, short, strict=True))


@given(st.integers(min_value=0, max_value=10**14))
def test_a_count_is_short_and_right_to_three_digits(value: int) -> None:
    said = compact(value)
    unit = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}.get(said[-1], 1)
    assert len(said) <= 6
    assert abs(float(said.rstrip("KMBT")) * unit - value) <= max(0.5, 0.06 * unit)


@pytest.mark.parametrize("value", ["0.000000001", "0.0004", "0.049", "0.5", "999.99", "1234567"])
def test_an_amount_that_is_not_zero_is_not_shown_as_zero(value: str) -> None:
    said = compact_money(Decimal(value))
    assert float(said.rstrip("KMBT")) > 0
