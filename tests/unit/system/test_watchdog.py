"""When the watchdog may be fed, and what the service manager is told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from llmledgerd.system import sd_notify
from llmledgerd.system.watchdog import Watchdog, WatchedThreads, period_seconds

FOREVER = 1e9


def test_an_idle_shipper_may_always_be_fed_for() -> None:
    assert Watchdog().may_feed(FOREVER)


def test_a_step_within_its_limit_is_no_reason_to_starve() -> None:
    steps = Watchdog()
    steps.begins("prepare", 10, now=100)
    assert steps.may_feed(109.9)
    assert not steps.may_feed(110)
    assert steps.hung(110) == ["prepare"]


def test_a_step_that_ended_is_forgotten_however_long_it_took() -> None:
    steps = Watchdog()
    slow = steps.begins("store", 10, now=0)
    other = steps.begins("prepare", 10, now=5)
    steps.ends(slow)
    assert steps.may_feed(14)
    steps.ends(other)
    assert steps.may_feed(FOREVER)


def test_a_step_counts_from_its_turn_and_until_its_end_also_where_it_fails() -> None:
    steps, began, goes_on = Watchdog(), threading.Event(), threading.Event()

    def fail() -> None:
        began.set()
        goes_on.wait()
        raise ValueError("as it may")

    with WatchedThreads(1, "prepare", steps, limit_seconds=1) as threads:
        failing = threads.submit(fail)
        waiting = threads.submit(len, [1, 2])
        began.wait()
        assert steps.hung(FOREVER) == ["prepare"], "the one that waits for its turn is not under way"
        goes_on.set()
        assert waiting.result() == 2
        with pytest.raises(ValueError, match="as it may"):
            failing.result()
    assert not steps.hung(FOREVER)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "7"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "8"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
    ],
)
def test_the_period_is_the_one_meant_for_this_process(environment: dict[str, str], seconds: float) -> None:
    assert period_seconds(environment, 7) == seconds


def test_words_to_the_manager() -> None:
    assert sd_notify.ready("well") == ("READY=1", "STATUS=well")
    assert sd_notify.reloading(1.5) == ("RELOADING=1", "MONOTONIC_USEC=1500000")
    assert sd_notify.stopping(20)[-1] == "EXTEND_TIMEOUT_USEC=20000000"
    assert not any("EXTEND" in word for word in sd_notify.stopping(None))


def test_a_manager_that_is_away_is_no_error(tmp_path: Path) -> None:
    told = sd_notify.notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert told.is_heard
    told.send("READY=1")
    told.close()
    assert not sd_notify.notifier({}).is_heard
