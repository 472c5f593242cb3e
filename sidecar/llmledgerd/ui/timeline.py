"""Runs on the page: figures of one, and the rows of its timeline. Pure.

Invariant: a row has everything that the browser shows of a step as text, so that no script formats a
number, and nothing of a payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import msgspec

from llmledgerd.query.results import Call, Run, RunStep, RunSteps
from llmledgerd.ui import details, formatting
from llmledgerd.ui.figures import Tile

ROWS: Final = 500
"""Limit of rows per response; the script asks for the rows in sight."""

LEVELS: Final = 6
"""Levels of forks and sub-agents that are indented; deeper ones stand at the last."""

KINDS: Final = {"fork": "fork of", "sub_agent": "sub-agent of"}


class Row(msgspec.Struct, frozen=True):
    """One step as it is shown."""

    number: int
    id: str
    address: str
    level: int
    note: str
    """What it is a fork or a sub-agent of; empty for a step that continues the one before."""
    after_ms: float
    """Milliseconds after the run's first call, for its place on the bar."""
    took_ms: int
    after: str
    model: str
    agent: str
    new: str
    input: str
    cached: str
    output: str
    cost: str
    latency: str
    outcome: str
    is_error: bool


class Rows(msgspec.Struct, frozen=True):
    """Some steps of a run, and how many it has by now."""

    count: int
    wall_ms: int
    rows: list[Row]


def key(call: Call) -> str:
    """Return the id of a call's run; empty if it is in none."""
    return call.run_id or call.conversation_id


def address(run: str, organization: str | None, at: datetime | None = None) -> str:
    """Return the URL of a run's page; ``at`` is the time of one of its calls."""
    given = {"id": run, "organization": organization, "at": None if at is None else at.isoformat()}
    return f"/run?{urlencode({name: value for name, value in given.items() if value is not None})}"


def rows(found: RunSteps) -> Rows:
    """Return the rows of some steps."""
    began = found.run.first_at
    return Rows(found.run.steps, found.run.wall_ms, [_row(step, began) for step in found.steps])


def _row(step: RunStep, began: datetime) -> Row:
    known = step.usage_source != "unknown"
    after = (step.created_at - began).total_seconds() * 1000
    kind = KINDS.get(step.kind)
    return Row(
        number=step.number,
        id=step.id,
        address=f".{details.address(step.id)}",
        level=min(step.level, LEVELS),
        note=f"{kind} {step.parent:,}" if kind and step.parent is not None else "",
        after_ms=after,
        took_ms=step.latency_ms,
        after=formatting.milliseconds(after),
        model=step.model,
        agent=step.agent_id,
        new=formatting.size(step.new_bytes),
        input=formatting.short(step.prompt_tokens if known else None),
        cached=formatting.short(step.cached_input_tokens),
        output=formatting.short(step.completion_tokens if known else None),
        cost=formatting.exact_usd(step.cost_usd),
        latency=formatting.milliseconds(step.latency_ms or None),
        outcome=(step.error_type or step.outcome) if step.is_error else step.outcome,
        is_error=step.is_error,
    )


def tiles(run: Run) -> list[Tile]:
    """Return the figures of a run."""
    known = run.unknown_usage < run.steps
    return [
        Tile("steps", "Steps", formatting.whole(run.steps), str(run.steps), _shape(run)),
        Tile(
            "cost",
            "Cost",
            formatting.usd(run.cost_usd),
            "" if run.cost_usd is None else str(run.cost_usd),
            _unknown(run.unknown_cost),
        ),
        Tile(
            "input",
            "Input tokens",
            formatting.short(run.prompt_tokens if known else None),
            str(run.prompt_tokens) if known else "",
            f"{formatting.short(run.cached_input_tokens)} cached" if known else "",
        ),
        Tile(
            "output",
            "Output tokens",
            formatting.short(run.completion_tokens if known else None),
            str(run.completion_tokens) if known else "",
            _unknown(run.unknown_usage),
        ),
        Tile(
            "wall",
            "Time",
            formatting.milliseconds(run.wall_ms),
            str(run.wall_ms),
            f"{formatting.milliseconds(run.model_ms)} in models, {formatting.milliseconds(run.between_ms)} between",
        ),
        Tile("errors", "Errors", formatting.whole(run.errors), str(run.errors)),
    ]


def _shape(run: Run) -> str:
    parts = ((run.depth, "deep"), (run.forks, "forks"), (run.sub_agents, "sub-agents"))
    return ", ".join(f"{count:,} {what}" for count, what in parts if count)


def _unknown(calls: int) -> str:
    return f"unknown in {calls:,} calls" if calls else ""


def waiting_share(run: Run) -> float:
    """Return the percentage of a run's time in which it waited for models."""
    return 100 * run.model_ms / run.wall_ms if run.wall_ms else 0.0


def names(values: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    if len(values) < 2:
        return values[0] if values else formatting.UNKNOWN
    return f"{values[0]} +{len(values) - 1}"
