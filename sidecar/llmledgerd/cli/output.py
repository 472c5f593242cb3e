"""Answers as text for a terminal or a pipe.

Invariants: a pipe gets no color and no truncated cell, so that other tools can process it; an unknown
value is shown as ``-``, never as 0. This module does not query a store.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmledgerd.printable import clean, clean_json
from llmledgerd.query.conversation import Turn
from llmledgerd.query.display import _number, facts
from llmledgerd.query.repricing import ModelChange
from llmledgerd.query.results import Call, LargeCall, Loss, Unpriced, Usage
from llmledgerd.query.results import Table as Rows
from llmledgerd.telemetry.status import Status, StoreStatus

PIPE_WIDTH = 100_000
"""Width above that of any row, because rich truncates at its width."""

BREAKS = re.compile(r"[\n\t\u2028\u2029]")
"""Characters that could make a cell look like another line of the table."""

STYLES = {"thinking": "italic dim", "call": "cyan", "result": "dim", "other": "dim"}


def console() -> Console:
    """Return the console: as wide as the terminal, or without limit and color on a pipe."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, no_color=True, width=PIPE_WIDTH, soft_wrap=True)


def json_line(answer: object) -> str:
    """Return an answer as one line of JSON. Money is text, so that no reader rounds it."""
    return clean_json(msgspec.json.encode(answer, enc_hook=str).decode())


def json_text(value: object) -> str:
    """Return a value of SQL for a cell: text without quotes, null as ``-``."""
    text = "-" if value is None else json_line(value)
    return text.strip('"') if not isinstance(value, list | dict) else text


def texts(*values: str) -> list[Text]:
    """Return cells for senders' texts, in one line and without control characters."""
    return [Text(_cell(value) or "-") for value in values]


def _cell(text: str) -> str:
    return clean(BREAKS.sub(" ", text))


def calls_table(calls: Iterable[Call], *, header: bool = True) -> Table:
    """Return a table with one line per call."""
    table = _table(
        ("TIME", "ID", "ORG", "AGENT", "PROVIDER", "MODEL"), ("IN", "OUT", "COST $", "MS"), ("OUTCOME",)
    )
    table.show_header = header
    for call in calls:
        known = call.usage_source != "unknown"
        outcome = call.outcome if not call.is_error else call.error_type or call.outcome
        table.add_row(
            *texts(
                _time(call.created_at),
                call.id,
                call.organization_id,
                call.agent_id,
                call.provider,
                call.model,
            ),
            _number(call.prompt_tokens if known else None),
            _number(call.completion_tokens if known else None),
            _money(call.cost_usd),
            _number(call.latency_ms or None),
            Text(_cell(outcome), style="red" if call.is_error else ""),
        )
    return table


def errors_table(calls: Iterable[Call]) -> Table:
    """Return a table with one line per failed call, with its error message."""
    table = _table(("TIME", "ID", "ORG", "AGENT", "PROVIDER", "MODEL"), ("STATUS",), ("TYPE", "MESSAGE"))
    for call in calls:
        table.add_row(
            *texts(_time(call.created_at), call.id, call.organization_id, call.agent_id),
            *texts(call.provider, call.model, str(call.status_code or ""), call.error_type or call.outcome),
            Text(" ".join(clean(call.error_message).split()) or "-"),
        )
    return table


def large_table(calls: Iterable[LargeCall]) -> Table:
    """Return a table with one line per call and its sizes."""
    table = _table(
        ("TIME", "ID", "ORG", "AGENT", "MODEL"), ("REQUEST BYTES", "RESPONSE BYTES", "IN", "COST $"), ()
    )
    for call in calls:
        table.add_row(
            *texts(_time(call.created_at), call.id, call.organization_id, call.agent_id, call.model),
            _number(call.request_size_bytes),
            _number(call.response_size_bytes),
            _number(call.prompt_tokens if call.usage_source != "unknown" else None),
            _money(call.cost_usd),
        )
    return table


def losses_table(losses: Iterable[Loss]) -> Table:
    """Return a table with one line per stage, reason and service."""
    table = _table(("LAST", "STAGE", "REASON", "SERVICE"), ("RECORDS", "UNCOUNTED LOSSES"), ())
    for loss in losses:
        table.add_row(
            *texts(_time(loss.last_at), loss.stage, loss.reason, loss.service),
            _number(loss.records),
            _number(loss.of_unknown_count),
        )
    return table


def unpriced_table(found: Iterable[Unpriced]) -> Table:
    """Return a line for each model and reason."""
    table = _table(("PROVIDER", "MODEL"), ("CALLS", "TOKENS"), ("REASON",))
    for one in found:
        table.add_row(
            *texts(one.provider, one.model),
            _number(one.requests),
            _number(one.total_tokens or None),
            *texts(one.reason),
        )
    return table


def changes_table(changes: Iterable[ModelChange]) -> Table:
    """Return a line for each model whose calls have another cost, the largest difference first."""
    table = _table(("PROVIDER", "MODEL"), ("CALLS", "NO COST", "OLD $", "NEW $"), ("LIST",))
    for one in sorted(changes, key=lambda one: -abs(one.new_usd - one.old_usd)):
        table.add_row(
            *texts(one.provider, one.model),
            _number(one.calls),
            f"{one.old_unknown:,} > {one.new_unknown:,}",
            _money(one.old_usd),
            _money(one.new_usd),
            *texts(one.price_list),
        )
    return table


