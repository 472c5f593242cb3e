"""Runs: what a list and a timeline say of calls that share a run or a conversation, and what they read for it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from llmledgerd.errors import StoreBusy
from llmledgerd.query.requests import GetRun, ListRuns, QueryRequest
from llmledgerd.query.results import Run, RunStep, RunSteps
from llmledgerd.reader import ALL_ORGANIZATIONS, LLMTraceReader
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from tests.helpers.long_run import add_long_run
from tests.helpers.migrated_databases import Lend
from tests.helpers.places import PLACES, Places, places
from tests.helpers.planted_runs import SECOND_US, loop, step

NOW_US = time.time_ns() // 1000
HOUR_US = 3600 * SECOND_US
NOW = datetime.fromtimestamp(NOW_US / 1e6, UTC)


def planted() -> list[dict[str, object]]:
    """Return calls of two organizations: chains, a fork, retries, sub-agents, unknown costs, old runs."""
    start = NOW_US - HOUR_US
    agents = {"agent_id": "jones", "model": "m2"}
    return [
        *loop(5, start_us=start, conversation="chain"),
        # A run with a name, whose sub-agent has a conversation of its own; one call costs nobody knows what.
        step("n1", at_us=start, run="named", conversation="x", cost_usd=None, cost_reason="no_price"),
        step("s1", at_us=start + SECOND_US, run="named", conversation="y", took_ms=2000, **agents),
        step("s2", "s1", at_us=start + 4 * SECOND_US, run="named", conversation="y", took_ms=1000, **agents),
        step("n2", "n1", at_us=start + 6 * SECOND_US, run="named", conversation="x", is_error=1, outcome="error",
             error_type="overloaded", error_message="busy " * 100, usage_source="unknown", prompt_tokens=0,
             completion_tokens=0, total_tokens=0, cost_usd=None),
        step("n2", "n1", at_us=start + 8 * SECOND_US, run="named", conversation="x", agent_tags=["retried"]),
        # A fork.
        step("f1", at_us=start + SECOND_US, conversation="fork"),
        step("f2", "f1", at_us=start + 2 * SECOND_US, conversation="fork"),
        step("f3", "f1", at_us=start + 2 * SECOND_US + 1, conversation="fork"),
        # The same names in another organization.
        *loop(3, start_us=start, conversation="chain", organization_id="b"),
        step("b1", at_us=start, run="only-b", organization_id="b"),
        # A run of two weeks ago, and calls of no run.
        *loop(2, start_us=NOW_US - 14 * 24 * HOUR_US, run="old"),
        step("", at_us=start, call_type="embedding"),
    ]  # fmt: skip


ROWS = planted()


@pytest.fixture(scope="module")
def everywhere(lend: Lend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with (
        lend() as url,
        places(url, tmp_path_factory.mktemp("p"), ROWS) as found,
    ):
        yield found


@pytest_asyncio.fixture(
    params=[pytest.param(place, marks=pytest.mark.slow) if place == "unix" else place for place in PLACES]
)
async def reader(request: pytest.FixtureRequest, everywhere: Places) -> AsyncIterator[LLMTraceReader]:
    """Return a reader of the same rows, from each place in turn."""
    async with everywhere.reader(request.param) as opened:
        yield opened


def tree(steps: list[RunStep]) -> list[tuple[str, int | None, str, int]]:
    return [(one.turn_id, one.parent, one.kind, one.level) for one in steps]


async def test_runs_are_listed_by_their_latest_call_with_sums_of_all_their_calls(
    reader: LLMTraceReader,
) -> None:
    page = await reader.list_runs("a")

    assert [run.id for run in page.runs] == ["named", "chain", "fork", "old"]
    assert page.cursor is None
    chain = page.runs[1]
    assert (chain.steps, chain.depth, chain.forks, chain.sub_agents) == (5, 5, 0, 0)
    assert (chain.wall_ms, chain.model_ms, chain.between_ms) == (4500, 2500, 2000)
    assert (chain.total_tokens, chain.cost_usd, chain.is_named) == (60, Decimal("0.05"), False)
    assert chain.request_bytes == sum(1000 + 200 * n for n in range(5))
    assert page.runs[2].forks == 1


async def test_a_run_with_a_name_has_its_conversations_and_counts_what_is_unknown(
    reader: LLMTraceReader,
) -> None:
    (run, *_) = (await reader.list_runs("a")).runs

    assert (run.id, run.is_named, run.steps, run.sub_agents, run.errors) == ("named", True, 5, 1, 1)
    assert (run.agents, run.models) == (["smith", "jones"], ["m1", "m2"])
    assert (run.cost_usd, run.unknown_cost, run.unknown_usage) == (Decimal("0.03"), 2, 1)
    assert (run.wall_ms, run.model_ms) == (8500, 4500)


async def test_steps_say_what_they_continue_and_what_is_new(reader: LLMTraceReader) -> None:
    chain = await reader.get_run("a", "chain")
    named = await reader.get_run("a", "named")
    assert chain is not None
    assert named is not None

    assert [one.number for one in chain.steps] == [1, 2, 3, 4, 5]
    assert [one.new_bytes for one in chain.steps] == [1000, 200, 200, 200, 200]
    assert tree(named.steps) == [
        ("n1", None, "root", 0),
        ("s1", 1, "sub_agent", 1),
        ("s2", 2, "next", 1),
        ("n2", 1, "next", 0),
        ("n2", 1, "next", 0),
    ]
    failed = named.steps[3]
    assert (failed.error_type, failed.error_message, failed.cost_usd) == ("overloaded", ("busy " * 40), None)
    assert named.run == (await reader.list_runs("a")).runs[0]


async def test_a_conversation_leads_to_the_run_that_names_it(reader: LLMTraceReader) -> None:
    found = await reader.get_run("a", "y")

    assert found is not None
    assert (found.run.id, found.run.steps) == ("named", 5)
    assert await reader.get_run("a", "nothing") is None


async def test_a_window_of_steps_has_their_places_in_the_whole_run(reader: LLMTraceReader) -> None:
    middle = await reader.get_run("a", "chain", first=2, limit=2)
    around = await reader.get_run("a", "chain", around=str(ROWS[3]["id"]), limit=3)
    beyond = await reader.get_run("a", "chain", first=6)
    assert middle is not None
    assert around is not None
    assert beyond is not None

    assert [(one.number, one.parent, one.new_bytes) for one in middle.steps] == [(2, 1, 200), (3, 2, 200)]
    assert (middle.more, middle.run.steps, middle.here) == (True, 5, None)
    assert ([one.number for one in around.steps], around.here, around.more) == ([3, 4, 5], 4, False)
    assert (beyond.steps, beyond.more) == ([], False)


async def test_filters_choose_runs_whose_figures_stay_whole(reader: LLMTraceReader) -> None:
    async def found(**asked: Any) -> list[tuple[str, int]]:
        return [(run.id, run.steps) for run in (await reader.list_runs("a", **asked)).runs]

    assert await found(agent_id="jones") == [("named", 5)]
    assert await found(is_error=True) == [("named", 5)]
    assert await found(agent_tags="retried") == [("named", 5)]
    assert await found(id_prefix="ch") == [("chain", 5)]
    assert await found(run_id="old") == [("old", 2)]
    assert await found(model="m9") == []
    assert await found(end_date=NOW - timedelta(days=1)) == [("old", 2)]
    cut = NOW - timedelta(hours=1) + timedelta(seconds=3)
    assert await found(start_date=cut) == [("named", 3), ("chain", 2)]


async def test_no_run_of_another_organization_is_listed_or_opened(reader: LLMTraceReader) -> None:
    assert [(run.id, run.steps) for run in (await reader.list_runs("b")).runs] == [
        ("chain", 3),
        ("only-b", 1),
    ]
    assert await reader.get_run("a", "only-b") is None
    own = await reader.get_run("b", "chain")
    assert own is not None
    assert (own.run.organization_id, own.run.steps, len(own.steps)) == ("b", 3, 3)
    with pytest.raises(ValueError, match="several organizations have a run chain"):
        await reader.get_run(ALL_ORGANIZATIONS, "chain")
    every = (await reader.list_runs(ALL_ORGANIZATIONS)).runs
    assert sorted((run.organization_id, run.id, run.steps) for run in every) == sorted(
        [
            ("a", "named", 5), ("a", "chain", 5), ("a", "fork", 3), ("a", "old", 2),
            ("b", "chain", 3), ("b", "only-b", 1),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_neither_repeat_nor_skip_a_run(reader: LLMTraceReader, limit: int) -> None:
    seen: list[Run] = []
    cursor = None
    while True:
        page = await reader.list_runs(ALL_ORGANIZATIONS, limit=limit, cursor=cursor)
        seen += page.runs
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == (await reader.list_runs(ALL_ORGANIZATIONS)).runs


@pytest.mark.parametrize("cursor", ["x", "", "[1]", "[1e99,1,1]", '[99999999999999999999,"a","b"]', "null"])
async def test_a_cursor_of_something_else_is_refused(reader: LLMTraceReader, cursor: str) -> None:
    with pytest.raises(ValueError, match="invalid cursor"):
        await reader.list_runs("a", cursor=cursor)


@pytest.fixture(scope="module")
def long(lend: Lend) -> Iterator[str]:
    """Return the URL of a store with a run of 12,000 calls whose requests are 240 MB."""
    with lend() as url:
        store = Store(url)
        start_us = NOW_US - 12_000 * SECOND_US
        add_long_run(store, "long", 12_000, request_bytes=20_000, start_us=start_us)
        store.close()
        yield url


@pytest.mark.parametrize(
    "question",
    [ListRuns(), GetRun(id="long", limit=10_000), GetRun(id="long", first=6_001, limit=200)],
    ids=["list", "whole run", "window"],
)
def test_a_long_run_is_read_in_little_memory_and_without_its_payloads(
    long: str, question: QueryRequest
) -> None:
    limits = {"max_memory_usage": 64 << 20, "max_bytes_to_read": 24 << 20, "max_threads": 2}
    store = Store(long, settings=limits)
    try:
        answer: Any = StoreAnswers(store).answer("a", question)
    finally:
        store.close()

    run = answer.run if isinstance(answer, RunSteps) else answer.runs[0]
    assert (run.steps, run.depth, run.forks) == (12_000, 10_800, 1_200)
    if isinstance(answer, RunSteps):
        times = [step.created_at for step in answer.steps]
        first = answer.steps[0].number
        assert times == [run.first_at + timedelta(seconds=first - 1 + n) for n in range(len(times))]


def test_no_statement_about_runs_names_a_payload(long: str) -> None:
    """As a control: the same question with a payload reads more than all of these."""
    statements: list[str] = []

    class Spy(Store):
        def query(self, sql: str, *given: Any, **named: Any) -> list[dict[str, Any]]:
            statements.append(sql)
            return super().query(sql, *given, **named)

    store = Spy(long)
    answers = StoreAnswers(store)
    answers.answer("a", ListRuns())
    answers.answer("a", GetRun(id="long", around="long-7"))
    assert len(statements) >= 5
    assert not any("_json" in sql for sql in statements)
    store.close()
    limited = Store(long, settings={"max_bytes_to_read": 24 << 20})
    with pytest.raises(StoreBusy):
        limited.query("SELECT max(request_json) FROM llm_traces")
    limited.close()
