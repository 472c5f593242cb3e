"""A range begins with a whole step and has every step, those without calls too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.ui import spans

moments = st.datetimes(datetime(2021, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(moments, st.sampled_from(sorted(spans.SPANS)))
def test_a_range_that_ends_now_has_its_length_in_whole_steps(now: datetime, name: str) -> None:
    wanted = spans.ending_now(name, now)
    steps = wanted.steps(now)
    length = spans.STEPS[wanted.step]

    assert len(steps) == spans.SPANS[name].length // length
    assert steps[0] == wanted.start
    assert steps[-1] <= now < steps[-1] + length


@given(moments, st.timedeltas(timedelta(seconds=1), timedelta(days=40)))
def test_every_moment_of_a_range_lies_in_one_of_its_steps(start: datetime, length: timedelta) -> None:
    end = start + length
    wanted = spans.between(start, end, end)
    steps = wanted.steps(end)

    assert steps[0] <= start
    assert steps[-1] < end <= steps[-1] + spans.STEPS[wanted.step]
    assert len(steps) <= spans.MAX_STEPS


def test_a_very_long_range_shows_its_latest_steps() -> None:
    end = datetime(2025, 1, 1, tzinfo=UTC)
    steps = spans.between(datetime(2000, 1, 1, tzinfo=UTC), end, end).steps(end)

    assert (len(steps), steps[-1]) == (spans.MAX_STEPS, end - timedelta(days=1))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2025-03-01T10:30", datetime(2025, 3, 1, 10, 30, tzinfo=UTC)),
        ("2025-03-01T10:30+02:00", datetime(2025, 3, 1, 8, 30, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_utc_s_and_others_are_none(text: str, found: datetime | None) -> None:
    assert spans.moment(text) == found


def test_steps_are_called_what_the_engine_calls_them() -> None:
    moment = datetime(2025, 3, 1, 10, 7, tzinfo=UTC)

    assert [spans.label(moment, step) for step in ("minute", "hour", "day")] == [
        "2025-03-01 10:07",
        "2025-03-01 10:00",
        "2025-03-01",
    ]