def prices_table(parts: Iterable[tuple[str, Decimal, str]]) -> Table:
    """Return a line for each part: its amount in dollars, and for what."""
    table = _table(("PART",), ("$",), ("PER",))
    for part, amount, unit in parts:
        table.add_row(*texts(part), f"{amount:f}", *texts(unit))
    return table


def rows_table(found: Rows) -> Table:
    """Return a table of the rows of a SQL query."""
    table = _table(found.columns, (), ())
    for row in found.rows:
        table.add_row(*(Text(_cell(value if isinstance(value, str) else json_text(value))) for value in row))
    return table


def status_lines(status: Status) -> list[str]:
    """Return the lines of a daemon's status."""
    state = "ready" if status.ready else "not accepting records"
    return [
        f"daemon    {_cell(status.version)}, {state}",
        f"records   {status.received:,} received = {status.stored:,} stored + {status.dead_letters:,} dead letters"
        f" + {status.lost:,} lost + {status.control_lines:,} control lines + {status.in_spool:,} in the spool",
        f"speed     {status.received_per_second:,.1f} received and {status.stored_per_second:,.1f} stored per second,"
        " over the last minute",
        f"lag       {status.lag_seconds:,.1f} s since the oldest waiting record was received",
        f"spool     {status.spool_bytes:,} bytes in {status.spool_segments:,} segments",
        f"senders   {status.connections:,} connections, {status.sessions:,} sessions,"
        f" {status.begun_calls:,} calls in progress",
        *(line for store in status.stores for line in _store_lines(store, alone=len(status.stores) == 1)),
        *([f"redacted  {_counts(status.redacted)}"] if status.redacted else []),
        *([f"trouble   {_cell(status.spool)}"] if status.spool else []),
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_cell(name)} {count:,}" for name, count in sorted(counts.items()))


def _store_lines(store: StoreStatus, *, alone: bool) -> list[str]:
    says = f"{_cell(store.trouble) or 'accepts records'}; {store.inserts_in_flight:,} inserts in flight"
    says += f"; {_cell(store.faults)}" if store.faults else ""
    if alone:  # its numbers are above
        return [f"store     {says}"]
    return [
        f"{_cell(store.name):10}{says}",
        f"{'':10}{store.stored:,} stored, {store.dead_letters:,} dead letters, {store.lost:,} lost,"
        f" {store.in_spool:,} in the spool, {store.lag_seconds:,.1f} s behind",
    ]


def usage_table(usages: Sequence[Usage], group_by: Sequence[str]) -> Table:
    """Return a table with one line per group, and totals if there are several."""
    table = _table(
        [name.upper() for name in group_by],
        ("CALLS", "ERRORS", "IN", "CACHED", "OUT", "REASONING", "TOTAL", "COST $", "P50 MS", "P95 MS"),
        (),
    )
    for name in ("NO USAGE", "NO COST"):
        table.add_column(name, justify="right")
    for usage in usages:
        table.add_row(*texts(*(usage.group[name] for name in group_by)), *_usage_cells(usage))
    return table


def usage_note(usages: Sequence[Usage], reason: str = "") -> str:
    """Return one line that says how many calls the sums could not count; ``reason`` is why most have no cost."""
    calls = sum(usage.requests for usage in usages)
    unknown = sum(usage.unknown_usage for usage in usages)
    partial = sum(usage.partial_usage for usage in usages)
    unpriced = sum(usage.unknown_cost for usage in usages)
    return (
        f"{calls:,} calls, ${sum(usage.cost_usd for usage in usages):,.4f}; tokens unknown in {unknown:,},"
        f" partly known in {partial:,}; cost unknown in {unpriced:,}"
    ) + (f", most often: {_cell(reason)}" if reason and unpriced else "")


def call_numbers(call: Call) -> Table:
    """Return the known facts of one call except its payloads, one per line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts(call):
        if value not in ("", "-"):
            table.add_row(name, Text(_cell(value)))
    return table


def conversation(turns: Iterable[Turn]) -> Text:
    """Return the conversation as text, one block per turn."""
    text = Text()
    for turn in turns:
        text.append(f"\n[{_cell(turn.role)}]\n", style="bold")
        for part in turn.parts:
            label = "" if part.kind in ("text", "other") else f"({part.kind}) "
            text.append(f"{label}{clean(part.text)}\n", style=STYLES.get(part.kind, ""))
    return text


def _usage_cells(usage: Usage) -> list[str]:
    tokens = (
        usage.prompt_tokens,
        usage.cached_input_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
        usage.total_tokens,
    )
    # Without any known cost there is no sum; a zero would mean that it was free.
    counted, priced = usage.unknown_usage < usage.requests, usage.unknown_cost < usage.requests
    return [
        _number(usage.requests),
        _number(usage.errors),
        *(_number(count if counted else None) for count in tokens),
        _money(usage.cost_usd if priced else None),
        _number(usage.latency_p50_ms),
        _number(usage.latency_p95_ms),
        _number(usage.unknown_usage),
        _number(usage.unknown_cost),
    ]


def _table(left: Sequence[str], right: Sequence[str], last: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    wraps = sys.stdout.isatty()
    for name in left:  # as text without markup, because SQL returns foreign strings
        table.add_column(Text(_cell(name)), no_wrap=not wraps, overflow="fold")
    for name in right:
        table.add_column(Text(name), justify="right", no_wrap=True)
    for name in last:
        table.add_column(Text(name), no_wrap=not wraps, overflow="fold")
    return table


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _money(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:,.6f}"
