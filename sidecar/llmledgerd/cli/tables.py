"""Tables of answers for a terminal or a pipe.

Invariants: a terminal's width decides which columns are shown and in which form (``fitting``); a pipe gets
all of them in full, on one line per row; what is unknown is shown as ``-``, never as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmledgerd.cli.fitting import Column, compact, compact_money, fit, short_ids
from llmledgerd.cli.text_cells import cell, json_text
from llmledgerd.query.repricing import ModelChange
from llmledgerd.query.results import (
    Call,
    LargeCall,
    Loss,
    Unpriced,
    Usage,
)
from llmledgerd.query.results import Table as Rows
from llmledgerd.query.tool_results import RetriedCall, Retries, Tool, ToolCall

if TYPE_CHECKING:
    from llmledgerd.spool.dead_letters import DeadLetter
    from llmledgerd.telemetry.status import OtlpSender

ERROR = "red"


def show(
    console: Console, columns: Sequence[Column], *, header: bool = True, styles: Sequence[str] = ()
) -> None:
    """Print a table as wide as the console; ``styles`` are those of its rows."""
    fitted = fit(columns, console.width)
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=header)
    is_pipe = console.soft_wrap
    for one in fitted:
        column = one.column
        table.add_column(
            Text(column.name),
            justify="right" if column.is_right else "left",
            no_wrap=is_pipe or column.rank > 0 or column.narrowest is None,
            overflow="fold",
            width=None if is_pipe else one.width,
        )
    for number in range(len(columns[0].cells) if columns else 0):
        row_style = styles[number] if styles else ""
        table.add_row(
            *(
                Text(one.column.cells[number], style=row_style if one.column.style == ERROR else "")
                for one in fitted
            )
        )
    console.print(table)


def calls_columns(calls: Sequence[Call]) -> list[Column]:
    """Return the columns of a list of calls."""
    known = [call.usage_source != "unknown" for call in calls]
    return [
        times("TIME", [call.created_at for call in calls], 4),
        ids("ID", [call.id for call in calls]),
        texts("ORG", [call.organization_id for call in calls], 8, 5),
        texts("AGENT", [call.agent_id for call in calls], 7, 8),
        texts("PROVIDER", [call.provider for call in calls], 10, 6),
        texts("MODEL", [call.model for call in calls], 2, 9),
        counts(
            "IN",
            [call.prompt_tokens if is_known else None for call, is_known in zip(calls, known, strict=True)],
            5,
        ),
        counts(
            "OUT",
            [
                call.completion_tokens if is_known else None
                for call, is_known in zip(calls, known, strict=True)
            ],
            5,
        ),
        money("COST $", [call.cost_usd for call in calls], 1),
        counts("MS", [call.latency_ms or None for call in calls], 9),
        texts(
            "OUTCOME",
            [call.error_type or call.outcome if call.is_error else call.outcome for call in calls],
            3,
            7,
            ERROR,
        ),
    ]


def call_styles(calls: Iterable[Call]) -> list[str]:
    """Return the style of each row: failed calls stand out."""
    return [ERROR if call.is_error else "" for call in calls]


def errors_columns(calls: Sequence[Call]) -> list[Column]:
    """Return the columns of a list of failed calls, with their messages."""
    return [
        times("TIME", [call.created_at for call in calls], 4),
        ids("ID", [call.id for call in calls]),
        texts("ORG", [call.organization_id for call in calls], 6, 5),
        texts("AGENT", [call.agent_id for call in calls], 5, 8),
        texts("PROVIDER", [call.provider for call in calls], 7, 6),
        texts("MODEL", [call.model for call in calls], 3, 10),
        texts("STATUS", [str(call.status_code or "") for call in calls], 2, 6),
        texts("TYPE", [call.error_type or call.outcome for call in calls], 1, 9),
        texts("MESSAGE", [" ".join(call.error_message.split()) for call in calls], 0, 14),
    ]


def large_columns(calls: Sequence[LargeCall]) -> list[Column]:
    """Return the columns of a list of large calls."""
    return [
        times("TIME", [call.created_at for call in calls], 4),
        ids("ID", [call.id for call in calls]),
        texts("ORG", [call.organization_id for call in calls], 5, 5),
        texts("AGENT", [call.agent_id for call in calls], 6, 8),
        texts("MODEL", [call.model for call in calls], 2, 10),
        counts("REQUEST BYTES", [call.request_size_bytes for call in calls], 0),
        counts("RESPONSE BYTES", [call.response_size_bytes for call in calls], 3),
        counts("IN", [call.prompt_tokens if call.usage_source != "unknown" else None for call in calls], 7),
        money("COST $", [call.cost_usd for call in calls], 1),
    ]


def losses_columns(losses: Sequence[Loss]) -> list[Column]:
    """Return the columns of a list of losses: by stage, reason and service."""
    return [
        times("LAST", [loss.last_at for loss in losses], 3),
        texts("STAGE", [loss.stage for loss in losses], 1, 6),
        texts("REASON", [loss.reason for loss in losses], 0, 10),
        texts("SERVICE", [loss.service for loss in losses], 2, 7),
        counts("RECORDS", [loss.records for loss in losses], 0),
        counts("UNCOUNTED LOSSES", [loss.of_unknown_count for loss in losses], 0),
    ]


def otlp_columns(senders: Sequence[OtlpSender]) -> list[Column]:
    """Return the columns of a list of OTLP senders."""
    return [
        texts("SERVICE", [one.service for one in senders], 0, 7),
        texts("EMITTER", [one.emitter for one in senders], 0, 10),
        texts("VERSION", [one.version for one in senders], 3, 6),
        texts("READ AS", [one.convention for one in senders], 2, 6),
        counts("SPANS", [one.spans for one in senders], 0),
        counts("LOGS", [one.log_records for one in senders], 1),
        counts("ROWS", [one.rows for one in senders], 0),
        counts("COVERED", [one.covered for one in senders], 2),
        counts("PUZZLES", [sum(puzzle.count for puzzle in one.puzzles) for one in senders], 1),
    ]


def letters_columns(letters: Sequence[DeadLetter]) -> list[Column]:
    """Return the columns of a list of dead letters."""
    received = [datetime.fromtimestamp(letter.received_us / 1e6, UTC) for letter in letters]
    return [
        times("RECEIVED", received, 3),
        ids("ID", [letter.id for letter in letters]),
        texts("REASON", [letter.reason for letter in letters], 0, 10),
        counts("BYTES", [letter.size for letter in letters], 4),
        texts("SERVICE", [letter.service for letter in letters], 2, 7),
        texts("DETAIL", [letter.detail for letter in letters], 1, 14),
    ]


def usage_columns(usages: Sequence[Usage], group_by: Sequence[str]) -> list[Column]:
    """Return the columns of sums: one for each dimension of the groups, which is never left out."""
    # Where nothing at all is known there is no sum, and a zero would say that it was free.
    counted = [usage.unknown_usage < usage.requests for usage in usages]

    def tokens(name: str, field: str, rank: int) -> Column:
        pairs = zip(usages, counted, strict=True)
        return counts(name, [getattr(usage, field) if known else None for usage, known in pairs], rank)

    cost = [usage.cost_usd if usage.unknown_cost < usage.requests else None for usage in usages]
    return [
        *(texts(name.upper(), [usage.group[name] for usage in usages], 0, 10) for name in group_by),
        counts("CALLS", [usage.requests for usage in usages], 0),
        counts("ERRORS", [usage.errors for usage in usages], 3),
        tokens("IN", "prompt_tokens", 2),
        tokens("CACHED", "cached_input_tokens", 7),
        tokens("OUT", "completion_tokens", 2),
        tokens("REASONING", "reasoning_tokens", 10),
        tokens("TOTAL", "total_tokens", 6),
        money("COST $", cost, 0),
        counts("P50 MS", [usage.latency_p50_ms for usage in usages], 9),
        counts("P95 MS", [usage.latency_p95_ms for usage in usages], 8),
        counts("TTFT P50", [usage.first_token_p50_ms for usage in usages], 11),
        counts("TTFT P95", [usage.first_token_p95_ms for usage in usages], 12),
        counts("TOK/S P50", [usage.output_tokens_per_second_p50 for usage in usages], 11),
        counts("TOK/S P95", [usage.output_tokens_per_second_p95 for usage in usages], 13),
        counts("NO USAGE", [usage.unknown_usage for usage in usages], 5),
        counts("NO COST", [usage.unknown_cost for usage in usages], 4),
    ]


def tools_columns(found: Sequence[Tool]) -> list[Column]:
    """Return the columns of tools: calls, failures, time, and what their results took."""
    shares = [f"{100 * one.errors / one.calls:.1f} %" if one.calls else "-" for one in found]
    return [
        texts("TOOL", [one.name for one in found], 0, 12),
        texts("MCP SERVER", [one.mcp_server for one in found], 9, 6),
        counts("CALLS", [one.calls for one in found], 0),
        counts("ERRORS", [one.errors for one in found], 1),
        Column(name="RATE", cells=shares, rank=2, is_right=True),
        counts("BY API", [one.api_errors for one in found], 8),
        counts("UNANSWERED", [one.unanswered for one in found], 6),
        counts("REPEATED", [one.repeated for one in found], 5),
        _seconds("P50 S", [one.seconds_p50 for one in found], 4),
        _seconds("P95 S", [one.seconds_p95 for one in found], 3),
        counts("ARG BYTES", [one.arguments_bytes for one in found], 10),
        counts("RESULT BYTES", [one.result_bytes for one in found], 7),
        counts("RESULT TOKENS", [one.result_tokens for one in found], 2),
    ]


def tool_calls_columns(found: Sequence[ToolCall]) -> list[Column]:
    """Return the columns of single calls of tools."""
    answers = ["-" if not one.is_answered else one.error_source or "ok" for one in found]
    return [
        times("TIME", [one.created_at for one in found], 4),
        ids("ID", [one.id for one in found]),
        texts("TOOL", [one.name for one in found], 0, 12),
        texts("TOOL CALL", [one.tool_call_id for one in found], 3, 8),
        texts("ERROR", answers, 0, 4),
        _seconds("SECONDS", [one.seconds for one in found], 2),
        counts("ARG BYTES", [one.arguments_bytes for one in found], 6),
        counts("RESULT BYTES", [one.result_bytes for one in found], 5),
        texts("REPEATED", ["yes" if one.is_repeated else "" for one in found], 7, 3),
        texts("RUN BY", ["provider" if one.is_provider_run else "" for one in found], 8, 3),
    ]


def retries_columns(found: Sequence[Retries]) -> list[Column]:
    """Return the columns of calls with several attempts, by model."""
    return [
        texts("PROVIDER", [one.provider for one in found], 3, 6),
        texts("MODEL", [one.model for one in found], 0, 10),
        counts("RETRIED CALLS", [one.calls for one in found], 0),
        counts("FAILED ATTEMPTS", [one.failed_attempts for one in found], 1),
        counts("GIVEN UP", [one.given_up for one in found], 2),
        money("COST $", [_failed_cost(one) for one in found], 0),
        counts("NO COST", [one.unknown_cost for one in found], 5),
        _seconds("WAITED S", [one.waited_ms / 1000 for one in found], 1),
        _seconds("P50 S", [one.waited_p50_ms / 1000 for one in found], 6),
        _seconds("P95 S", [one.waited_p95_ms / 1000 for one in found], 4),
    ]


def retried_calls_columns(found: Sequence[RetriedCall]) -> list[Column]:
    """Return the columns of single calls with several attempts."""
    return [
        times("TIME", [one.started_at for one in found], 4),
        ids("ID", [one.id for one in found]),
        texts("MODEL", [one.model for one in found], 2, 10),
        counts("ATTEMPTS", [len(one.attempts) for one in found], 0),
        texts("OUTCOME", [one.outcome for one in found], 1, 7),
        texts("ERRORS", [", ".join(dict.fromkeys(one.error_types)) for one in found], 0, 10),
        _seconds("WAITED S", [one.waited_ms / 1000 for one in found], 1),
        money("COST $", [_failed_cost(one) for one in found], 3),
    ]


def _failed_cost(one: Retries | RetriedCall) -> Decimal | None:
    """Return what the failed attempts cost; None where none of them has a known cost."""
    return None if one.unknown_cost and not one.failed_cost_usd else one.failed_cost_usd


def unpriced_columns(found: Sequence[Unpriced]) -> list[Column]:
    """Return the columns of calls without a cost: by model and reason."""
    return [
        texts("PROVIDER", [one.provider for one in found], 2, 6),
        texts("MODEL", [one.model for one in found], 0, 10),
        counts("CALLS", [one.requests for one in found], 0),
        counts("TOKENS", [one.total_tokens or None for one in found], 1),
        texts("REASON", [one.reason for one in found], 0, 12),
    ]


def changes_columns(changes: Sequence[ModelChange]) -> list[Column]:
    """Return the columns of models whose calls have another cost."""
    return [
        texts("PROVIDER", [one.provider for one in changes], 3, 6),
        texts("MODEL", [one.model for one in changes], 0, 10),
        counts("CALLS", [one.calls for one in changes], 0),
        counts("NO COST BEFORE", [one.old_unknown for one in changes], 2),
        counts("NOW", [one.new_unknown for one in changes], 2),
        money("OLD $", [one.old_usd for one in changes], 0),
        money("NEW $", [one.new_usd for one in changes], 0),
        texts("LIST", [one.price_list for one in changes], 4, 12),
    ]


def prices_columns(parts: Sequence[tuple[str, Decimal, str]]) -> list[Column]:
    """Return the columns of a price: part, amount in dollars, and for what."""
    return [
        texts("PART", [part for part, _, _ in parts], 0, 6),
        Column(name="$", cells=[f"{amount:f}" for _, amount, _ in parts], is_right=True),
        texts("PER", [unit for _, _, unit in parts], 0, 6),
    ]


def rows_columns(found: Rows) -> list[Column]:
    """Return the columns of what SQL found; none is left out, since its author chose them."""
    columns = list(zip(*found.rows, strict=True)) if found.rows else [() for _ in found.columns]
    return [
        texts(name, [value if isinstance(value, str) else json_text(value) for value in values], 0, 4)
        for name, values in zip(found.columns, columns, strict=True)
    ]


def texts(name: str, values: Sequence[str], rank: int, narrowest: int, style: str = "") -> Column:
    """Return a column of recorded texts."""
    cells = [cell(value) or "-" for value in values]
    return Column(name=cell(name), cells=cells, rank=rank, narrowest=narrowest, style=style)


def ids(name: str, values: Sequence[str], rank: int = 0) -> Column:
    """Return the column of ids, which other commands take in their short form too."""
    cells = [cell(one) or "-" for one in values]
    return Column(name=name, cells=cells, short=short_ids(cells), shortened=1, rank=rank)


def times(name: str, moments: Sequence[datetime], rank: int) -> Column:
    """Return the column of times in UTC; the short form has no year and no seconds."""
    return Column(
        name=name,
        cells=[moment.strftime("%Y-%m-%d %H:%M:%S") for moment in moments],
        short=[moment.strftime("%m-%d %H:%M") for moment in moments],
        shortened=2,
        rank=rank,
    )


def counts(name: str, values: Sequence[float | None], rank: int) -> Column:
    """Return a column of numbers; None is unknown."""
    return Column(
        name=name,
        cells=["-" if value is None else f"{value:,.0f}" for value in values],
        short=["-" if value is None else compact(round(value)) for value in values],
        shortened=3,
        rank=rank,
        is_right=True,
    )


def _seconds(name: str, values: Sequence[float | None], rank: int) -> Column:
    cells = ["-" if value is None else f"{value:,.2f}" for value in values]
    return Column(name=name, cells=cells, rank=rank, is_right=True)


def money(name: str, values: Sequence[Decimal | None], rank: int) -> Column:
    """Return a column of amounts in dollars; None is unknown."""
    return Column(
        name=name,
        cells=["-" if value is None else f"{value:,.6f}" for value in values],
        short=["-" if value is None else compact_money(value) for value in values],
        shortened=3,
        rank=rank,
        is_right=True,
    )
