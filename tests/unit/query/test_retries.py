"""Attempts of one call are found by what was sent and when; equal calls beside each other are calls of their own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from llmledgerd.query.retries import WINDOW_US, Attempt, calls_of, retried_call, summed

SECOND = 1_000_000


def attempt(name: str, start: float, end: float, outcome: str = "ok", **own: Any) -> Attempt:
    """Return an attempt that started and ended at these seconds."""
    values: dict[str, Any] = {
        "organization_id": "org",
        "request_hash": 1,
        "start_us": int(start * SECOND),
        "end_us": int(end * SECOND),
        "is_error": int(outcome != "ok"),
        "outcome": outcome,
        "attempt": 0,
        "provider": "openai",
        "model": "gpt-4o",
        "error_type": "" if outcome == "ok" else "rate_limit",
        "cost_usd": None if outcome == "error" else Decimal("0.5"),
        "id": name,
    }
    return Attempt(**values | own)


def calls(*attempts: Attempt) -> list[str]:
    ordered = sorted(attempts, key=lambda one: (one.organization_id, one.request_hash, one.start_us))
    return ["".join(one.id for one in call) for call in calls_of(ordered)]


def test_what_follows_a_failure_is_another_attempt_until_one_succeeds() -> None:
    assert calls(
        attempt("a", 0, 1, "error"), attempt("b", 2, 3, "error"), attempt("c", 5, 6), attempt("d", 7, 8)
    ) == ["abc"]


def test_equal_calls_that_succeed_are_calls_of_their_own() -> None:
    assert calls(attempt("a", 0, 1), attempt("b", 0, 1), attempt("c", 2, 3)) == []


def test_of_equal_calls_beside_each_other_only_the_failed_one_is_tried_again() -> None:
    assert calls(
        attempt("a", 0, 5), attempt("b", 0, 1, "error"), attempt("c", 0.001, 5), attempt("d", 2, 3)
    ) == ["bd"]


def test_each_of_two_failures_has_an_attempt_of_its_own() -> None:
    found = calls(
        attempt("a", 0, 1, "error"),
        attempt("b", 0.01, 1.1, "error"),
        attempt("c", 2, 3),
        attempt("d", 2.1, 3),
    )
    assert found == ["ac", "bd"]


def test_a_failure_is_followed_within_a_bounded_time() -> None:
    window = WINDOW_US / SECOND
    assert calls(attempt("a", 0, 1, "error"), attempt("b", 1 + window, 700)) == ["ab"]
    assert calls(attempt("a", 0, 1, "error"), attempt("b", 1.001 + window, 700)) == []


def test_other_bytes_and_other_organizations_are_other_calls() -> None:
    assert calls(attempt("a", 0, 1, "error"), attempt("b", 2, 3, request_hash=2)) == []
    assert calls(attempt("a", 0, 1, "error"), attempt("b", 2, 3, organization_id="other")) == []


def test_an_attempt_that_is_sent_before_the_first_is_cancelled_belongs_to_it() -> None:
    assert calls(attempt("a", 0, 9, "cancelled"), attempt("b", 5, 8.9)) == ["ab"]
    assert calls(attempt("a", 0, 9, "cancelled"), attempt("b", 0.1, 9, "cancelled")) == [], (
        "the caller stopped both"
    )


def test_an_sdk_s_number_of_the_attempt_tells_that_it_overlaps() -> None:
    first = attempt("a", 0, 9, "error", attempt=1)
    assert calls(first, attempt("b", 5, 12, attempt=2)) == ["ab"]
    assert calls(first, attempt("b", 5, 12, attempt=1)) == []


def test_what_attempts_cost_is_the_money_and_the_time_of_the_failed_ones() -> None:
    first = [attempt("a", 0, 1, "cancelled"), attempt("b", 2, 3, "error"), attempt("c", 5, 6)]
    second = [attempt("d", 0, 1, "error"), attempt("e", 2, 3, "error")]
    recovered, given_up = retried_call(first), retried_call(second)

    assert (recovered.id, recovered.attempts, recovered.is_error) == ("c", ["a", "b", "c"], False)
    assert (recovered.failed_cost_usd, recovered.unknown_cost) == (Decimal("0.5"), 1)
    assert (recovered.waited_ms, given_up.waited_ms) == (5000, 3000)
    (model,) = summed([first, second])
    assert (model.calls, model.attempts, model.failed_attempts) == (2, 5, 4)
    assert (model.recovered, model.given_up, model.unknown_cost) == (1, 1, 3)
    assert (model.waited_ms, model.waited_p50_ms, model.waited_p95_ms) == (8000, 3000, 5000)
