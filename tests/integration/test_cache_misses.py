"""Planted cache misses through the real daemon and the real engine, asked with the command as a person does."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import pytest

from llmledgerd.query.prompt_results import CacheMiss, CacheMisses
from llmledgerd.query.requests import GetCacheMisses, ListCacheMisses
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from tests.helpers import cache_scenarios, cache_worlds, prefork
from tests.helpers.cache_cases import CAUSES, Labelled, cases
from tests.helpers.daemon import RunningDaemon
from tests.helpers.migrated_databases import Lend
from tests.helpers.places import environment
from tests.helpers.session import Session
from tests.helpers.store_rows import add_traces
from tests.helpers.waiting import until

PLANTED = 500
SOME, ALL = 3, 12
"""Misses of each cause and provider: a few, and so many that PLANTED are reached."""
MATERIAL = 300
"""Lost tokens from which a planted miss is to be found: less is rounding."""


def asked(url: str, *arguments: str) -> list[dict[str, Any]]:
    """Return what a command writes as JSON."""
    done = prefork.run(
        "llmledger",
        *arguments,
        "--json",
        environment={**environment(), "LLMLEDGER_CLICKHOUSE_URL": url},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module", name="answers", params=[SOME, pytest.param(ALL, marks=pytest.mark.chaos)])
def _answers(
    request: pytest.FixtureRequest, lend: Lend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[list[Labelled], list[dict[str, Any]], Any]]:
    """Return the labelled calls, what the command says of them, and the same added up."""
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=3)
    labelled = cases(20_261_122, start, each=request.param, healthy_runs=100 * request.param // ALL)
    with _stored(labelled, lend, tmp_path_factory) as url:
        yield labelled, asked(url, "cache", "--calls"), asked(url, "cache")


@contextlib.contextmanager
def _stored(
    labelled: Sequence[Labelled | cache_worlds.Labelled],
    lend: Lend,
    folders: pytest.TempPathFactory,
) -> Iterator[str]:
    """Give the address of a store with the calls, which a daemon has stored."""
    with (
        lend() as url,
        contextlib.closing(Store(url, timeout_seconds=60)) as store,
        RunningDaemon(folders.mktemp("cache"), url=url) as daemon,
    ):
        with Session(daemon.socket) as session:
            session.hello()
            session.send([json.dumps(one.record).encode() + b"\n" for one in labelled], 1)
            session.wait_durable(len(labelled))
        until(lambda: store.query("SELECT count() AS n FROM llm_traces")[0]["n"] == len(labelled), limit=300)
        yield url


def test_causes_places_and_dollars_of_planted_misses_are_right_and_healthy_turns_are_not_flagged(
    answers: tuple[list[Labelled], list[dict[str, Any]], Any],
) -> None:
    labelled, found, _ = answers
    score = _judge(labelled, found)
    assert score["planted"] >= PLANTED * SOME / ALL, score
    assert score["healthy"] >= PLANTED * SOME / ALL, score
    assert {one.cause for one in labelled} == {"", *CAUSES}


@pytest.mark.chaos
def test_misses_of_a_cache_that_is_played_token_by_token_are_right_in_fifteen_formats(
    lend: Lend, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = cache_scenarios.cases(7, dt.datetime.now(dt.UTC) - dt.timedelta(days=20), each=2, healthy=1)
    with _stored(made, lend, tmp_path_factory) as url:
        found = asked(url, "cache", "--calls", "--limit", "10000")
    score = _judge([one for one in made if not one.cause or one.lost_tokens >= MATERIAL], found)
    assert score["planted"] >= PLANTED / 2, score
    assert score["healthy"] >= PLANTED, score


def _judge(labelled: Sequence[Labelled | cache_worlds.Labelled], found: list[dict[str, Any]]) -> Counter[str]:
    """Return how many are right, after the assertion that they are enough."""
    misses = {one["id"]: one for one in found}
    score: Counter[str] = Counter()
    for one in labelled:
        miss = misses.get(one.record["provider_trace_id"].removeprefix("provider_trace-"))
        if not one.cause:
            score["healthy"] += 1
            score["false alarms"] += miss is not None
            continue
        score["planted"] += 1
        if miss is None or miss["cause"] != one.cause:
            score[f"wrong {one.cause}"] += 1
            continue
        score["right"] += 1
        score["misplaced"] += not _is_placed(one.place, miss["place"])
        if one.lost_usd is not None:
            score["dollars"] += 1
            score["dollars off"] += abs(float(miss["lost_usd"] or 0) - one.lost_usd) > 0.01 * one.lost_usd
    assert score["right"] >= 0.98 * score["planted"], score
    assert score["false alarms"] <= 0.01 * score["healthy"], score
    assert score["misplaced"] == 0, score
    assert score["dollars off"] <= 0.01 * score["dollars"], score
    return score


def _is_placed(wanted: Mapping[str, Any], place: dict[str, Any]) -> bool:
    """Whether a place is the planted one; a place in the system prompt is exact to its length."""
    rest = {name: value for name, value in wanted.items() if name != "offset"}
    if any(place.get(name) != value for name, value in rest.items()):
        return False
    return "offset" not in wanted or place["offset"] <= wanted["offset"] < place["offset"] + place["length"]


def test_the_sums_are_those_of_the_calls(answers: tuple[list[Labelled], list[dict[str, Any]], Any]) -> None:
    _, calls, sums = answers
    assert sum(one["calls"] for one in sums) == len(calls)
    assert sum(one["lost_tokens"] for one in sums) == sum(one["lost_tokens"] for one in calls)
    assert {one["cause"] for one in sums} == set(CAUSES)
    assert {one["worst_id"] for one in sums} <= {one["id"] for one in calls}


LEFT = {
    "prompt_tokens": 6000, "cached_input_tokens": 0, "prefix_tokens": 6000, "prompt_estimate": 6000,
    "cache_left_state": "exact", "cache_left_tokens": 5000, "cache_left_seconds": 9000, "priced_model": "m",
    "request_model": "m", "organization_id": "alpha",
}  # fmt: skip
"""Of a row that left something in the cache, and that a row may be compared with."""
NOW = dt.datetime.now(dt.UTC)


def after(seconds: float) -> dict[str, object]:
    return {"created_at": NOW + dt.timedelta(seconds=seconds)}


def compared(store: Store, *rows: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Return of each call that missed the one that it was compared with, and the cause."""
    add_traces(store, [{**LEFT, **row} for row in rows])
    listed = cast("list[CacheMiss]", StoreAnswers(store).answer("alpha", ListCacheMisses(limit=10)))
    return {one.id: (one.parent_id, one.cause) for one in listed}


