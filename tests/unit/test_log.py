"""A thing that recurs is said once a minute with its count, and its last time is not forgotten."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from llmledgerd.log import MINUTE, Recurring


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


def test_what_comes_for_the_first_time_is_said_at_once(now: Now) -> None:
    with capture_logs() as said:
        Recurring(now).warn("the store is away", kind="unreachable")
    assert said == [{"event": "the store is away", "kind": "unreachable", "log_level": "warning"}]


def test_what_goes_on_is_said_once_a_minute_with_its_count(now: Now) -> None:
    recurring = Recurring(now)
    with capture_logs() as said:
        for number in range(721):
            recurring.warn("away", attempt=number)
            now.seconds += 0.25  # a binary fraction, so that no minute is cut short
    assert [entry.get("times", 1) for entry in said] == [1, 240, 240, 240]
    assert [entry["attempt"] for entry in said] == [0, 240, 480, 720], "the details are those of the last"


def test_the_last_of_it_is_said_although_it_comes_no_more(now: Now) -> None:
    recurring = Recurring(now)
    with capture_logs() as said:
        for _ in range(5):
            recurring.error("refused")
        recurring.catch_up()
        assert len(said) == 1
        now.seconds += MINUTE
        recurring.catch_up()
        now.seconds += MINUTE
        recurring.catch_up()
    assert [entry.get("times", 1) for entry in said] == [1, 4]
    assert said[1]["log_level"] == "error"


def test_at_the_end_nothing_is_kept_back(now: Now) -> None:
    recurring = Recurring(now)
    with capture_logs() as said:
        recurring.info("works again")
        recurring.info("works again")
        recurring.catch_up(now=True)
    assert len(said) == 2


def test_one_thing_does_not_silence_another(now: Now) -> None:
    recurring = Recurring(now)
    with capture_logs() as said:
        recurring.warn("a")
        recurring.warn("b")
    assert [entry["event"] for entry in said] == ["a", "b"]


def test_many_at_once_are_counted_one_by_one(now: Now) -> None:
    recurring = Recurring(now)
    with capture_logs() as said:
        recurring.warn("lines moved to the dead-letter queue", times=3)
        recurring.warn("lines moved to the dead-letter queue", times=4)
        recurring.warn("lines moved to the dead-letter queue")
        now.seconds += MINUTE
        recurring.catch_up()
    assert [entry["times"] for entry in said] == [3, 5]
