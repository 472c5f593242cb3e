"""Runs of simulated agents whose ids are stripped, put together by the store's own queries."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from llmledgerd.query.requests import GetRun, ListRuns
from llmledgerd.query.results import RunPage, RunSteps
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from tests.helpers.judged_runs import pairwise_f1, step_of
from tests.helpers.migrated_databases import Lend
from tests.helpers.planted_runs import SECOND_US, step
from tests.helpers.simulated_kinds import simulated
from tests.helpers.simulated_runs import Call
from tests.helpers.store_rows import add_traces

SOME, ALL_KINDS = 12, 40
"""Runs: of a third of the kinds, and of each."""
STEP_US = 7 * SECOND_US
START_US = time.time_ns() // 1000 - len(simulated(7, ALL_KINDS)) * STEP_US


def row(call: Call, number: int) -> dict[str, object]:
    found = step_of(call, number, "a")
    return step(
        found.turn_id,
        found.parent_turn_id,
        at_us=START_US + number * STEP_US,
        conversation=found.conversation_id,
        id=f"call-{number}",
        turn_names=list(found.turn_names),
        opening_names=list(found.opening_names),
        is_error=int(call.response is None),
        cost_usd=None,
    )


def chain(count: int) -> Iterator[dict[str, object]]:
    """Yield calls of another organization, each of which knows the call before it alone, for ten hours."""
    for number in range(count):
        before = f"t{number - 1}" if number else ""
        at_us = START_US + number * 600 * SECOND_US
        own = {"organization_id": "chained", "id": f"chained-{number}"}
        yield step(f"t{number}", before, at_us=at_us, conversation=before or "t0", **own)  # type: ignore[arg-type]  # columns


def greeted(organization: str, users: int) -> Iterator[dict[str, object]]:
    """Yield first calls that answer one greeting, and then the calls of each user that continue one of them."""
    own = {"organization_id": organization}
    for number in range(users):
        at_us = START_US + number * SECOND_US
        yield step("hello", at_us=at_us, conversation=f"alone-{number}", id=f"hello-{number}", **own)  # type: ignore[arg-type]  # columns
    for number in range(users):
        before = "hello"
        for turn in range(3):
            at_us = START_US + (60 + number * 10 + turn) * SECOND_US
            name = f"u{number}-{turn}"
            yield step(name, before, at_us=at_us, conversation=f"user-{number}", id=name, **own)  # type: ignore[arg-type]  # columns
            before = name


@pytest.fixture(scope="module", params=[SOME, pytest.param(ALL_KINDS, marks=pytest.mark.chaos)])
def calls(request: pytest.FixtureRequest) -> list[Call]:
    return simulated(7, request.param)


@pytest.fixture(scope="module")
def answers(lend: Lend, calls: list[Call]) -> Iterator[StoreAnswers]:
    with lend() as url:
        store = Store(url)
        add_traces(store, [row(call, number) for number, call in enumerate(calls)])
        add_traces(store, list(chain(60)))
        add_traces(store, [*greeted("one", 1), *greeted("three", 3)])
        yield StoreAnswers(store)
        store.close()


def listed(answers: StoreAnswers, limit: int) -> list[tuple[str, int]]:
    """Return the runs of all pages, and how many calls each has."""
    found: list[tuple[str, int]] = []
    cursor = None
    while True:
        page = answers.answer("a", ListRuns(limit=limit, cursor=cursor))
        assert isinstance(page, RunPage)
        found += [(run.id, run.steps) for run in page.runs]
        cursor = page.cursor
        if cursor is None:
            return found


def test_runs_are_put_together_from_what_their_calls_name(answers: StoreAnswers, calls: list[Call]) -> None:
    runs = listed(answers, 1000)
    of: dict[int, str] = {}
    for run, steps in runs:
        found = answers.answer("a", GetRun(id=run))
        assert isinstance(found, RunSteps)
        assert (found.run.id, found.run.steps, len(found.steps)) == (run, steps, steps)
        of |= {int(one.id.removeprefix("call-")): run for one in found.steps}

    found_runs = [of.get(number, f"lost {number}") for number in range(len(calls))]
    assert pairwise_f1([call.run for call in calls], found_runs) >= 0.98
    assert sum(steps for _, steps in runs) == len(calls)


def test_any_conversation_leads_to_the_same_run(answers: StoreAnswers) -> None:
    dice = random.Random(1)
    for run, _ in dice.sample(listed(answers, 1000), 2):
        found = answers.answer("a", GetRun(id=run))
        assert isinstance(found, RunSteps)
        for other in {one.conversation_id for one in found.steps}:
            same = answers.answer("a", GetRun(id=other))
            assert isinstance(same, RunSteps)
            assert same.run == found.run


@pytest.mark.parametrize("limit", [7])
def test_pages_of_followed_runs_neither_repeat_nor_skip(answers: StoreAnswers, limit: int) -> None:
    runs = [run for run, _ in listed(answers, limit)]

    assert len(runs) == len(set(runs))
    assert set(runs) == {run for run, _ in listed(answers, 1000)}


def test_a_chain_of_calls_that_each_know_one_other_is_one_run(answers: StoreAnswers) -> None:
    page = answers.answer("chained", ListRuns(limit=1))
    assert isinstance(page, RunPage)
    assert [(run.id, run.steps, run.depth) for run in page.runs] == [("t0", 60, 60)]
    assert page.cursor is None
    for conversation in ("t0", "t30", "t58"):
        found = answers.answer("chained", GetRun(id=conversation))
        assert isinstance(found, RunSteps)
        assert (found.run.id, found.run.steps, found.run.forks) == ("t0", 60, 0)


def test_users_who_are_greeted_alike_have_runs_of_their_own(answers: StoreAnswers) -> None:
    def runs(organization: str) -> dict[str, int]:
        page = answers.answer(organization, ListRuns())
        assert isinstance(page, RunPage)
        for run in page.runs:
            found = answers.answer(organization, GetRun(id=run.id))
            assert isinstance(found, RunSteps)
            assert found.run == run
        return {run.id: run.steps for run in page.runs}

    assert runs("one") == {"alone-0": 4}
    users = {f"user-{number}": 3 for number in range(3)}
    assert runs("three") == users | {f"alone-{number}": 1 for number in range(3)}
