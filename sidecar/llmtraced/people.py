"""``llmtrace``: the command for people.

Invariant: whatever is wrong is said in one line on standard error, with exit code 2 where the
question could not be put and 1 where its answer is "there is none".
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer

from llmtraced import config, dead_letter_commands, rendering
from llmtraced.conversation import read_conversation
from llmtraced.errors import LlmtracedError
from llmtraced.reader import ALL_ORGANIZATIONS, GROUPS, LLMTraceReader, Scope

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

T = TypeVar("T")

app = typer.Typer(
    help="Look at what llmtrace has recorded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(dead_letter_commands.app, name="dead-letters")

Url = Annotated[
    str | None,
    typer.Option(
        help="ClickHouse URL; else LLMTRACE_CLICKHOUSE_URL, else the daemon's own.", show_default=False
    ),
]
Org = Annotated[str | None, typer.Option(help="One organisation; all without it.", show_default=False)]
Since = Annotated[str | None, typer.Option(help="30m, 24h, 7d, 2w, or a date.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


@app.command()
def traces(
    org: Org = None,
    agent: Annotated[str | None, typer.Option(help="One agent's calls.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="One model's calls.", show_default=False)] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Failed and cancelled calls only.")] = False,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List calls, newest first."""
    start = None if since is None else moment(since, datetime.now(UTC))
    page = _ask(
        url,
        lambda reader: reader.list_calls(
            _scope(org), agent_id=agent, model=model, is_error=errors or None, start_date=start, limit=limit
        ),
    )
    if as_json:
        for call in page.calls:
            typer.echo(rendering.json_line(call))
    elif page.calls:
        rendering.console().print(rendering.calls_table(page.calls))
    else:
        raise Nothing("no such calls")


@app.command()
def trace(
    id: Annotated[str, typer.Argument(help="The id of a call.")],  # noqa: A002 - the word that users read in the help
    org: Org = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Request and response as they were, a line each.")
    ] = False,
    url: Url = None,
) -> None:
    """Show one call: its numbers, and the conversation."""
    call = _ask(url, lambda reader: reader.get_by_id(_scope(org), id, payloads=True))
    if call is None or call.payloads is None:
        raise Nothing(f"there is no call {id}")
    if raw:
        sys.stdout.buffer.write(call.payloads.request_json + b"\n" + call.payloads.response_json + b"\n")
        return
    console = rendering.console()
    console.print(rendering.call_numbers(call))
    turns = read_conversation(call.payloads.request_json, call.payloads.response_json)
    console.print(rendering.conversation(turns))


@app.command()
def usage(
    by: Annotated[list[str] | None, typer.Option(help=f"Split by any of: {', '.join(GROUPS)}.")] = None,
    org: Org = None,
    since: Since = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Sum calls, tokens, cost and errors, split by model where nothing else is said."""
    start = None if since is None else moment(since, datetime.now(UTC))
    group_by = [name for given in by or ["model"] for name in given.split(",")]
    unknown = [name for name in group_by if name not in GROUPS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(GROUPS)}", param_hint="--by")
    found = _ask(url, lambda reader: reader.get_usage_stats(_scope(org), group_by=group_by, start_date=start))
    if as_json:
        for one in found:
            typer.echo(rendering.json_line(one))
        return
    console = rendering.console()
    console.print(rendering.usage_table(found, group_by))
    console.print(rendering.usage_note(found))


class Nothing(Exception):
    """The question was answered: there is none."""


def moment(text: str, now: datetime) -> datetime:
    """Return the time that ``7d`` (minutes, hours, days, weeks ago) or an ISO 8601 date names, UTC without a zone."""
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if ago:
        return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"`{text}` is neither like 7d nor a date", param_hint="--since") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _scope(org: str | None) -> Scope:
    return ALL_ORGANIZATIONS if org is None else org


def _ask(url: str | None, question: Callable[[LLMTraceReader], Awaitable[T]]) -> T:
    async def answer() -> T:
        async with LLMTraceReader(url or config.load()[0].clickhouse_url) as reader:
            return await question(reader)

    return asyncio.run(answer())


def main(arguments: list[str] | None = None) -> None:
    """Run the command, and turn what goes wrong into a line and an exit code."""
    try:
        app(arguments, prog_name="llmtrace")
    except Nothing as nothing:
        _end(1, nothing)
    except LlmtracedError as error:
        _end(2, error)


def _end(code: int, said: Any) -> None:
    typer.echo(f"llmtrace: {said}", err=True)
    raise SystemExit(code)