def test_one_call_can_be_before_the_call_that_continues_it_and_before_one_with_the_same_beginning(
    store: Store,
) -> None:
    found = compared(
        store,
        {"id": "before", "turn_hash": 10, "prefix_hash": 7, "cached_input_tokens": 4000, **after(0)},
        {"id": "next", "turn_hash": 11, "parent_turn_hash": 10, "prefix_hash": 8, "cache_gap": 5000, "tools_hash": 1, **after(20)},
        {"id": "other", "turn_hash": 12, "prefix_hash": 7, "cache_gap": 5000, **after(30)},
    )  # fmt: skip

    assert found == {"next": ("before", "tools_changed"), "other": ("before", "unknown")}


def test_a_first_call_is_compared_with_the_last_one_that_left_its_beginning(store: Store) -> None:
    beginning = {"prefix_hash": 7, "cached_input_tokens": 4000}
    found = compared(
        store,
        {"id": "earlier", "turn_hash": 10, **beginning, **after(0)},
        {"id": "last", "turn_hash": 11, **beginning, **after(10)},
        {"id": "too short", "turn_hash": 12, **beginning, "cache_left_state": "short", **after(20)},
        {"id": "failed", "turn_hash": 13, **beginning, "is_error": 1, **after(21)},
        {"id": "nothing left", "turn_hash": 14, **beginning, "cache_left_state": "", **after(22)},
        {"id": "first", "turn_hash": 15, "prefix_hash": 7, "cache_gap": 5000, **after(30)},
        {"id": "later", "turn_hash": 16, **beginning, **after(40)},
    )

    assert found == {"first": ("last", "unknown")}


def test_a_first_call_has_missed_what_another_has_written_where_both_have_a_mark(store: Store) -> None:
    wrote = {"prefix_hash": 7, "cache_marks": [3, 9], "cache_write_tokens": 5000}
    found = compared(
        store,
        {"id": "wrote", "turn_hash": 10, **wrote, **after(0)},
        {"id": "missed", "turn_hash": 11, **wrote, "cache_marks": [3, 12], "cache_gap": 5000, "cache_left_state": "", **after(20)},
        {"id": "elsewhere", "turn_hash": 12, **wrote, "cache_marks": [2], "cache_gap": 5000, "cache_left_state": "", **after(30)},
        {"id": "unmarked", "turn_hash": 13, **wrote, "cache_marks": [], "cache_gap": 5000, "cache_left_state": "", **after(40)},
    )  # fmt: skip

    assert found == {"missed": ("wrote", "unknown")}


def test_a_call_that_is_continued_is_found_whatever_its_clock_says(store: Store) -> None:
    found = compared(
        store,
        {"id": "before", "turn_hash": 10, **after(60)},
        {"id": "next", "turn_hash": 11, "parent_turn_hash": 10, "cache_gap": 5000, "system_hash": 1, **after(0)},
    )  # fmt: skip

    assert found == {"next": ("before", "system_changed")}


