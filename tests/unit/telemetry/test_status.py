"""Speeds are those of the last minute."""

from __future__ import annotations

import pytest

from llmledgerd.telemetry.status import Rates


def test_a_speed_is_what_was_added_over_the_time_between() -> None:
    rates = Rates()
    assert rates.per_second() == (0.0, 0.0)
    rates.note(100.0, 1000, 900)
    assert rates.per_second() == (0.0, 0.0)
    rates.note(110.0, 1050, 1000)
    assert rates.per_second() == (5.0, 10.0)


def test_what_is_older_than_a_minute_no_longer_counts() -> None:
    rates = Rates(span_seconds=60.0)
    for second in range(200):
        rates.note(float(second), 1000 * min(second, 100), 0)
    received, _ = rates.per_second()
    assert received == pytest.approx(0.0)
