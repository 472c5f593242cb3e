"""``llmledger otlp``: who sends over OTLP, what was made of it, and what was not understood."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from llmledgerd.cli import output, tables
from llmledgerd.cli.asking import AsJson
from llmledgerd.cli.connect import daemon_status
from llmledgerd.cli.messages import Nothing, echo, echo_json
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line

if TYPE_CHECKING:
    from llmledgerd.telemetry.status import OtlpSender


@with_target
def show_otlp(as_json: AsJson = False, *, target: Target) -> None:
    """Show who sends over OTLP since the daemon's start: emitter, spans, rows, and what was not understood."""
    status = asyncio.run(daemon_status(target))
    if not status.otlp and not status.otlp_requests:
        raise Nothing(
            "nothing was received over OTLP since the daemon's start (setting `otlp`, docs/otlp.md)"
        )
    if as_json:
        for sender in status.otlp:
            echo_json(json_line(sender))
        return
    tables.show(output.console(), tables.otlp_columns(status.otlp))
    requests = ", ".join(f"{count:,} {what}" for what, count in sorted(status.otlp_requests.items()))
    echo(f"\nrequests by signal and status: {requests}")
    for line in puzzle_lines(status.otlp):
        echo(line)


def puzzle_lines(senders: list[OtlpSender]) -> list[str]:
    """Return what was not understood, with one example each."""
    found = [(sender, puzzle) for sender in senders for puzzle in sender.puzzles]
    lines = ["", "not understood:"] if found else []
    for sender, puzzle in found:
        lines.append(f"  {puzzle.count:,} x {puzzle.what} ({sender.service or '-'}, {sender.emitter or '-'})")
        lines.append(f"      for example {puzzle.example}")
    return lines