def test_of_calls_with_the_same_turn_the_last_one_before_is_meant(store: Store) -> None:
    found = compared(
        store,
        {"id": "hours ago", "turn_hash": 10, **after(-30_000)},
        {"id": "before", "turn_hash": 10, **after(0)},
        {"id": "next", "turn_hash": 11, "parent_turn_hash": 10, "cache_gap": 5000, "system_hash": 1, **after(30)},
        {"id": "later", "turn_hash": 10, **after(600)},
    )  # fmt: skip

    assert found == {"next": ("before", "system_changed")}


def test_a_call_of_a_kept_conversation_is_compared_with_the_last_one_in_all_that_both_show(
    store: Store,
) -> None:
    kept = {"prefix_hash": -7, "cache_gap": 5000}
    found = compared(
        store,
        {"id": "first", "turn_hash": 10, **kept, "cache_gap": 0, **after(0)},
        {"id": "second", "turn_hash": 11, **kept, "cache_gap": 0, **after(10)},
        {"id": "third", "turn_hash": 12, **kept, "tools_hash": 1, **after(20)},
        {"id": "fourth", "turn_hash": 13, **kept, "tools_hash": 1, **after(40_000)},
    )

    assert found == {"third": ("second", "tools_changed"), "fourth": ("third", "expired")}


def test_where_the_providers_steps_are_not_known_a_small_loss_counts_if_something_has_changed(
    store: Store,
) -> None:
    about = {"cache_left_state": "about", "cached_input_tokens": 4600, "cache_gap": 400}
    found = compared(
        store,
        {"id": "before", "turn_hash": 10, **about, **after(0)},
        {"id": "changed", "turn_hash": 11, "parent_turn_hash": 10, "system_hash": 1, **about, **after(20)},
        {"id": "same", "turn_hash": 12, "parent_turn_hash": 10, **about, **after(30)},
    )

    assert found == {"changed": ("before", "system_changed")}


def test_sums_of_all_organizations_are_by_names_and_of_one_are_its_own(store: Store) -> None:
    rows = [
        {"id": f"{who}{number}", "organization_id": who, "agent_id": "a", "turn_hash": number, **more}
        for who, turns in (("alpha", (10, 11)), ("beta", (20, 21)))
        for number, more in zip(
            turns,
            (after(0), {"parent_turn_hash": turns[0], "cache_gap": 5000, "tools_hash": 1, **after(20)}),
            strict=True,
        )
    ]
    add_traces(store, [{**LEFT, **row} for row in rows])
    answers = StoreAnswers(store)

    def summed(organization: str | None) -> list[tuple[str, str, int, int]]:
        groups = cast("list[CacheMisses]", answers.answer(organization, GetCacheMisses(limit=10)))
        return [(one.agent_id, one.cause, one.calls, one.lost_tokens) for one in groups]

    assert summed(None) == [("a", "tools_changed", 2, 10_000)]
    assert summed("beta") == [("a", "tools_changed", 1, 5000)]


def test_a_call_shows_nothing_of_another_organization_s_whose_hashes_are_the_same(store: Store) -> None:
    """Hashes are an organization's own, and these two never have the same; the index alone would not part them."""
    shared = {
        "created_at": dt.datetime.now(dt.UTC), "prompt_tokens": 6000, "cached_input_tokens": 0, "history_hash": 1,
        "parent_history_hash": 1, "prefix_tokens": 6000, "cache_left_state": "exact", "cache_left_tokens": 5000,
        "cache_left_seconds": 9000, "batch_id": uuid.UUID(int=1),
    }  # fmt: skip
    theirs = {
        "id": "theirs",
        "organization_id": "beta",
        "priced_model": "betas",
        "request_model": "betas",
        "turn_hash": 10,
    }
    own = {
        "id": "own",
        "organization_id": "alpha",
        "priced_model": "m",
        "request_model": "m",
        "parent_turn_hash": 10,
    }
    gaps = {"turn_hash": 11, "cache_gap": 5000}
    others = {"id": "others", "organization_id": "beta", "parent_turn_hash": 10}
    rows = [{**theirs}, {**own, **gaps}, {**others, **gaps}]
    add_traces(store, [{**shared, **row, "batch_row": number} for number, row in enumerate(rows)])
    answers = StoreAnswers(store)

    listed = cast("list[CacheMiss]", answers.answer("alpha", ListCacheMisses(limit=10)))
    one = cast("list[CacheMiss]", answers.answer("alpha", ListCacheMisses(limit=10, id="own")))
    sums = cast("list[CacheMisses]", answers.answer("alpha", GetCacheMisses(limit=10)))

    assert (
        [call.id for call in listed]
        == [call.id for call in one]
        == [group.worst_id for group in sums]
        == ["own"]
    )
    assert [group.calls for group in sums] == [1]
    shown = msgspec.json.encode([listed, one, sums])
    assert b"beta" not in shown
    assert b"theirs" not in shown
