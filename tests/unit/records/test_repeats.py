"""When the rows started that a line may repeat."""

from __future__ import annotations

from llmledgerd.records.repeats import DAY_US, REPLAY, Repeat, name_of, repeat, started_between
from llmledgerd.records.schema import COLUMNS, Row

RECEIVED_US = 1_790_000_000_000_000


def row(created_us: int) -> Row:
    values = {"organization_id": "org", "id": "call", "created_at": created_us, "ingested_at": RECEIVED_US}
    return tuple(values.get(name) for name in COLUMNS)


def at(*times: int | None) -> list[Repeat]:
    return [Repeat(("org", str(number)), time) for number, time in enumerate(times)]


def test_a_line_that_says_when_its_call_started_says_it_again_when_it_is_repeated() -> None:
    assert repeat(row(RECEIVED_US - 7)) == Repeat(("org", "call"), RECEIVED_US - 7)
    assert started_between(at(50 * DAY_US, 52 * DAY_US), RECEIVED_US) == (49 * DAY_US, 53 * DAY_US)


def test_a_line_without_a_time_may_repeat_one_of_any_time_ago() -> None:
    undated = repeat(row(RECEIVED_US))
    assert undated == Repeat(("org", "call"), None)
    assert started_between([undated, *at(50 * DAY_US)], RECEIVED_US) == (0, RECEIVED_US + DAY_US)
    assert started_between([undated, *at(RECEIVED_US + 5)], RECEIVED_US) == (0, RECEIVED_US + 5 + DAY_US)


def test_a_replayed_line_may_repeat_one_whose_time_was_replaced_at_first() -> None:
    assert repeat(row(RECEIVED_US - 7), client=REPLAY) == Repeat(("org", "call"), None)


def test_no_two_calls_have_one_name() -> None:
    calls = [("", "a"), ("a", ""), ("a", "b"), ("", "ab"), ("1:", "a"), ("", "1:a"), ("a", "1:b")]
    assert len(set(map(name_of, calls))) == len(calls)
