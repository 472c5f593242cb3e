"""A sender's timestamp is used where it can be, and the receipt's time where not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from llmledgerd.records.timestamps import created_at_us

RECEIVED = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND


RECEIVED_US = microseconds(RECEIVED)


@pytest.mark.parametrize(
    "written",
    [
        "2031-05-06T07:08:09.123456Z",
        "2031-05-06T07:08:09.123456",
        "2031-05-06 07:08:09.123456",
        "2031-05-06t07:08:09.123456z",
        "2031-05-06T07:08:09.123456789Z",
        "2031-05-06T09:08:09.123456+02:00",
        "2031-05-06T09:08:09.123456+0200",
        "2031-05-06T09:08:09,123456+02",
        " 2031-05-06 07:08:09.123456 UTC",
        "2031-05-06 09:08:09.123456 +0200",
        "2031-05-06 07:08:09.123456789 +0000 UTC",
        "20310506T070809.123456Z",
    ],
)
def test_the_usual_ways_to_write_a_time_are_read(written: str) -> None:
    assert created_at_us(written, RECEIVED_US) == RECEIVED_US


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        "yesterday",
        "1935824889",
        "2031-13-01T00:00:00Z",
        "2031-05-06T07:08:60Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        " " * 100_000 + "x",
    ],
)
def test_what_is_no_time_is_not_used(written: str | None) -> None:
    assert created_at_us(written, RECEIVED_US) is None


def test_the_years_before_2020_are_not_used() -> None:
    assert created_at_us("2019-12-31T23:59:59.999999Z", RECEIVED_US) is None
    assert created_at_us("2020-01-01", RECEIVED_US) == microseconds(datetime(2020, 1, 1, tzinfo=UTC))


def test_a_day_ahead_is_used_and_a_moment_more_is_not() -> None:
    latest = RECEIVED + timedelta(days=1)
    assert created_at_us(latest.isoformat(), RECEIVED_US) == microseconds(latest)
    assert created_at_us((latest + MICROSECOND).isoformat(), RECEIVED_US) is None
