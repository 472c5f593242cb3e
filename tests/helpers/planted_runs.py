"""Calls of agents' runs as rows, with their conversations and turns, and no record behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

SECOND_US = 1_000_000


def step(
    turn: str,
    parent: str = "",
    *,
    at_us: int,
    run: str = "",
    conversation: str = "",
    took_ms: int = 500,
    **own: object,
) -> dict[str, object]:
    """Return one call: ``turn`` continues ``parent``."""
    return {
        "id": f"call-{turn}-{at_us}",
        "organization_id": "a",
        "run_id": run,
        "conversation_id": conversation,
        "turn_id": turn,
        "parent_turn_id": parent,
        "agent_id": "smith",
        "call_type": "agent_step",
        "provider": "openai",
        "model": "m1",
        "outcome": "ok",
        "usage_source": "reported",
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 12,
        "cost_usd": Decimal("0.01"),
        "latency_ms": took_ms,
        "request_size_bytes": 100,
        "created_at": at_us,
        "ingested_at": at_us + SECOND_US,
        **own,
    }


def loop(count: int, *, start_us: int, **own: object) -> Iterator[dict[str, object]]:
    """Yield the calls of an agent that takes so many steps, one each second, and sends its history with each."""
    turn = str(own.get("conversation") or own.get("run"))
    shared: Mapping[str, object] = {"request_size_bytes": 0, **own}
    for number in range(count):
        size = {"request_size_bytes": shared["request_size_bytes"] or 1000 + 200 * number}
        parent = f"{turn}-{number - 1}" if number else ""
        yield step(f"{turn}-{number}", parent, at_us=start_us + number * SECOND_US, **{**own, **size})  # type: ignore[arg-type]  # each caller's own columns
