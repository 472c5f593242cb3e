"""Rows of a run's timeline are ready to be shown, and figures of a run say what is not in them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from llmledgerd.query.results import RunSteps
from llmledgerd.ui import timeline
from tests.helpers.answers import NOON, call, run, run_step


def test_a_row_has_its_place_in_time_and_what_it_is_a_fork_of() -> None:
    steps = [
        run_step(number=1, latency_ms=1500, cost_usd=Decimal("0.5"), usage_source="reported", prompt_tokens=12),
        run_step(number=2, parent=1, kind="fork", level=1, created_at=NOON + timedelta(seconds=2), new_bytes=2_000,
                 is_error=True, error_type="overloaded", usage_source="unknown", id="a&b"),
    ]  # fmt: skip
    found = timeline.rows(RunSteps(run(steps=2, wall_ms=2000), steps))

    assert (found.count, found.wall_ms) == (2, 2000)
    first, second = found.rows
    assert (first.after_ms, first.took_ms, first.latency, first.cost, first.input) == (
        0,
        1500,
        "1.50 s",
        "$0.500000",
        "12",
    )
    assert (second.after_ms, second.note, second.level, second.new) == (2000, "fork of 1", 1, "2.00 kB")
    assert (second.outcome, second.input, second.cost, second.address) == (
        "overloaded",
        "-",
        "-",
        "./call?id=a%26b",
    )


def test_figures_of_a_run_name_the_calls_that_they_lack() -> None:
    tiles = {
        tile.name: (tile.value, tile.note)
        for tile in timeline.tiles(
            run(steps=3, depth=3, forks=1, cost_usd=Decimal(2), unknown_cost=1, unknown_usage=3)
        )
    }

    assert tiles["steps"] == ("3", "3 deep, 1 forks")
    assert tiles["cost"] == ("$2.00", "unknown in 1 calls")
    assert (tiles["input"], tiles["output"]) == (("-", ""), ("-", "unknown in 3 calls"))
    assert {tile.value for tile in timeline.tiles(run(steps=1)) if tile.name == "cost"} == {"-"}


def test_a_call_belongs_to_the_run_that_it_names_or_else_to_its_conversation() -> None:
    assert timeline.key(call(run_id="r", conversation_id="c")) == "r"
    assert timeline.key(call(conversation_id="c")) == "c"
    assert timeline.key(call()) == ""


def test_an_address_of_a_run_holds_any_id() -> None:
    assert timeline.address("a&b=c/d", None) == "/run?id=a%26b%3Dc%2Fd"
    assert timeline.address("r", "", NOON) == "/run?id=r&organization=&at=2025-03-31T12%3A00%3A00%2B00%3A00"
