"""Each moment of a range is summed once, and the rollup answers only what it can."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.query.requests import GROUPS, ROLLED_UP, GetUsage
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores.clickhouse.usage_sql import (
    GROUP_SQL,
    HOUR_US,
    MAX_SPANS,
    NOT_ROLLED_UP,
    Span,
    answers,
    plan,
)

DAY = datetime(2025, 3, 1, tzinfo=UTC)
FIRST = int(DAY.timestamp())

moments = st.integers(0, 72 * 3600 * 4).map(lambda quarter: DAY + timedelta(milliseconds=250 * quarter))
doubts = st.sets(st.integers(-5, 80).map(lambda hour: FIRST + hour * 3600))


def total(spans: list[Span]) -> int:
    return sum(end - start for start, end in spans)


@given(moments, moments, doubts)
def test_a_range_is_divided_without_gap_or_overlap(start: datetime, end: datetime, doubted: set[int]) -> None:
    chosen = plan(GetUsage(start_date=start, end_date=end), doubted)

    spans = sorted([*chosen.rollup, *chosen.rows])
    assert total(spans) == max(0, (end - start) // timedelta(microseconds=1))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    if spans:
        assert (spans[0][0], spans[-1][1]) == (microseconds(start), microseconds(end))


@given(moments, moments, doubts)
def test_the_rollup_answers_whole_hours_without_doubt(
    start: datetime, end: datetime, doubted: set[int]
) -> None:
    chosen = plan(GetUsage(start_date=start, end_date=end), doubted)

    for begin, over in chosen.rollup:
        assert begin % HOUR_US == over % HOUR_US == 0
        assert not any(begin <= hour * 1_000_000 < over for hour in doubted)


def test_what_is_in_no_doubt_is_not_read_from_the_rows() -> None:
    chosen = plan(GetUsage(start_date=DAY, end_date=DAY + timedelta(hours=10)), [FIRST + 3 * 3600])

    assert total(chosen.rows) == HOUR_US
    assert total(chosen.rollup) == 9 * HOUR_US


def test_an_open_range_comes_from_the_rollup() -> None:
    assert plan(GetUsage(), ()).rows == []


def test_very_many_doubts_become_one_range() -> None:
    scattered = [FIRST + 7200 * n for n in range(MAX_SPANS + 1)]

    chosen = plan(GetUsage(), scattered)

    assert len(chosen.rows) == 1
    assert len(chosen.rollup) == 2


def test_every_group_has_an_expression_and_no_other_has() -> None:
    assert tuple(GROUP_SQL) == GROUPS


@pytest.mark.parametrize("name", GROUPS)
def test_groups_that_the_rollup_does_not_keep_apart_come_from_the_rows(name: str) -> None:
    assert answers(GetUsage(group_by=(name,))) == (name in ROLLED_UP)
    assert bool(plan(GetUsage(group_by=(name,)), ()).rollup) == (name in ROLLED_UP)


@pytest.mark.parametrize("name", NOT_ROLLED_UP)
def test_narrowing_by_what_the_rollup_does_not_keep_reads_the_rows(name: str) -> None:
    assert not answers(GetUsage(**{name: ""}))  # type: ignore[arg-type]  # each is a text
