"""Parts that were rounded add up to their rounded sum exactly."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.records.pricing.amounts import MAX_COST, dollars, reported_cost

ATTO = st.integers(0, 10**24)


@given(st.dictionaries(st.text(max_size=3), ATTO, max_size=6))
def test_the_parts_are_the_sum_to_the_last_place(atto: dict[str, int]) -> None:
    found = dollars(atto)
    assert found is not None
    total, parts = found
    assert total == Decimal(sum(atto.values())).scaleb(-18).quantize(Decimal("1e-9"), ROUND_HALF_UP)
    assert sum(parts.values()) == total
    assert all(part > 0 for part in parts.values())
    for name, amount in parts.items():
        assert abs(amount - Decimal(atto[name]).scaleb(-18)) < Decimal("1e-9")


def test_the_largest_remainder_is_rounded_up_first() -> None:
    assert dollars({"a": 1_400_000_000, "b": 1_600_000_000}) == (
        Decimal("3e-9"),
        {"a": Decimal("1e-9"), "b": Decimal("2e-9")},
    )


def test_a_sum_beyond_its_column_is_none() -> None:
    assert dollars({"a": 10**27 - 10**9}) == (MAX_COST, {"a": MAX_COST})
    assert dollars({"a": 10**27}) is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, Decimal(0)),
        (1e-9, Decimal("1e-9")),
        ("0.0000000014", Decimal("0.000000001")),
        ("1e99", None),
        ("1" * 50, None),
        ("-1", None),
        ("nan", None),
        (float("inf"), None),
        ("", None),
        ("free", None),
    ],
)
def test_what_somebody_else_states_is_an_amount_that_its_column_holds_or_none(
    written: float | str, expected: Decimal | None
) -> None:
    assert reported_cost(written) == expected
