"""Ranges of time in which the newest calls are looked for."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.stores.clickhouse.widening import HOUR_US, STEPS, ranges

NOW_US = 1_780_000_000_000_000
MOMENTS = st.one_of(st.none(), st.integers(NOW_US - 400 * 24 * HOUR_US, NOW_US + 48 * HOUR_US))


@given(MOMENTS, MOMENTS)
def test_the_ranges_follow_each_other_without_gaps_from_the_end_to_the_start(
    start: int | None, end: int | None
) -> None:
    found = list(ranges(NOW_US, start, end))
    assert found[0][1] == end
    assert found[-1][0] == start
    for later, earlier in itertools.pairwise(found):
        assert later[0] == earlier[1]
    assert len(found) <= STEPS + 1


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_times_of_any_size_are_ranges(start: int, end: int) -> None:
    found = list(ranges(NOW_US, start, end))
    assert found[0][1] == end
    assert found[-1][0] == start


def test_the_first_range_begins_with_an_hour_and_each_is_sixteen_times_as_long_as_the_one_before() -> None:
    found = list(ranges(NOW_US, None, None))
    begins = [first for first, _ in found[:-1] if first is not None]
    assert all(first % HOUR_US == 0 for first in begins)
    assert [one - two for one, two in itertools.pairwise(begins)] == [16 * HOUR_US, 256 * HOUR_US]


def test_a_range_that_ends_long_ago_is_looked_through_from_its_end() -> None:
    end = NOW_US - 300 * 24 * HOUR_US
    first = next(ranges(NOW_US, None, end))
    assert first[0] is not None
    assert 0 < end - first[0] <= 2 * HOUR_US
