"""What a terminal of 50, 80, 120 and 200 columns shows of calls and sums."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from rich.console import Console

from llmledgerd.cli import tables
from llmledgerd.cli.calls import in_time_order
from llmledgerd.cli.fitting import Column
from llmledgerd.query.results import Call, Usage
from llmledgerd.query.tool_results import Retries

WIDTHS = (50, 80, 120, 200)
MODELS = (
    "claude-sonnet-4-5-20250929",
    "gpt-4o-mini-2024-07-18",
    "accounts/fireworks/models/llama-v3p1-405b-instruct",
)


def call(number: int) -> Call:
    return Call(
        id=str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128)), organization_id="acme-corporation", project_id="p",
        agent_id="researcher-with-a-long-name", agent_tags=[], run_id="", step_id="", trace_id="", user_id="",
        conversation_id="", turn_id="", parent_turn_id="",
        service="", call_type="agent_step", provider="anthropic", model=MODELS[number % 3], is_byok=False, attempt=1,
        request_size_bytes=1, response_size_bytes=1, prompt_tokens=12_345_678, completion_tokens=1_234,
        total_tokens=12_346_912, cached_input_tokens=None, cache_write_tokens=None, reasoning_tokens=None,
        usage_source="reported", usage_units={}, cost_usd=Decimal("51.123456"), cost_reason="", cost_parts={},
        priced_model="", price_list="", sent_cost_usd=None, latency_ms=123_456, time_to_first_token_ms=None,
        status_code=200, outcome="ok", finish_reason="stop", is_stream=False, is_error=number == 2,
        error_type="rate_limit_error" if number == 2 else "", error_message="", billing_plan_type="",
        billing_customer_id="", created_at=datetime(2026, 11, 21, 8, number, tzinfo=UTC), batch_id=UUID(int=1),
        batch_row=number, ingested_at=datetime(2026, 11, 21, 8, number, tzinfo=UTC),
    )  # fmt: skip


def usage(group: dict[str, str], cost: str = "1234567.891234") -> Usage:
    return Usage(
        group=group, requests=12_345_678, prompt_tokens=9_876_543_210, completion_tokens=87_654_321,
        total_tokens=9_964_197_531, cached_input_tokens=1_234_567_890, cache_write_tokens=0, reasoning_tokens=7_654_321,
        cost_usd=Decimal(cost), request_bytes=1, response_bytes=1, errors=123_456, cancelled=0, unknown_usage=1_234,
        partial_usage=0, unknown_cost=12_345, latency_avg_ms=1.0, latency_p50_ms=1_234.0, latency_p95_ms=12_345.0,
        latency_p99_ms=1.0, first_token_p50_ms=321.0, first_token_p95_ms=1_234.0, first_token_p99_ms=1.0,
        output_tokens_per_second_p50=87.6, output_tokens_per_second_p95=1_234.5, output_tokens_per_second_p99=1.0,
    )  # fmt: skip


def shown(columns: list[Column], width: int) -> list[str]:
    into = io.StringIO()
    tables.show(Console(file=into, width=width, force_terminal=True, color_system=None), columns)
    return into.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_call_is_one_line_with_an_id_that_tells_it_apart(width: int) -> None:
    calls = [call(number) for number in range(1, 6)]
    header, *lines = shown(tables.calls_columns(calls), width)
    assert len(lines) == len(calls)
    assert all(len(line) <= width for line in lines)
    assert {"TIME", "ID", "MODEL", "OUTCOME"} <= set(header.split())
    ids = [
        next(word for word in line.split() if calls[row].id.startswith(word) and len(word) >= 8)
        for row, line in enumerate(lines)
    ]
    assert len(set(ids)) == len(calls)
    assert all(any(money in line for money in ("51.12 ", "51.123456")) for line in lines)
    assert not any("51…" in line or "12,3…" in line for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("by", [("model",), ("organization", "model"), ("day",)])
def test_a_sum_keeps_its_groups_its_calls_and_its_money(width: int, by: tuple[str, ...]) -> None:
    groups = [{"model": model, "organization": f"org-{model[:3]}", "day": "2026-11-21"} for model in MODELS]
    found = [usage({name: group[name] for name in by}) for group in groups]
    header, *lines = shown(tables.usage_columns(found, by), width)
    text = "".join("".join(line.split()) for line in lines)
    assert all(len(line) <= width for line in [header, *lines])
    assert all(name.upper() in header for name in by)
    assert "CALLS" in header
    assert "COST $" in header
    assert any(form in text for form in ("12.3M", "12,345,678"))
    assert any(form in text for form in ("1.2M", "1,234,567.891234"))
    assert "…" not in text
    assert width < 200 or "P95 MS" in header


def test_a_group_that_is_too_long_is_folded_and_whole() -> None:
    model = MODELS[2]
    _, *lines = shown(tables.usage_columns([usage({"model": model})], ["model"]), 50)
    assert "".join(line.split()[0] for line in lines) == model


def test_sums_by_time_are_in_the_order_of_time() -> None:
    days = [
        usage({"day": day, "model": "m"}, cost)
        for day, cost in (("2026-11-03", "9"), ("2026-11-01", "5"), ("2026-11-02", "7"))
    ]
    assert [one.group["day"] for one in in_time_order(days, ["model", "day"])] == [
        "2026-11-01",
        "2026-11-02",
        "2026-11-03",
    ]
    models = [usage({"model": name}) for name in "ba"]
    assert in_time_order(models, ["model"]) == models, "the most expensive is first where there is no time"


@pytest.mark.parametrize(
    ("cost", "unknown", "cell"), [("0", 2, "-"), ("0.5", 1, "0.500000"), ("0", 0, "0.000000")]
)
def test_failed_attempts_of_which_no_cost_is_known_cost_nothing_known(
    cost: str, unknown: int, cell: str
) -> None:
    found = Retries(
        provider="openai", model="gpt-4o", calls=2, attempts=4, failed_attempts=2, recovered=2, given_up=0,
        failed_cost_usd=Decimal(cost), unknown_cost=unknown, waited_ms=1.0, waited_p50_ms=1.0, waited_p95_ms=1.0,
    )  # fmt: skip
    assert next(one.cells for one in tables.retries_columns([found]) if one.name == "COST $") == [cell]
