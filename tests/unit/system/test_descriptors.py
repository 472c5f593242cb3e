"""Descriptors: what connections may have, so that the spool, the store and the admin server find some."""

from __future__ import annotations

import resource

import pytest

from llmledgerd.system import descriptors
from llmledgerd.system.descriptors import KEPT_BACK, MOST, PLENTY, Budget, Shares


def test_with_plenty_everybody_has_what_the_settings_say() -> None:
    for budget in (PLENTY, Budget(limit=65536, used=50)):
        assert budget.shares(4096, 1024, 128) == Shares(4096, 1024, 128)


def test_where_descriptors_are_short_one_process_leaves_half_of_them_to_others() -> None:
    assert Budget(limit=1024, used=40).shares(4096, 1024, 128) == Shares(600, 300, 128)


@pytest.mark.parametrize("limit", [0, 1, 16, 64, 256, 1000, 5000, 20000])
@pytest.mark.parametrize("used", [0, 10, 60, 300])
def test_connections_leave_descriptors_for_all_else(limit: int, used: int) -> None:
    shares = Budget(limit, used).shares(4096, 1024, 128)
    assert min(shares.connections, shares.per_process, shares.admin) >= 1
    assert shares.per_process <= shares.connections
    free = max(0, limit - used)
    if free > 8:
        assert shares.connections + shares.admin <= free - min(KEPT_BACK, free // 2)


@pytest.mark.parametrize(
    ("limits", "raised"),
    [
        ((1024, 4096), (4096, 4096)),
        ((1024, 1 << 30), (MOST, 1 << 30)),
        ((1024, resource.RLIM_INFINITY), (MOST, resource.RLIM_INFINITY)),
        ((4096, 4096), None),
        ((1 << 20, 1 << 30), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one_and_not_beyond_what_a_fork_can_close(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], raised: tuple[int, int] | None
) -> None:
    seen = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: seen.append(wanted))
    descriptors.raise_limit()
    assert seen == ([raised] if raised else [])


def test_a_system_that_refuses_a_higher_limit_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    descriptors.raise_limit()
    assert descriptors.budget().limit == 1024
