"""Questions are within one organization, and bounded."""

from __future__ import annotations

from typing import Any, cast

import pytest

from llmledgerd.query.results import Usage
from llmledgerd.reader import ALL_ORGANIZATIONS, LLMTraceReader, Scope
from llmledgerd.ui.queries import GROUPS_SHOWN, PARTS, RUN_SPAN, PageQueries, RunKey
from llmledgerd.ui.shell import pause
from llmledgerd.ui.view import View
from tests.helpers.answers import NOON, usage


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


class Runs:
    """Has no run, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Scope, str, dict[str, Any]]] = []

    async def get_run(self, organization_id: Scope, id: str, **asked: Any) -> None:  # noqa: A002 - the reader's name
        self.asked.append((organization_id, id, asked))


@pytest.mark.parametrize(
    ("only", "named", "scope"),
    [("own", "other", "own"), ("own", None, "own"), (ALL_ORGANIZATIONS, None, ALL_ORGANIZATIONS),
     (ALL_ORGANIZATIONS, "", ""), (ALL_ORGANIZATIONS, "acme", "acme")],
)  # fmt: skip
async def test_a_run_is_looked_for_in_one_organization_and_near_one_of_its_calls(
    only: Scope, named: str | None, scope: Scope
) -> None:
    reader = Runs()
    await PageQueries(cast("LLMTraceReader", reader), only).run(RunKey("r", named, NOON), limit=3)

    ((asked_scope, run, asked),) = reader.asked
    assert (asked_scope, run, asked["limit"]) == (scope, "r", 3)
    assert (asked["start_date"], asked["end_date"]) == (NOON - RUN_SPAN, NOON + RUN_SPAN)
