"""Delays double up to their cap, with jitter of at most a half, and begin anew after a success."""

from __future__ import annotations

import pytest

from llmledgerd.backoff import GROUP_COMMIT, SETTLEMENT, Backoff, RetryPolicy


def delays(backoff: Backoff, count: int) -> list[float]:
    return [backoff.failed() for _ in range(count)]


def test_delays_double_up_to_the_cap_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(first=1.0, cap=5.0, dice=lambda: 1.0)
    assert delays(backoff, 5) == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.succeeded()
    assert delays(backoff, 2) == [1.0, 2.0]


def test_jitter_takes_at_most_half_of_a_delay() -> None:
    assert delays(Backoff(first=1.0, cap=5.0, dice=lambda: 0.0), 4) == [0.5, 1.0, 2.0, 2.5]


@pytest.mark.parametrize("policy", [GROUP_COMMIT, SETTLEMENT])
def test_no_delay_of_a_policy_leaves_its_bounds_however_long_the_outage(policy: RetryPolicy) -> None:
    found = delays(policy.backoff(), 2000)
    assert min(found) >= policy.first_seconds / 2
    assert max(found) <= policy.cap_seconds
