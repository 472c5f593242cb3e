"""Figures of tiles and charts, from aggregates. Pure.

Invariants:
- The kinds of tokens add up to all known tokens; no part is counted twice.
- A figure notes the calls that it does not include.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from llmledgerd.query.results import Usage
from llmledgerd.ui import formatting, spans

TOKEN_KINDS: Final = ("Fresh input", "Cache read", "Cache write", "Output", "Reasoning")


class Tile(msgspec.Struct, frozen=True):
    """One figure. ``exact`` is the number with all its digits, as in SQL; empty: unknown."""

    name: str
    title: str
    value: str
    exact: str
    note: str = ""


class Line(msgspec.Struct, frozen=True):
    """One figure over time; None is a step with an unknown value."""

    name: str
    values: list[float | None]


def token_kinds(usage: Usage) -> tuple[int, int, int, int, int]:
    """Return the tokens of each of TOKEN_KINDS."""
    cached, written, reasoning = (
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )
    # A provider may report a part without the total.
    fresh = max(0, usage.prompt_tokens - cached - written)
    return fresh, cached, written, max(0, usage.completion_tokens - reasoning), reasoning


def cache_share(usage: Usage) -> float | None:
    """Return the percentage of input tokens read from a cache; None without input."""
    return 100 * usage.cached_input_tokens / usage.prompt_tokens if usage.prompt_tokens else None


def tiles(usage: Usage) -> list[Tile]:
    """Return the figures of a range."""
    counted, priced = usage.unknown_usage < usage.requests, usage.unknown_cost < usage.requests
    failed = usage.errors - usage.cancelled
    return [
        Tile(
            "spend",
            "Spend",
            formatting.usd(usage.cost_usd if priced else None),
            str(usage.cost_usd) if priced else "",
            _without(usage.unknown_cost, "of unknown cost"),
        ),
        Tile("calls", "Calls", formatting.whole(usage.requests), str(usage.requests)),
        Tile(
            "errors",
            "Errors",
            formatting.whole(usage.errors),
            str(usage.errors),
            f"{formatting.share(usage.errors, usage.requests)}: {failed:,} failed, {usage.cancelled:,} cancelled",
        ),
        _tokens("input", "Input tokens", usage.prompt_tokens, counted, _input_note(usage)),
        _tokens(
            "output",
            "Output tokens",
            usage.completion_tokens,
            counted,
            f"{formatting.short(usage.reasoning_tokens)} reasoning",
        ),
        Tile(
            "cache",
            "Cache hit ratio",
            formatting.share(usage.cached_input_tokens, usage.prompt_tokens),
            str(usage.cached_input_tokens),
            f"{formatting.short(usage.cached_input_tokens)} of input from cache",
        ),
        *_times(usage),
    ]


def _times(usage: Usage) -> list[Tile]:
    return [
        Tile(
            "latency",
            "Latency, median",
            formatting.milliseconds(usage.latency_p50_ms),
            _exact(usage.latency_p50_ms),
            f"p95 {formatting.milliseconds(usage.latency_p95_ms)}, p99 {formatting.milliseconds(usage.latency_p99_ms)}",
        ),
        Tile(
            "first_token",
            "First token, median",
            formatting.milliseconds(usage.first_token_p50_ms),
            _exact(usage.first_token_p50_ms),
            f"p95 {formatting.milliseconds(usage.first_token_p95_ms)};"
            f" {formatting.rate(usage.output_tokens_per_second_p50)} output tokens/s",
        ),
    ]


def over_time(usages: Sequence[Usage], steps: Sequence[datetime], step: str) -> dict[str, list[Line]]:
    """Return the lines of each chart except the split ones."""
    found = by_step(usages, steps, step)
    kinds = [token_kinds(usage) if usage else (0,) * len(TOKEN_KINDS) for usage in found]
    return {
        "tokens": [Line(name, [kind[n] for kind in kinds]) for n, name in enumerate(TOKEN_KINDS)],
        "errors": [
            Line("Failed", [usage.errors - usage.cancelled if usage else 0 for usage in found]),
            Line("Cancelled", [usage.cancelled if usage else 0 for usage in found]),
        ],
        "latency": _levels(found, "latency_p{}_ms"),
        "first_token": _levels(found, "first_token_p{}_ms"),
        "speed": _levels(found, "output_tokens_per_second_p{}"),
        "cache": [Line("From cache", [cache_share(usage) if usage else None for usage in found])],
    }


def _levels(usages: Sequence[Usage | None], field: str) -> list[Line]:
    """Return the lines of the percentiles that the fields of this name have."""
    return [
        Line(f"p{level}", [getattr(usage, field.format(level)) if usage else None for usage in usages])
        for level in (50, 95, 99)
    ]


def split_over_time(
    whole: Sequence[Usage], parts: Mapping[str, Sequence[Usage]], steps: Sequence[datetime], step: str
) -> dict[str, list[Line]]:
    """Return spend and calls over time: one line per part, and one for the remainder."""
    found = {name: by_step(usages, steps, step) for name, usages in parts.items()}
    total = by_step(whole, steps, step)
    spend = [Line(name, [_spend(usage) for usage in usages]) for name, usages in found.items()]
    calls = [Line(name, [_calls(usage) for usage in usages]) for name, usages in found.items()]
    rest = "Others" if parts else "All"
    return {
        "spend": [*spend, Line(rest, _rest([_spend(usage) for usage in total], spend))],
        "calls": [*calls, Line(rest, _rest([_calls(usage) for usage in total], calls))],
    }


def by_step(usages: Sequence[Usage], steps: Sequence[datetime], step: str) -> list[Usage | None]:
    """Return the aggregates of each step in order; None without calls."""
    known = {usage.group[step]: usage for usage in usages}
    return [known.get(spans.label(moment, step)) for moment in steps]


def _rest(whole: Sequence[float], parts: Sequence[Line]) -> list[float | None]:
    taken = [sum(line.values[at] or 0 for line in parts) for at in range(len(whole))]
    # Parts are queried one after the other, and calls may arrive in between.
    return [round(max(0.0, total - part), 9) for total, part in zip(whole, taken, strict=True)]


def _spend(usage: Usage | None) -> float:
    return float(usage.cost_usd if usage else Decimal(0))


def _calls(usage: Usage | None) -> float:
    return usage.requests if usage else 0


def _tokens(name: str, title: str, count: int, counted: bool, note: str) -> Tile:
    known = count if counted else None
    return Tile(name, title, formatting.short(known), str(count) if counted else "", note)


def _input_note(usage: Usage) -> str:
    return (
        _without(usage.unknown_usage, "of unknown usage") or f"{formatting.short(usage.total_tokens)} total"
    )


def _without(count: int, what: str) -> str:
    return f"excluding {count:,} calls {what}" if count else ""


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
