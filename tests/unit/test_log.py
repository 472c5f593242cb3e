"""An event is one harmless line; what recurs is said once a minute with its count, its last time included."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmledgerd.log import MINUTE, Recurring, log
from llmledgerd.printable import CONTROLS

Logged = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    log.configure("json", "info")
    yield
    log.configure("json", "info")


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Logged:
    """Return a function that returns what was logged since the last time."""

    def entries() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return entries


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


def test_what_comes_for_the_first_time_is_said_at_once(now: Now, logged: Logged) -> None:
    Recurring(now).warn("the store is away", kind="unreachable")
    (entry,) = logged()
    entry.pop("timestamp")
    assert entry == {"event": "the store is away", "kind": "unreachable", "level": "warning"}


def test_what_goes_on_is_said_once_a_minute_with_its_count(now: Now, logged: Logged) -> None:
    recurring = Recurring(now)
    for number in range(721):
        recurring.warn("away", attempt=number)
        now.seconds += 0.25  # a binary fraction, so that no minute is cut short
    said = logged()
    assert [entry.get("times", 1) for entry in said] == [1, 240, 240, 240]
    assert [entry["attempt"] for entry in said] == [0, 240, 480, 720], "the details are those of the last"


def test_the_last_of_it_is_said_although_it_comes_no_more(now: Now, logged: Logged) -> None:
    recurring = Recurring(now)
    for _ in range(5):
        recurring.error("refused")
    recurring.catch_up()
    assert [entry.get("times", 1) for entry in logged()] == [1]
    now.seconds += MINUTE
    recurring.catch_up()
    now.seconds += MINUTE
    recurring.catch_up()
    (last,) = logged()
    assert (last["times"], last["level"]) == (4, "error")


def test_at_the_end_nothing_is_kept_back(now: Now, logged: Logged) -> None:
    recurring = Recurring(now)
    recurring.info("works again")
    recurring.info("works again")
    recurring.catch_up(now=True)
    assert len(logged()) == 2


def test_one_thing_does_not_silence_another(now: Now, logged: Logged) -> None:
    recurring = Recurring(now)
    recurring.warn("a")
    recurring.warn("b")
    assert [entry["event"] for entry in logged()] == ["a", "b"]


def test_many_at_once_are_counted_one_by_one(now: Now, logged: Logged) -> None:
    recurring = Recurring(now)
    recurring.warn("lines moved to the dead-letter queue", times=3)
    recurring.warn("lines moved to the dead-letter queue", times=4)
    recurring.warn("lines moved to the dead-letter queue")
    now.seconds += MINUTE
    recurring.catch_up()
    assert [entry["times"] for entry in logged()] == [3, 5]


HOSTILE = "a\x1b[2J\nforged\u202e\udc9b"


def test_an_event_has_its_details_its_level_and_its_time(logged: Logged) -> None:
    log.info("ready", socket="/run/s", counts={"a": 1}, names=("b",), lag=0.5, other=None)
    (entry,) = logged()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry.pop("timestamp"))
    assert entry == {
        "event": "ready", "level": "info", "socket": "/run/s", "counts": {"a": 1}, "names": ["b"], "lag": 0.5,
        "other": None,
    }  # fmt: skip


def test_events_below_the_level_are_not_logged(logged: Logged) -> None:
    log.configure("json", "warning")
    log.info("a")
    log.warning("b")
    log.configure("json", "debug")
    log.debug("c")
    assert [entry["event"] for entry in logged()] == ["b", "c"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_event_has_an_effect_on_a_terminal(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(form, "info")
    log.error(HOSTILE, path=HOSTILE, counts={HOSTILE: HOSTILE}, exc_info=ValueError(HOSTILE))
    written = capsys.readouterr().err
    assert not CONTROLS.search(written)
    assert written.count("\n") == 1 or form == "console"
    assert "ValueError: a" in written


def test_a_console_has_an_event_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("console", "info")
    log.warning("the store is away", kind="unreachable", times=3)
    line = capsys.readouterr().err
    assert re.fullmatch(r"\S+Z \[warning\] the store is away +kind='unreachable' times=3\n", line)
