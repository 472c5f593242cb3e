"""When the rows started that a line may repeat, and those that stand for its call."""

from __future__ import annotations

from llmledgerd.records.repeats import (
    DAY_US,
    MOST_APART_US,
    REPLAY,
    Repeat,
    name_of,
    placeholder,
    repeat,
    started_between,
)
from llmledgerd.records.schema import COLUMNS, Row
from llmledgerd.records.timestamps import NEVER_US

RECEIVED_US = 1_790_000_000_000_000
CALL = ("org", "call")
HOUR_US = DAY_US // 24


def row(created_us: int, **fields: object) -> Row:
    values = {"organization_id": "org", "id": "call", "created_at": created_us, "ingested_at": RECEIVED_US}
    return tuple({**values, **fields}.get(name) for name in COLUMNS)


def test_a_line_may_repeat_one_that_was_dated_a_month_before_it_or_at_any_time_after() -> None:
    started_us = RECEIVED_US - 50 * DAY_US
    assert repeat(row(started_us)) == Repeat(CALL, started_us - MOST_APART_US, NEVER_US)


def test_a_row_of_otlp_repeats_one_of_its_own_time() -> None:
    started_us = RECEIVED_US - 50 * DAY_US
    assert repeat(row(started_us, source="otlp")) == Repeat(CALL, started_us - DAY_US, started_us + DAY_US)


def test_the_record_of_an_abandoned_call_may_be_dated_by_its_receipt() -> None:
    started_us = RECEIVED_US - 3 * DAY_US
    assert repeat(row(started_us, outcome="abandoned")) == Repeat(CALL, started_us - DAY_US, NEVER_US)


def test_a_line_without_a_time_may_repeat_one_of_any_time() -> None:
    assert repeat(row(RECEIVED_US)) == Repeat(CALL, 0, NEVER_US)


def test_a_replayed_line_may_repeat_one_whose_time_was_replaced_at_first() -> None:
    assert repeat(row(RECEIVED_US - 7), client=REPLAY) == Repeat(CALL, 0, NEVER_US)


def test_one_question_is_about_the_times_of_all_its_calls() -> None:
    assert started_between([Repeat(CALL, 3, 5), Repeat(CALL, 1, 4)]) == (1, 5)


def test_a_record_that_comes_late_may_have_an_abandoned_row_of_its_own_time() -> None:
    started_us = RECEIVED_US - 3 * DAY_US
    expected = Repeat(CALL, started_us - DAY_US, started_us + DAY_US)
    assert placeholder(row(started_us), DAY_US, lambda: False) == expected
    assert placeholder(row(started_us, source="otlp"), DAY_US, lambda: False) is None
    assert placeholder(row(RECEIVED_US - HOUR_US), DAY_US, lambda: True) is None


def test_a_record_without_a_time_may_have_one_if_its_session_was_forgotten() -> None:
    found = placeholder(row(RECEIVED_US), DAY_US, lambda: True)
    assert found == Repeat(CALL, RECEIVED_US - MOST_APART_US, NEVER_US)
    assert placeholder(row(RECEIVED_US), 0, lambda: False) is None


def test_no_two_calls_have_one_name() -> None:
    calls = [("", "a"), ("a", ""), ("a", "b"), ("", "ab"), ("1:", "a"), ("", "1:a"), ("a", "1:b")]
    assert len(set(map(name_of, calls))) == len(calls)
