"""Figures add up, and say what they could not count."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmledgerd.ui import charts, figures
from llmledgerd.ui.figures import Line, token_kinds
from tests.helpers.answers import NOON, usage

HOURS = [NOON + timedelta(hours=n) for n in range(3)]
counts = st.integers(0, 10**12)


@given(counts, counts, counts, counts, counts)
def test_kinds_of_tokens_add_up_to_all_of_them(
    fresh: int, read: int, written: int, out: int, thought: int
) -> None:
    summed = usage(
        prompt_tokens=fresh + read + written,
        completion_tokens=out + thought,
        cached_input_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=thought,
    )

    assert token_kinds(summed) == (fresh, read, written, out, thought)


def test_a_part_that_is_more_than_its_whole_leaves_nothing_and_no_less() -> None:
    assert token_kinds(usage(prompt_tokens=5, cached_input_tokens=9)) == (0, 9, 0, 0, 0)


def test_what_is_not_known_at_all_is_a_dash_and_not_free() -> None:
    unknown = {tile.name: tile for tile in figures.tiles(usage(requests=3, unknown_usage=3, unknown_cost=3))}
    known = {tile.name: tile for tile in figures.tiles(usage(requests=3))}

    assert [unknown[name].value for name in ("spend", "input", "output", "cache", "latency")] == ["-"] * 5
    assert "3 calls" in unknown["spend"].note
    assert (known["spend"].value, known["input"].value) == ("$0", "0")


def test_hours_without_calls_are_drawn_too() -> None:
    hour = usage(
        group={"hour": "2025-03-31 13:00"},
        errors=3,
        cancelled=1,
        latency_p50_ms=7.0,
        output_tokens_per_second_p95=81.5,
    )
    lines = figures.over_time([hour], HOURS, "hour")

    assert lines["errors"] == [Line("Failed", [0, 2, 0]), Line("Cancelled", [0, 1, 0])]
    assert lines["latency"][0] == Line("p50", [None, 7.0, None])
    assert lines["speed"][1] == Line("p95", [None, 81.5, None])
    assert lines["first_token"][0] == Line("p50", [None, None, None])
    assert lines["cache"] == [Line("From cache", [None, None, None])]


def test_what_is_in_no_part_is_drawn_as_others() -> None:
    whole = [usage(group={"hour": "2025-03-31 12:00"}, requests=10, cost_usd=Decimal(5))]
    part = [usage(group={"hour": "2025-03-31 12:00"}, requests=4, cost_usd=Decimal(2))]
    lines = figures.split_over_time(whole, {"m1": part}, HOURS, "hour")

    assert lines["calls"] == [Line("m1", [4, 0, 0]), Line("Others", [6, 0, 0])]
    assert lines["spend"][1] == Line("Others", [3.0, 0, 0])
    assert figures.split_over_time(whole, {}, HOURS, "hour")["calls"] == [Line("All", [10, 0, 0])]


def test_colors_are_the_stylesheet_s() -> None:
    lines = [Line(f"m{n}", [1, 2, 3]) for n in range(8)]

    def colors(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [value for name, value in part.items() if "olor" in name and isinstance(value, str)]
            return own + [found for value in part.values() for found in colors(value)]
        return [found for value in part for found in colors(value)] if isinstance(part, list) else []

    for name in charts.TITLES:
        found = colors(charts.options(name, lines[:2], HOURS, "hour"))
        assert found
        assert all(color.startswith("var(--") for color in found)
    assert charts.legend("spend", lines)[6:] == [("m6", "var(--c-rest)"), ("m7", "var(--c-rest)")]
