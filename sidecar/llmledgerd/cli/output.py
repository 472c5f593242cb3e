"""Answers as text for a terminal or a pipe.

Invariants: a pipe gets no color and no truncated cell, so that other tools can process it; an unknown
value is shown as ``-``, never as 0. This module does not query a store.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmledgerd.cli.text_cells import cell
from llmledgerd.printable import clean
from llmledgerd.query.conversation import Turn
from llmledgerd.query.display import facts
from llmledgerd.query.results import Call, Usage
from llmledgerd.telemetry.status import Status, StoreStatus

PIPE_WIDTH = 100_000
"""Width above that of any row, because rich truncates at its width."""

STYLES = {"thinking": "italic dim", "call": "cyan", "result": "dim", "other": "dim"}


def console() -> Console:
    """Return the console: as wide as the terminal, or without limit and color on a pipe."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, no_color=True, width=PIPE_WIDTH, soft_wrap=True)


def status_lines(status: Status) -> list[str]:
    """Return the lines of a daemon's status."""
    state = "ready" if status.ready else "not accepting records"
    return [
        f"daemon    {cell(status.version)}, {state}",
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
        *([f"trouble   {cell(status.spool)}"] if status.spool else []),
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{cell(name)} {count:,}" for name, count in sorted(counts.items()))


def _store_lines(store: StoreStatus, *, alone: bool) -> list[str]:
    says = f"{cell(store.trouble) or 'accepts records'}; {store.inserts_in_flight:,} inserts in flight"
    says += f"; {cell(store.faults)}" if store.faults else ""
    if alone:  # its numbers are above
        return [f"store     {says}"]
    return [
        f"{cell(store.name):10}{says}",
        f"{'':10}{store.stored:,} stored, {store.dead_letters:,} dead letters, {store.lost:,} lost,"
        f" {store.in_spool:,} in the spool, {store.lag_seconds:,.1f} s behind",
    ]


def wrapped(line: str, width: int) -> str:
    """Return a line of the status in a terminal's width; further lines begin where its text does."""
    return textwrap.fill(line, max(width, 30), subsequent_indent=" " * 10, break_long_words=False)


def usage_note(usages: Sequence[Usage], reason: str = "") -> str:
    """Return a note on the calls without known usage or cost; ``reason`` is why most have no cost."""
    calls = sum(usage.requests for usage in usages)
    unknown = sum(usage.unknown_usage for usage in usages)
    partial = sum(usage.partial_usage for usage in usages)
    unpriced = sum(usage.unknown_cost for usage in usages)
    return (
        f"{calls:,} calls, ${sum(usage.cost_usd for usage in usages):,.4f}; tokens unknown in {unknown:,},"
        f" partly known in {partial:,}; cost unknown in {unpriced:,}"
        f"{f', most often: {cell(reason)}' if reason and unpriced else ''}"
    )


def call_numbers(call: Call) -> Table:
    """Return the known facts of one call except its payloads, one per line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts(call):
        if value not in ("", "-"):
            table.add_row(name, Text(cell(value)))
    return table


def conversation(turns: Iterable[Turn]) -> Text:
    """Return the conversation as text, one block per turn."""
    text = Text()
    for turn in turns:
        text.append(f"\n[{cell(turn.role)}]\n", style="bold")
        for part in turn.parts:
            label = "" if part.kind in ("text", "other") else f"({part.kind}) "
            text.append(f"{label}{clean(part.text)}\n", style=STYLES.get(part.kind, ""))
    return text
