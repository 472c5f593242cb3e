"""What the engine sums of attempts is what they add up to when each is judged alone."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from decimal import Decimal
from typing import Any

import pytest

from llmledgerd.query.requests import GetRetries, ListRetriedCalls
from llmledgerd.query.retries import Attempt, calls_of, retried_call, summed
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from tests.helpers.migrated_databases import Lend
from tests.helpers.store_rows import add_traces

REQUESTS = 300


def attempts(seed: int) -> list[dict[str, Any]]:
    """Return attempts of requests: most after one another, some that overlap, late, or equal in all."""
    chance = random.Random(seed)
    now = time.time_ns() // 1000 - 86_400_000_000
    rows: list[dict[str, Any]] = []
    for number in range(1, REQUESTS):
        at = now
        for attempt in range(chance.randint(1, 5)):
            took = chance.choice((0, 3, 700, 60_000))
            outcome = chance.choice(("ok", "error", "error", "cancelled"))
            rows.append(
                {
                    "organization_id": "org", "request_hash": number, "created_at": at, "latency_ms": took,
                    "outcome": outcome, "is_error": int(outcome != "ok"), "attempt": chance.choice((0, attempt + 1)),
                    "provider": "openai", "model": chance.choice(("a", "b")), "error_type": "",
                    "cost_usd": chance.choice((None, Decimal("0.000000125"))),
                }
            )  # fmt: skip
            pause = chance.choice((-20_000, -4_000, 0, 500_000, 599_999_000, 600_000_000, 600_001_000))
            at += max(0, took * 1000 + pause)
    return rows


def test_sums_of_attempts_are_those_of_the_attempts_one_by_one(lend: Lend) -> None:
    given = attempts(20_261_122)
    with (
        lend() as url,
        contextlib.closing(Store(url)) as store,
    ):
        add_traces(store, given)
        found = StoreAnswers(store).answer("org", GetRetries())
    judged = [_attempt(number, row) for number, row in enumerate(given)]
    failed = {one.request_hash for one in judged if one.is_error}
    judged = [one for one in judged if one.request_hash in failed]

    wanted = summed(calls_of(sorted(judged, key=lambda one: (one.request_hash, one.start_us, one.attempt))))

    assert found == wanted
    assert [one.calls for one in wanted if one.calls > REQUESTS / 10], wanted


def test_the_newest_retried_calls_are_those_of_all_whatever_the_limit(lend: Lend) -> None:
    given = [{**row, "id": str(number)} for number, row in enumerate(attempts(7))]
    with (
        lend() as url,
        contextlib.closing(Store(url)) as store,
    ):
        add_traces(store, given)
        answers = StoreAnswers(store)
        found = {limit: answers.answer("org", ListRetriedCalls(limit=limit)) for limit in (1, 3, 40, 1000)}
    judged = [_attempt(number, row) for number, row in enumerate(given)]
    ordered = sorted(judged, key=lambda one: (one.request_hash, one.start_us, one.attempt))
    failed = {one.request_hash for one in judged if one.is_error}
    calls = [retried_call(one) for one in calls_of(one for one in ordered if one.request_hash in failed)]
    newest = sorted(calls, key=lambda one: (one.started_at, one.id), reverse=True)

    assert len(newest) > 100
    assert found == {limit: newest[:limit] for limit in found}


def _attempt(number: int, row: dict[str, Any]) -> Attempt:
    start = row["created_at"]
    rest = (
        row["is_error"],
        row["outcome"],
        row["attempt"],
        row["provider"],
        row["model"],
        "",
        row["cost_usd"],
    )
    return Attempt("org", row["request_hash"], start, start + row["latency_ms"] * 1000, *rest, str(number))


@pytest.mark.parametrize("seed", [1, 2])
def test_made_attempts_have_some_that_overlap_and_some_that_do_not(seed: int) -> None:
    by_request: dict[int, list[dict[str, Any]]] = {}
    for row in attempts(seed):
        by_request.setdefault(row["request_hash"], []).append(row)
    apart = [
        all(
            a["created_at"] + a["latency_ms"] * 1000 - 5_000 <= b["created_at"]
            for a, b in itertools.pairwise(of)
        )
        for of in by_request.values()
        if len(of) > 1
    ]
    assert 20 < sum(apart) < len(apart) - 20
