"""``llmledger status``: the daemon's status, and what was lost."""

from __future__ import annotations

import asyncio
import sys

from llmledgerd.cli import asking, listing, output, tables
from llmledgerd.cli.asking import AsJson, Since
from llmledgerd.cli.connect import daemon_status
from llmledgerd.cli.messages import echo, echo_json
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line


@with_target
def status(since: Since = "7d", as_json: AsJson = False, *, target: Target) -> None:
    """Show the daemon's status: throughput, spool, lag, losses, dead letters."""
    said = asyncio.run(daemon_status(target))
    if as_json:
        echo_json(json_line(said))
        return
    lines = output.status_lines(said)
    console = output.console()
    listing.lines([output.wrapped(line, console.width) for line in lines] if sys.stdout.isatty() else lines)
    start, _ = asking.times(since, None)
    losses = asking.ask(target, lambda reader: reader.get_losses(start_date=start))
    if losses:
        echo(f"\nlost since {start or 'ever'}:")
        tables.show(console, tables.losses_columns(losses))
