"""Delays grow to their cap and never vanish; naps follow the rate; log lines are bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledger.timing import (
    IDLE_SECONDS,
    LEISURELY_LINES_PER_SECOND,
    LINES_PER_NAP,
    LONGEST_NAP_SECONDS,
    SHORTEST_NAP_SECONDS,
    AdaptiveSleep,
    Backoff,
    LogRateLimit,
)


def test_the_delay_doubles_up_to_its_cap() -> None:
    backoff = Backoff(first=1.0, cap=5.0, dice=lambda: 1.0)
    assert [backoff.failed(100.0) - 100.0 for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_success_begins_with_the_first_delay_again() -> None:
    backoff = Backoff(first=1.0, cap=5.0, dice=lambda: 1.0)
    backoff.failed(0.0)
    backoff.failed(0.0)
    backoff.succeeded()
    assert backoff.failed(0.0) == 1.0


def test_half_of_the_delay_is_left_to_chance() -> None:
    assert Backoff(first=1.0, cap=5.0, dice=lambda: 0.0).failed(0.0) == 0.5


def test_an_outage_of_a_year_overflows_nothing() -> None:
    backoff = Backoff(first=0.05, cap=3.0)
    delays = [backoff.failed(0.0) for _ in range(10_000)]
    assert all(1.5 <= delay <= 3.0 for delay in delays[10:])


def steady(lines_a_second: float, seconds: float = 2.0) -> list[float]:
    """Return the naps at a rate: each finds the lines that came during it."""
    rest, naps, due = AdaptiveSleep(), [0.0], 0.0
    while sum(naps) < seconds:
        due += naps[-1] * lines_a_second
        lines, due = int(due), due % 1
        nap = rest.seconds(lines)
        assert nap is not None
        naps.append(nap)
    return naps[1:]


def test_at_a_high_rate_naps_are_the_shortest() -> None:
    assert set(steady(2_500)[5:]) == {SHORTEST_NAP_SECONDS}


@pytest.mark.parametrize("lines_a_second", [700, 1_000])
def test_a_nap_gathers_some_lines_beside_those_that_are_in_no_hurry(lines_a_second: float) -> None:
    naps = steady(lines_a_second)
    hurried = (lines_a_second - LEISURELY_LINES_PER_SECOND) * sum(naps) / len(naps)
    assert LINES_PER_NAP / 2 < hurried < LINES_PER_NAP * 2


@pytest.mark.parametrize("lines_a_second", [20, 500])
def test_at_a_low_rate_naps_are_the_longest_and_go_on(lines_a_second: float) -> None:
    assert set(steady(lines_a_second)[5:]) == {LONGEST_NAP_SECONDS}


def test_without_lines_the_naps_end_in_sleep() -> None:
    rest = AdaptiveSleep()
    naps = []
    while (nap := rest.seconds(0)) is not None:
        naps.append(nap)
    assert IDLE_SECONDS - LONGEST_NAP_SECONDS < sum(naps) <= IDLE_SECONDS
    assert rest.seconds(0) is None
    assert rest.seconds(1) is not None


def test_a_burst_after_a_silence_shortens_the_nap_at_once() -> None:
    rest = AdaptiveSleep()
    while rest.seconds(0) is not None:
        pass
    assert rest.seconds(1_000) == SHORTEST_NAP_SECONDS


@given(st.lists(st.integers(0, 10**9)))
def test_no_nap_is_shorter_or_longer_than_promised(counts: list[int]) -> None:
    rest = AdaptiveSleep()
    for lines in counts:
        nap = rest.seconds(lines)
        assert nap is None or SHORTEST_NAP_SECONDS <= nap <= LONGEST_NAP_SECONDS


@pytest.mark.parametrize(("later", "is_due"), [(9.9, False), (10.0, True)])
def test_each_kind_of_line_is_due_once_in_an_interval(later: float, is_due: bool) -> None:
    notices = LogRateLimit(interval_seconds=10.0)
    assert notices.is_due("away", 100.0)
    assert notices.is_due("rejected", 100.0)
    assert notices.is_due("away", 100.0 + later) is is_due
