from __future__ import annotations

from collections import Counter

import pytest

from tests.helpers.judged_runs import is_right, pairwise_f1, placed
from tests.helpers.simulated_kinds import KINDS, simulated


def test_of_a_thousand_runs_of_all_kinds_and_apis_nearly_all_calls_are_put_where_they_belong() -> None:
    calls = simulated(1, 1000)

    found = placed(calls)

    assert pairwise_f1([call.run for call in calls], [place.run for place in found]) >= 0.99
    right = [is_right(call, place) for call, place in zip(calls, found, strict=True)]
    assert sum(right) / len(right) >= 0.98
    assert len({call.kind for call in calls}) == len(KINDS)
    assert min(Counter(call.api for call in calls).values()) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_run_is_put_together(kind: str) -> None:
    for without_ids in (0.0, 1.0):
        calls = simulated(2, 10, [kind], without_ids=without_ids)

        found = placed(calls)

        assert pairwise_f1([call.run for call in calls], [place.run for place in found]) >= 0.99
        right = [is_right(call, place) for call, place in zip(calls, found, strict=True)]
        assert sum(right) / len(right) >= 0.98


def test_sub_agents_come_from_the_call_that_started_them() -> None:
    calls = simulated(3, 30, ["sub_agents"])

    found = placed(calls)

    started = [
        (call, place)
        for number, (call, place) in enumerate(zip(calls, found, strict=True))
        if call.is_sub_agent and not calls[number - 1].is_sub_agent
    ]
    assert started
    for call, place in started:
        assert not calls[place.origin].is_sub_agent
        assert calls[place.origin].run == call.run


def test_users_who_are_greeted_alike_are_not_one_run() -> None:
    """Whose of several equal first calls a later one continues, nothing tells; all later ones stay together."""
    calls = simulated(2, 20, ["greetings"])

    found = placed(calls)

    runs = [place.run for place in found]
    later = [number for number, call in enumerate(calls) if call.parents]
    assert pairwise_f1([calls[number].run for number in later], [runs[number] for number in later]) == 1
    assert len({runs[number] for number, call in enumerate(calls) if not call.parents}) == 20
