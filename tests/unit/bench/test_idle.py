"""An idle daemon is asked at the intervals of a kubelet and of Prometheus."""

from __future__ import annotations

from bench.idle import moments


def test_each_target_is_asked_at_its_interval_from_the_start_on() -> None:
    found = list(moments({"/healthz": 10.0, "/metrics": 30.0}, 40.0))
    assert found == [
        (0.0, "/healthz"),
        (0.0, "/metrics"),
        (10.0, "/healthz"),
        (20.0, "/healthz"),
        (30.0, "/healthz"),
        (30.0, "/metrics"),
    ]


def test_a_daemon_that_nobody_asks_is_asked_nothing() -> None:
    assert list(moments({}, 40.0)) == []
