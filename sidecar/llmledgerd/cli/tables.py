"""Tables of answers for a terminal or a pipe.

Invariants: a terminal's width decides which columns are shown and in which form (``fitting``); a pipe gets
all of them in full, on one line per row; what is unknown is shown as ``-``, never as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmledgerd.cli.fitting import Column, compact, compact_money, fit, short_ids
from llmledgerd.cli.text_cells import cell, json_text
from llmledgerd.query.repricing import ModelChange
from llmledgerd.query.results import Call, LargeCall, Loss, Unpriced, Usage
from llmledgerd.query.results import Table as Rows
from llmledgerd.spool.dead_letters import DeadLetter

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
        _times("TIME", [call.created_at for call in calls], 4),
        _ids([call.id for call in calls]),
        _texts("ORG", [call.organization_id for call in calls], 8, 5),
        _texts("AGENT", [call.agent_id for call in calls], 7, 8),
        _texts("PROVIDER", [call.provider for call in calls], 10, 6),
        _texts("MODEL", [call.model for call in calls], 2, 9),
        _counts(
            "IN",
            [call.prompt_tokens if is_known else None for call, is_known in zip(calls, known, strict=True)],
            5,
        ),
        _counts(
            "OUT",
            [
                call.completion_tokens if is_known else None
                for call, is_known in zip(calls, known, strict=True)
            ],
            5,
        ),
        _money("COST $", [call.cost_usd for call in calls], 1),
        _counts("MS", [call.latency_ms or None for call in calls], 9),
        _texts(
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
        _times("TIME", [call.created_at for call in calls], 4),
        _ids([call.id for call in calls]),
        _texts("ORG", [call.organization_id for call in calls], 6, 5),
        _texts("AGENT", [call.agent_id for call in calls], 5, 8),
        _texts("PROVIDER", [call.provider for call in calls], 7, 6),
        _texts("MODEL", [call.model for call in calls], 3, 10),
        _texts("STATUS", [str(call.status_code or "") for call in calls], 2, 6),
        _texts("TYPE", [call.error_type or call.outcome for call in calls], 1, 9),
        _texts("MESSAGE", [" ".join(call.error_message.split()) for call in calls], 0, 14),
    ]


def large_columns(calls: Sequence[LargeCall]) -> list[Column]:
    """Return the columns of a list of large calls."""
    return [
        _times("TIME", [call.created_at for call in calls], 4),
        _ids([call.id for call in calls]),
        _texts("ORG", [call.organization_id for call in calls], 5, 5),
        _texts("AGENT", [call.agent_id for call in calls], 6, 8),
        _texts("MODEL", [call.model for call in calls], 2, 10),
        _counts("REQUEST BYTES", [call.request_size_bytes for call in calls], 0),
        _counts("RESPONSE BYTES", [call.response_size_bytes for call in calls], 3),
        _counts("IN", [call.prompt_tokens if call.usage_source != "unknown" else None for call in calls], 7),
        _money("COST $", [call.cost_usd for call in calls], 1),
    ]


def losses_columns(losses: Sequence[Loss]) -> list[Column]:
    """Return the columns of a list of losses: by stage, reason and service."""
    return [
        _times("LAST", [loss.last_at for loss in losses], 3),
        _texts("STAGE", [loss.stage for loss in losses], 1, 6),
        _texts("REASON", [loss.reason for loss in losses], 0, 10),
        _texts("SERVICE", [loss.service for loss in losses], 2, 7),
        _counts("RECORDS", [loss.records for loss in losses], 0),
        _counts("UNCOUNTED LOSSES", [loss.of_unknown_count for loss in losses], 0),
    ]


def letters_columns(letters: Sequence[DeadLetter]) -> list[Column]:
    """Return the columns of a list of dead letters."""
    received = [datetime.fromtimestamp(letter.received_us / 1e6, UTC) for letter in letters]
    return [
        _times("RECEIVED", received, 3),
        _ids([letter.id for letter in letters]),
        _texts("REASON", [letter.reason for letter in letters], 0, 10),
        _counts("BYTES", [letter.size for letter in letters], 4),
        _texts("SERVICE", [letter.service for letter in letters], 2, 7),
        _texts("DETAIL", [letter.detail for letter in letters], 1, 14),
    ]


def usage_columns(usages: Sequence[Usage], group_by: Sequence[str]) -> list[Column]:
    """Return the columns of sums: one for each dimension of the groups, which is never left out."""
    # Where nothing at all is known there is no sum, and a zero would say that it was free.
    counted = [usage.unknown_usage < usage.requests for usage in usages]

    def tokens(name: str, field: str, rank: int) -> Column:
        pairs = zip(usages, counted, strict=True)
        return _counts(name, [getattr(usage, field) if known else None for usage, known in pairs], rank)

    cost = [usage.cost_usd if usage.unknown_cost < usage.requests else None for usage in usages]
    return [
        *(_texts(name.upper(), [usage.group[name] for usage in usages], 0, 10) for name in group_by),
        _counts("CALLS", [usage.requests for usage in usages], 0),
        _counts("ERRORS", [usage.errors for usage in usages], 3),
        tokens("IN", "prompt_tokens", 2),
        tokens("CACHED", "cached_input_tokens", 7),
        tokens("OUT", "completion_tokens", 2),
        tokens("REASONING", "reasoning_tokens", 10),
        tokens("TOTAL", "total_tokens", 6),
        _money("COST $", cost, 0),
        _counts("P50 MS", [usage.latency_p50_ms for usage in usages], 9),
        _counts("P95 MS", [usage.latency_p95_ms for usage in usages], 8),
        _counts("NO USAGE", [usage.unknown_usage for usage in usages], 5),
        _counts("NO COST", [usage.unknown_cost for usage in usages], 4),
    ]


def unpriced_columns(found: Sequence[Unpriced]) -> list[Column]:
    """Return the columns of calls without a cost: by model and reason."""
    return [
        _texts("PROVIDER", [one.provider for one in found], 2, 6),
        _texts("MODEL", [one.model for one in found], 0, 10),
        _counts("CALLS", [one.requests for one in found], 0),
        _counts("TOKENS", [one.total_tokens or None for one in found], 1),
        _texts("REASON", [one.reason for one in found], 0, 12),
    ]


def changes_columns(changes: Sequence[ModelChange]) -> list[Column]:
    """Return the columns of models whose calls have another cost."""
    return [
        _texts("PROVIDER", [one.provider for one in changes], 3, 6),
        _texts("MODEL", [one.model for one in changes], 0, 10),
        _counts("CALLS", [one.calls for one in changes], 0),
        _counts("NO COST BEFORE", [one.old_unknown for one in changes], 2),
        _counts("NOW", [one.new_unknown for one in changes], 2),
        _money("OLD $", [one.old_usd for one in changes], 0),
        _money("NEW $", [one.new_usd for one in changes], 0),
        _texts("LIST", [one.price_list for one in changes], 4, 12),
    ]


def prices_columns(parts: Sequence[tuple[str, Decimal, str]]) -> list[Column]:
    """Return the columns of a price: part, amount in dollars, and for what."""
    return [
        _texts("PART", [part for part, _, _ in parts], 0, 6),
        Column(name="$", cells=[f"{amount:f}" for _, amount, _ in parts], is_right=True),
        _texts("PER", [unit for _, _, unit in parts], 0, 6),
    ]


def rows_columns(found: Rows) -> list[Column]:
    """Return the columns of what SQL found; none is left out, since its author chose them."""
    columns = list(zip(*found.rows, strict=True)) if found.rows else [() for _ in found.columns]
    return [
        _texts(name, [value if isinstance(value, str) else json_text(value) for value in values], 0, 4)
        for name, values in zip(found.columns, columns, strict=True)
    ]


def _texts(name: str, values: Sequence[str], rank: int, narrowest: int, style: str = "") -> Column:
    cells = [cell(value) or "-" for value in values]
    return Column(name=cell(name), cells=cells, rank=rank, narrowest=narrowest, style=style)


def _ids(ids: Sequence[str]) -> Column:
    """Return the column of ids, which other commands take in their short form too."""
    cells = [cell(one) or "-" for one in ids]
    return Column(name="ID", cells=cells, short=short_ids(cells), shortened=1)


def _times(name: str, moments: Sequence[datetime], rank: int) -> Column:
    """Return the column of times in UTC; the short form has no year and no seconds."""
    return Column(
        name=name,
        cells=[moment.strftime("%Y-%m-%d %H:%M:%S") for moment in moments],
        short=[moment.strftime("%m-%d %H:%M") for moment in moments],
        shortened=2,
        rank=rank,
    )


def _counts(name: str, values: Sequence[float | None], rank: int) -> Column:
    return Column(
        name=name,
        cells=["-" if value is None else f"{value:,.0f}" for value in values],
        short=["-" if value is None else compact(round(value)) for value in values],
        shortened=3,
        rank=rank,
        is_right=True,
    )


def _money(name: str, values: Sequence[Decimal | None], rank: int) -> Column:
    return Column(
        name=name,
        cells=["-" if value is None else f"{value:,.6f}" for value in values],
        short=["-" if value is None else compact_money(value) for value in values],
        shortened=3,
        rank=rank,
        is_right=True,
    )


texts, ids, times, counts, money = _texts, _ids, _times, _counts, _money
"""The makers of columns, for modules with tables of their own."""
