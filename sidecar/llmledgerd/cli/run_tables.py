"""Tables of runs and their steps for a terminal or a pipe. Pure.

Invariant: what is unknown is shown as ``-``, never as 0; a sum of costs stands beside the number of calls
that are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from llmledgerd.cli.fitting import Column, compact
from llmledgerd.cli.tables import ERROR, counts, ids, money, texts, times
from llmledgerd.cli.text_cells import cell
from llmledgerd.query import run_tree
from llmledgerd.query.results import Run, RunStep, RunSteps

INDENTED: Final = 8
"""Levels that are indented; deeper ones stand at the last."""

MARKS: Final = {"fork": "fork ", "sub_agent": "sub "}


def runs_columns(runs: Sequence[Run]) -> list[Column]:
    """Return the columns of a list of runs."""
    known = [run.unknown_usage < run.steps for run in runs]
    pairs = list(zip(runs, known, strict=True))
    return [
        times("LAST", [run.last_at for run in runs], 4),
        ids("RUN", [run.id for run in runs]),
        texts("ORG", [run.organization_id for run in runs], 9, 5),
        texts("AGENT", [", ".join(run.agents) for run in runs], 5, 8),
        texts("MODEL", [", ".join(run.models) for run in runs], 6, 9),
        counts("STEPS", [run.steps for run in runs], 0),
        counts("DEPTH", [run.depth for run in runs], 10),
        counts("FORKS", [run.forks for run in runs], 10),
        counts("SUB-AGENTS", [run.sub_agents for run in runs], 10),
        counts("IN", [run.prompt_tokens if is_known else None for run, is_known in pairs], 7),
        counts("CACHED", [run.cached_input_tokens if is_known else None for run, is_known in pairs], 11),
        counts("OUT", [run.completion_tokens if is_known else None for run, is_known in pairs], 7),
        money("COST $", [run.cost_usd for run in runs], 0),
        counts("NO COST", [run.unknown_cost for run in runs], 2),
        counts("ERRORS", [run.errors for run in runs], 3),
        seconds("SECONDS", [run.wall_ms for run in runs], 1),
        seconds("IN MODELS", [run.model_ms for run in runs], 8),
        seconds("BETWEEN", [run.between_ms for run in runs], 8),
    ]


def figures(run: Run) -> Table:
    """Return the figures of one run, one per line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _facts(run):
        if value:
            table.add_row(name, Text(cell(value)))
    return table


def _facts(run: Run) -> list[tuple[str, str]]:
    shape = [
        (run.depth, "deep"),
        (run.forks, "forks"),
        (run.sub_agents, "sub-agents"),
        (run.errors, "errors"),
    ]
    tokens = (
        f"{run.prompt_tokens:,} in ({run.cached_input_tokens:,} cached), {run.completion_tokens:,} out"
        if run.unknown_usage < run.steps
        else "unknown"
    )
    cost = "unknown" if run.cost_usd is None else f"${run.cost_usd}"
    return [
        ("run", f"{run.id}{'' if run.is_named else ' (conversation)'}"),
        ("organization", run.organization_id),
        ("agents", ", ".join(run.agents)),
        ("users", ", ".join(run.users)),
        ("models", ", ".join(run.models)),
        ("started", run.first_at.isoformat()),
        ("steps", ", ".join([f"{run.steps:,}", *(f"{n:,} {what}" for n, what in shape if n is not None)])),
        ("tokens", f"{tokens}{_not_in_it(run.unknown_usage)}"),
        ("cost", f"{cost}{_not_in_it(run.unknown_cost)}"),
        (
            "time",
            f"{run.wall_ms / 1000:,.1f} s: {run.model_ms / 1000:,.1f} s in models,"
            f" {run.between_ms / 1000:,.1f} s between",
        ),
        ("requests", f"{run.request_bytes:,} bytes sent, {run.response_bytes:,} received"),
    ]


def _not_in_it(calls: int) -> str:
    return f"; unknown in {calls:,} calls" if calls else ""


def steps_columns(found: RunSteps) -> list[Column]:
    """Return the columns of a run's steps, in the tree's order."""
    steps = _in_order(found.steps)
    known = [step.usage_source != "unknown" for step in steps]
    pairs = list(zip(steps, known, strict=True))
    began = found.run.first_at
    return [
        Column(name="STEP", cells=[_mark(step) for step in steps]),
        seconds("AFTER S", [(step.created_at - began).total_seconds() * 1000 for step in steps], 6),
        ids("CALL", [step.id for step in steps], 4),
        texts("AGENT", [step.agent_id for step in steps], 9, 8),
        texts("MODEL", [step.model for step in steps], 3, 9),
        counts("NEW BYTES", [step.new_bytes for step in steps], 2),
        counts("IN", [step.prompt_tokens if is_known else None for step, is_known in pairs], 5),
        counts("CACHED", [step.cached_input_tokens if is_known else None for step, is_known in pairs], 8),
        counts("OUT", [step.completion_tokens if is_known else None for step, is_known in pairs], 5),
        money("COST $", [step.cost_usd for step in steps], 0),
        seconds("SECONDS", [step.latency_ms or None for step in steps], 1),
        texts(
            "OUTCOME",
            [step.error_type or step.outcome if step.is_error else step.outcome for step in steps],
            1,
            7,
            ERROR,
        ),
    ]


def step_styles(found: RunSteps) -> list[str]:
    """Return the style of each row: failed calls stand out."""
    return [ERROR if step.is_error else "" for step in _in_order(found.steps)]


def seconds(name: str, values: Sequence[float | None], rank: int) -> Column:
    """Return a column of durations, given in milliseconds."""
    return Column(
        name=name,
        cells=["-" if value is None else f"{value / 1000:,.1f}" for value in values],
        short=["-" if value is None else compact(round(value / 1000)) for value in values],
        shortened=3,
        rank=rank,
        is_right=True,
    )


def _in_order(steps: Sequence[RunStep]) -> list[RunStep]:
    """Return steps in the tree's order; one whose parent is not among them stands by itself."""
    at = {step.number: place for place, step in enumerate(steps)}
    parents = [None if step.parent is None else at.get(step.parent) for step in steps]
    return [steps[place] for place in run_tree.outline(parents, [step.kind for step in steps])]


def _mark(step: RunStep) -> str:
    return f"{'  ' * min(step.level, INDENTED)}{MARKS.get(step.kind, '')}{step.number}"
