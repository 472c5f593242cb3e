"""Questions are within one organization, and bounded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import pytest

from llmledgerd.query.results import Page, Usage
from llmledgerd.reader import ALL_ORGANIZATIONS, LLMTraceReader, Scope
from llmledgerd.ui.queries import GROUPS_SHOWN, PARTS, PageQueries
from llmledgerd.ui.shell import pause
from llmledgerd.ui.view import View
from tests.helpers.answers import NOON, call, usage


class Reader:
    """Answers every sum with as many groups as there are, and remembers what was asked."""

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self.asked: list[tuple[Scope, dict[str, Any]]] = []

    async def get_usage_stats(self, organization_id: Scope, **asked: Any) -> list[Usage]:
        self.asked.append((organization_id, asked))
        return [
            usage(group=dict.fromkeys(asked["group_by"], str(n)), requests=1) for n in range(self._groups)
        ][: asked["limit"]]


async def ask(only: Scope, view: View, groups: int = 1000) -> list[tuple[Scope, dict[str, Any]]]:
    reader = Reader(groups)
    await PageQueries(cast("LLMTraceReader", reader), only).overview(view, NOON)
    return reader.asked


@pytest.mark.parametrize("narrowed", [{}, {"organization": "other"}, {"organization": ""}])
async def test_an_address_names_no_other_organization(narrowed: dict[str, str]) -> None:
    for split in ("model", "organization"):
        asked = await ask("own", View(split=split, narrowed=narrowed))
        assert {scope for scope, _ in asked} == {"own"}


async def test_operators_narrow_to_one_organization() -> None:
    whole = await ask(ALL_ORGANIZATIONS, View())
    one = await ask(ALL_ORGANIZATIONS, View(narrowed={"organization": "acme"}))

    assert {scope for scope, _ in whole} == {ALL_ORGANIZATIONS}
    assert {scope for scope, _ in one} == {"acme"}


async def test_an_overview_is_a_handful_of_questions_each_with_a_bound() -> None:
    asked = [question for _, question in await ask(ALL_ORGANIZATIONS, View(split="agent"))]

    assert len(asked) == 3 + PARTS
    assert all(question["limit"] or question["group_by"] in ((), ("hour",)) for question in asked)
    assert [question["limit"] for question in asked if question["group_by"] == ("agent",)] == [GROUPS_SHOWN]


async def test_few_groups_are_drawn_from_one_question() -> None:
    asked = [question for _, question in await ask(ALL_ORGANIZATIONS, View(split="model"), groups=8)]

    assert [question["group_by"] for question in asked] == [(), ("hour",), ("model",), ("model", "hour")]


@pytest.mark.parametrize("view", [View(split="user"), View(split="model", narrowed={"user": "u"})])
async def test_what_the_rollup_does_not_keep_apart_is_not_read_once_for_every_part(view: View) -> None:
    assert len(await ask(ALL_ORGANIZATIONS, view)) == 3


def test_asking_takes_at_most_a_tenth_of_the_time() -> None:
    assert (pause(0.1, 5.0), pause(3.0, 5.0)) == (5.0, 30.0)


class LongRun:
    """A run with more calls than one page of a list."""

    async def list_calls(self, organization_id: Scope, **asked: Any) -> Page:
        assert asked["run_id"] == "r"
        return Page([call(cost_usd=Decimal(2)) for _ in range(3)], "more")

    async def get_usage_stats(self, organization_id: Scope, **asked: Any) -> list[Usage]:
        assert (asked["run_id"], asked["group_by"]) == ("r", ())
        return [usage(requests=10, cost_usd=Decimal(50))]


async def test_a_run_longer_than_a_page_counts_the_calls_before_it() -> None:
    run = await PageQueries(cast("LLMTraceReader", LongRun()), "own").run(call(run_id="r"))

    assert (run.older_calls, run.older_cost) == (7, Decimal(44))
