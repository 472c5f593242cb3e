"""Numbers are short where they stand, and what is not known is a dash."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llmledgerd.ui import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (9_999, "9,999"), (12_345, "12.3 k"), (1_234_567, "1.23 M"), (987_654_321, "988 M"),
     (6.59e9, "6.59 B"), (2.5e12, "2.50 T")],
)  # fmt: skip
def test_counts_are_short(value: float | None, text: str) -> None:
    assert formatting.short(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0, "0 B"), (999, "999 B"), (1_500, "1.50 kB"), (134_217_728, "134 MB")]
)
def test_sizes_have_their_unit(value: float | None, text: str) -> None:
    assert formatting.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (Decimal(0), "$0"), (Decimal("0.001745"), "$0.001745"), (Decimal("0.5"), "$0.5000"),
     (Decimal("1234.5"), "$1,234.50")],
)  # fmt: skip
def test_amounts_have_as_many_digits_as_say_something(value: Decimal | None, text: str) -> None:
    assert formatting.usd(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (431, "431 ms"), (1_420, "1.42 s"), (23_300, "23.3 s"), (125_000, "2 min 5 s")],
)
def test_durations_have_their_unit(value: float | None, text: str) -> None:
    assert formatting.milliseconds(value) == text


def test_a_share_of_nothing_is_not_known() -> None:
    assert (formatting.share(1, 0), formatting.share(1, 8)) == ("-", "12.5 %")
