"""An address says all of a view, and whatever it says, something is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.query.filters import OF_SUMS as NARROWING
from llmledgerd.query.requests import GROUPS
from llmledgerd.ui import spans
from llmledgerd.ui.spans import SPANS
from llmledgerd.ui.view import COLUMNS, FAILED, FILTERS, View, change, narrow, read, widen, write

NOW = datetime(2025, 3, 31, 12, 34, 56, 789, tzinfo=UTC)

texts = st.text(max_size=20)
times = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
ranges = st.one_of(
    st.tuples(st.sampled_from(sorted(SPANS)), st.none(), st.none()),
    st.tuples(st.just("7d"), times, st.none()),
    st.tuples(st.just("7d"), times, times).filter(lambda drawn: drawn[1] < drawn[2]),
)


narrowings = st.dictionaries(
    st.sampled_from(sorted(set(FILTERS) - {"outcome"})), texts
) | st.fixed_dictionaries({"outcome": st.sampled_from(["", "ok", "error", "cancelled", "abandoned", FAILED])})


@st.composite
def views(draw: st.DrawFn) -> View:
    span, start, end = draw(ranges)
    return View(
        span=span,
        start=start,
        end=end,
        split=draw(st.sampled_from(sorted(COLUMNS))),
        narrowed=draw(narrowings),
        min_size=draw(st.none() | st.integers(0, 10**18 - 1)),
        cursor=draw(st.none() | texts.filter(bool)),
    )


def test_everything_that_usage_is_split_by_can_be_chosen() -> None:
    assert {*COLUMNS, *spans.STEPS} == set(GROUPS)
    assert {column for column in FILTERS.values() if column} == set(NARROWING)


def reread(view: View) -> View:
    return read(parse_qsl(urlsplit(write("/", view)).query))


@given(views())
def test_a_view_survives_its_way_through_an_address(view: View) -> None:
    assert reread(view) == view


@given(
    st.lists(st.tuples(st.sampled_from(["span", "from", "to", "split", "min_size", "without", "x"]), texts))
)
def test_no_address_is_without_a_view(pairs: list[tuple[str, str]]) -> None:
    view = read(pairs)

    assert view.range(NOW).start <= NOW or view.start is not None
    assert reread(view) == msgspec.structs.replace(view, ignored=())


@pytest.mark.parametrize(
    ("name", "value", "ignored"),
    [
        ("span", "2d", "span=2d (use one of 1h, 24h, 7d, 30d, 90d, 1y)"),
        ("outcome", "bad", "outcome=bad (use one of ok, error, cancelled, abandoned, failed)"),
        ("from", "yesterday", "from=yesterday (use an ISO 8601 time, such as 2026-11-21T08:00)"),
        ("to", "2026-01-01", "to (use it with from)"),
        ("min_size", "1MB", "min_size=1MB (use a whole number of bytes)"),
        ("colour", "red", "colour (unknown)"),
    ],
)
def test_a_parameter_without_a_meaning_is_named_and_does_nothing(name: str, value: str, ignored: str) -> None:
    view = read([(name, value)])

    assert view.ignored == (ignored,)
    assert msgspec.structs.replace(view, ignored=()) == View()


def test_what_is_usual_makes_a_short_address() -> None:
    assert write("/", View()) == "/"
    assert write("/calls", narrow(View(), "model", "m&m")) == "/calls?split=agent&model=m%26m"


def test_empty_fields_of_a_form_do_not_narrow() -> None:
    assert read([("model", ""), ("provider", ""), ("min_size", ""), ("outcome", "")]) == View()


def test_calls_without_a_value_can_be_meant() -> None:
    view = narrow(View(), "agent", "")

    assert reread(view).sums() == {"agent_id": ""}


def test_narrowing_splits_by_what_is_not_yet_narrowed() -> None:
    once = narrow(View(split="model"), "model", "m1")
    twice = narrow(once, once.split, "a1")

    assert (once.split, twice.split) == ("agent", "organization")
    assert twice.sums() == {"model": "m1", "agent_id": "a1"}
    assert narrow(View(split="user"), "model", "m1").split == "user"


@pytest.mark.parametrize("name", ["run", "min_size", "model"])
def test_every_condition_can_be_removed_alone(name: str) -> None:
    view = View(min_size=5, narrowed={"model": "m", "agent": "a", "run": "r"}, cursor="c")
    left = widen(view, name)

    assert left.cursor is None
    assert ("run" not in left.narrowed, left.min_size is None, "model" not in left.narrowed) == (
        name == "run",
        name == "min_size",
        name == "model",
    )
    assert left.narrowed["agent"] == "a"


def test_every_failure_is_one_outcome_of_lists() -> None:
    view = read([("outcome", FAILED)])

    assert view.is_error is True
    assert view.sums() == {}


def test_another_range_begins_at_the_first_page() -> None:
    assert change(View(cursor="c"), span="24h") == View(span="24h")
