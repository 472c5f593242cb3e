"""Answers of the reader, empty but for what a test names."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from llmledgerd.query.results import Call, Run, RunStep, Usage

NOON = datetime(2025, 3, 31, 12, tzinfo=UTC)


def usage(**own: object) -> Usage:
    """Return sums of nothing but what is named."""
    values: dict[str, object] = dict.fromkeys(Usage.__struct_fields__, 0)
    values |= {
        name: None for name in values if name.startswith(("latency", "first_token", "output_tokens_per"))
    }
    return Usage(**{**values, "group": {}, "cost_usd": Decimal(0), **own})  # type: ignore[arg-type]  # each test names its own


def call(**own: object) -> Call:
    """Return a call of which nothing is known but what is named."""
    values: dict[str, object] = {}
    for name in Call.__struct_encode_fields__:
        values[name] = ""
    counts = ("attempt", "bytes", "tokens", "latency_ms", "status_code", "batch_row")
    values |= {name: 0 for name in values if name.endswith(counts)}
    values |= {name: False for name in values if name.startswith("is_")}
    optional = (
        "cached_input_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "cost_usd",
        "sent_cost_usd",
        "payloads",
    )
    values |= dict.fromkeys((*optional, "time_to_first_token_ms"))
    fixed = {
        "agent_tags": [],
        "usage_units": {},
        "cost_parts": {},
        "created_at": NOON,
        "ingested_at": NOON,
        "batch_id": UUID(int=1),
        "outcome": "ok",
    }
    return Call(**{**values, **fixed, **own})  # type: ignore[arg-type]  # as above


def run(**own: object) -> Run:
    """Return a run of which nothing is known but what is named."""
    values: dict[str, object] = dict.fromkeys(Run.__struct_fields__, 0)
    lists: dict[str, object] = {name: [] for name in ("agents", "users", "services", "models")}
    fixed = {
        "id": "r",
        "organization_id": "",
        "is_named": True,
        "cost_usd": None,
        "first_at": NOON,
        "last_at": NOON,
    }
    return Run(**{**values, **lists, **fixed, **own})  # type: ignore[arg-type]  # as above


def run_step(**own: object) -> RunStep:
    """Return a step of which nothing is known but what is named."""
    known = call()
    values: dict[str, object] = {name: getattr(known, name, "") for name in RunStep.__struct_fields__}
    fixed: dict[str, object] = {"number": 1, "parent": None, "kind": "root", "level": 0, "new_bytes": 0}
    return RunStep(**{**values, **fixed, **own})  # type: ignore[arg-type]  # as above
