"""``llmledger``: the command for people.

Invariant: every error is one line on standard error, with exit code 2 for an invalid query and 1 for
"not found". A pipe that closes early ends the command silently.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import typer

from llmledgerd.cli.command_groups import Listed, in_panels, with_version
from llmledgerd.cli.messages import Nothing, echo
from llmledgerd.cli.messages import run as run_command
from llmledgerd.config import secrets
from llmledgerd.errors import LlmledgerdError
from llmledgerd.printable import one_line
from llmledgerd.system import folders

PANELS: Final = {
    "Query": (
        Listed(
            "traces",
            "lists:traces",
            "List calls, newest first. With --follow the newest are last, and new calls are appended.",
        ),
        Listed("tail", "lists:tail", "Print the newest calls, then calls as they arrive."),
        Listed(
            "runs",
            "runs:runs",
            "List agents' runs, the one with the latest call first. Filters choose runs that have a matching call.",
        ),
        Listed(
            "run",
            "runs:run",
            "Show one run as a tree of its steps: what was new in each, tokens, cost, time.",
        ),
        Listed(
            "errors",
            "lists:show_errors",
            "List failed and cancelled calls with their error messages, newest first (default: the last 24 hours).",
        ),
        Listed("large", "lists:large", "List the calls with the largest requests, largest first."),
        Listed("trace", "trace:trace", "Show one call: figures and conversation."),
        Listed("usage", "usage:usage", "Sum calls, tokens, cost and errors, grouped by model by default."),
        Listed(
            "tools",
            "tools:tools",
            "Show which tools are called, how often they fail, how long they take and what their results cost.",
        ),
        Listed(
            "retries",
            "tools:retries",
            "Show calls that needed several attempts, and what the failed ones cost in money and time.",
        ),
        Listed(
            "cache",
            "prompts:cache",
            "Show what calls did not read from the providers' caches, and why, by agent, model and cause, dearest first.",
        ),
        Listed(
            "anatomy",
            "prompts:anatomy",
            "Show what the tokens of prompts are: system prompt, tools, history, tools' results, files, the new message.",
        ),
        Listed(
            "prices",
            "prices:show_prices",
            "Show what a model costs, own prices included; with --unpriced which calls have no cost and why.",
        ),
        Listed("sql", "sql:sql", "Run one read-only SELECT over the store's tables."),
        Listed(
            "ui",
            "ui:show_page",
            "Serve the web page. The printed link contains a secret: anyone who has it can read the data.",
        ),
    ),
    "Operate": (
        Listed(
            "status",
            "status:status",
            "Show the daemon's status: throughput, spool, lag, losses, dead letters.",
        ),
        Listed(
            "doctor",
            "doctor:doctor",
            "Check client, socket, permissions, daemon, store, clock and disk; exit code 1 if one of them fails.",
        ),
        Listed(
            "otlp",
            "otlp:show_otlp",
            "Show who sends over OTLP since the daemon's start: emitter, spans, rows, and what was not understood.",
        ),
        Listed(
            "dead-letters",
            "dead_letters:app",
            "Inspect, replay and delete dead letters: lines that could not be stored as rows.",
        ),
        Listed(
            "import",
            "import_records:import_records",
            "Import records from files: protocol versions 1 to 4, one record per line or per file.",
        ),
        Listed(
            "demo",
            "demo:demo",
            "Fill a store of its own with generated calls, or remove them again.",
        ),
    ),
    "Maintain": (
        Listed(
            "copy",
            "maintenance:copy",
            "Copy calls from one store to another, for example to a store added later.",
        ),
        Listed(
            "export",
            "export:export",
            "Export stored calls as spans to a collector of OpenTelemetry. Rows that came in over OTLP are left out.",
        ),
        Listed("reprice", "reprice:reprice", "Recompute the cost of stored calls after prices have changed."),
        Listed(
            "erase",
            "erase:erase",
            "Erase payloads of calls, or whole calls, from stores, object storage and files on this host.",
        ),
        Listed("objects", "objects:app", "Maintain payloads in object storage."),
    ),
}
"""What the command can do. A command is imported when it is called."""

app = typer.Typer(
    help="Query recorded LLM calls: lists, usage, cost, delivery status.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help takes longer to import than all the rest
    cls=in_panels(PANELS),
    pretty_exceptions_enable=False,
)
app.callback()(with_version)


def main(arguments: list[str] | None = None) -> None:
    """Run the command, and turn errors into one line and an exit code."""
    folders.keep_private()
    if secrets.shown(sys.argv[1:] if arguments is None else arguments):
        echo(f"llmledger: {secrets.ON_COMMAND_LINE}", err=True)
    try:
        run_command(app, arguments, "llmledger")
    except Nothing as nothing:
        _end(1, nothing)
    except (LlmledgerdError, ValueError) as error:
        _end(2, error)


def _end(code: int, said: Any) -> None:
    echo(f"llmledger: {one_line(str(said))}", err=True)
    raise SystemExit(code)
