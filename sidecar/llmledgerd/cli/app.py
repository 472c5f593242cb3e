"""``llmledger``: the command for people.

Invariant: every error is one line on standard error, with exit code 2 for an invalid query and 1 for
"not found". A pipe that closes early ends the command silently.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any, TypeVar

import typer

from llmledgerd.cli import (
    asking,
    dead_letters,
    demo,
    doctor,
    erase,
    import_records,
    listing,
    maintenance,
    objects,
    output,
    prices,
    prompt_tables,
    prompts,
    reprice,
    tables,
    ui,
)
from llmledgerd.cli.asking import AsJson, Limit, Org, Since, Until
from llmledgerd.cli.calls import find_call, in_time_order, json_call
from llmledgerd.cli.command_groups import in_panels, with_version
from llmledgerd.cli.connect import daemon_status
from llmledgerd.cli.filter_options import with_filters
from llmledgerd.cli.messages import echo, echo_json
from llmledgerd.cli.messages import run as run_command
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.config import secrets
from llmledgerd.errors import LlmledgerdError
from llmledgerd.printable import clean_json, one_line
from llmledgerd.query.conversation import read_conversation
from llmledgerd.query.filters import CallsNarrowing, Narrowing
from llmledgerd.query.requests import GROUPS, MAX_LIMIT
from llmledgerd.query.results import Call, LargeCall
from llmledgerd.reader import LLMTraceReader
from llmledgerd.system import folders

T = TypeVar("T")
C = TypeVar("C", Call, LargeCall)

app = typer.Typer(
    help="Query recorded LLM calls: lists, usage, cost, delivery status.",
    no_args_is_help=True,
    cls=in_panels(
        {
            "Query": ("traces", "tail", "errors", "large", "trace", "usage", "cache", "anatomy", "prices", "sql", "ui"),
            "Operate": ("status", "doctor", "dead-letters", "import", "demo"),
            "Maintain": ("copy", "reprice", "erase", "objects"),
        }
    ),
    pretty_exceptions_enable=False,
)
app.callback()(with_version)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(objects.app, name="objects")
app.command()(doctor.doctor)
app.command()(reprice.reprice)
app.command("prices")(prices.show_prices)
app.command()(prompts.cache)
app.command()(prompts.anatomy)
app.command()(maintenance.copy)
app.command("ui")(ui.show_page)
app.command("demo")(demo.demo)
app.command()(erase.erase)
app.command("import")(import_records.import_records)


Errors = Annotated[bool, typer.Option("--errors", help="Only failed and cancelled calls.")]


@app.command()
@with_target
@with_filters(CallsNarrowing)
def traces(
    *,
    org: Org = None,
    narrowed: CallsNarrowing,
    errors: Errors = False,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep running and print calls as they arrive.")
    ] = False,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """List calls, newest first. With --follow the newest are last, and new calls are appended."""
    _list(org, narrowed, errors, (since, until), limit, follow=follow, as_json=as_json, target=target)


@app.command()
@with_target
@with_filters(CallsNarrowing)
def tail(
    *,
    org: Org = None,
    narrowed: CallsNarrowing,
    errors: Errors = False,
    limit: Annotated[
        int, typer.Option("--lines", "-n", min=1, max=MAX_LIMIT, help="Number of calls to start with.")
    ] = 10,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """Print the newest calls, then calls as they arrive."""
    _list(org, narrowed, errors, (None, None), limit, follow=True, as_json=as_json, target=target)


@app.command("errors")
@with_target
@with_filters(CallsNarrowing)
def show_errors(
    *,
    org: Org = None,
    narrowed: CallsNarrowing,
    since: Since = "24h",
    until: Until = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """List failed and cancelled calls with their error messages, newest first (default: the last 24 hours)."""
    start, end = asking.times(since, until)

    async def ask(reader: LLMTraceReader) -> None:
        page = await reader.list_calls(
            asking.scope(org), limit=limit, is_error=True, start_date=start, end_date=end, **narrowed
        )
        listing.show_calls(page.calls, as_json, tables.errors_columns)

    asking.ask(target, ask)


@app.command()
@with_target
@with_filters(Narrowing)
def large(
    *,
    org: Org = None,
    narrowed: Narrowing,
    since: Since = None,
    until: Until = None,
    min_bytes: Annotated[
        int, typer.Option(min=0, help="Only requests of at least this many bytes.")
    ] = 1_000_000,
    limit: Limit = 20,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """List the calls with the largest requests, largest first."""
    start, end = asking.times(since, until)

    async def ask(reader: LLMTraceReader) -> None:
        found = await reader.find_large_requests(
            asking.scope(org),
            min_size_bytes=min_bytes,
            limit=limit,
            start_date=start,
            end_date=end,
            **narrowed,
        )
        listing.show_calls(found, as_json, tables.large_columns)

    asking.ask(target, ask)


@app.command()
@with_target
def trace(
    id: Annotated[str, typer.Argument(help="ID of the call, or the beginning of it.")],  # noqa: A002 - the word that users read in the help
    org: Org = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print request and response as received, one per line.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object, with request and response.")
    ] = False,
    *,
    target: Target,
) -> None:
    """Show one call: figures and conversation."""
    call = asking.ask(target, lambda reader: find_call(reader, asking.scope(org), id, files=raw))
    if call is None or call.payloads is None:
        raise listing.Nothing(f"there is no call {id}")
    if as_json:
        echo_json(json_call(call))
        return
    if raw:
        if call.payloads_missing:
            raise listing.Nothing(f"no payloads: {call.payloads_missing}")
        _write_raw(call.payloads.request_json + b"\n" + call.payloads.response_json + b"\n")
        return
    console = output.console()
    console.print(output.call_numbers(call))
    _show_miss(call, target)
    turns = read_conversation(call.payloads.request_json, call.payloads.response_json)
    console.print(output.conversation(turns))


def _show_miss(call: Call, target: Target) -> None:
    """Print what the call did not read from the cache; nothing where it missed nothing, or the store cannot say."""
    try:
        found = asking.ask(target, lambda reader: reader.list_cache_misses(call.organization_id, id=call.id))
    except (LlmledgerdError, ValueError):  # the call itself is what was asked for
        return
    if found:
        echo(prompt_tables.miss_line(found[0]))


@app.command()
@with_target
@with_filters(Narrowing)
def usage(
    *,
    by: Annotated[list[str] | None, typer.Option(help=f"Group by any of: {', '.join(GROUPS)}.")] = None,
    org: Org = None,
    narrowed: Narrowing,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """Sum calls, tokens, cost and errors, grouped by model by default."""
    start, end = asking.times(since, until)
    group_by = [name for given in by or ["model"] for name in given.split(",")]
    unknown = [name for name in group_by if name not in GROUPS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(GROUPS)}", param_hint="--by")
    found = asking.ask(
        target,
        lambda reader: reader.get_usage_stats(
            asking.scope(org),
            group_by=group_by,
            start_date=start,
            end_date=end,
            **narrowed,
        ),
    )
    found = in_time_order(found, group_by)
    if as_json:
        listing.lines(map(json_line, found))
        return
    console = output.console()
    tables.show(console, tables.usage_columns(found, group_by))
    reason = ""
    if any(one.unknown_cost for one in found):
        top = asking.ask(
            target,
            lambda reader: reader.get_unpriced(
                asking.scope(org), limit=1, start_date=start, end_date=end, **narrowed
            ),
        )
        reason = f"{top[0].reason} ({top[0].requests:,} of {top[0].model})" if top else ""
    console.print(output.usage_note(found, reason))


@app.command()
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


@app.command()
@with_target
def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT; `-` reads it from standard input.")],
    as_json: AsJson = False,
    *,
    target: Target,
) -> None:
    """Run one read-only SELECT over the store's tables."""
    text = sys.stdin.read() if statement == "-" else statement
    found = asking.ask(target, lambda reader: reader.sql(text))
    if as_json:
        listing.lines(json_line(dict(zip(found.columns, row, strict=True))) for row in found.rows)
    else:
        tables.show(output.console(), tables.rows_columns(found))
    if found.more:
        echo("llmledger: there are more rows; add a LIMIT, or sum", err=True)


def _list(
    org: str | None,
    narrowed: CallsNarrowing,
    errors: bool,
    span: tuple[str | None, str | None],
    limit: int,
    *,
    follow: bool,
    as_json: bool,
    target: Target,
) -> None:
    start, end = asking.times(*span)

    async def ask(reader: LLMTraceReader) -> None:
        page = await reader.list_calls(
            asking.scope(org),
            limit=limit,
            is_error=errors or None,
            start_date=start,
            end_date=end,
            **narrowed,
        )
        if not follow:
            listing.show_calls(page.calls, as_json, tables.calls_columns, tables.call_styles(page.calls))
            return
        listing.print_calls(page.calls[::-1], as_json)
        await listing.follow(reader, asking.scope(org), page.calls, errors or None, narrowed, as_json)

    asking.ask(target, ask)


def _write_raw(payloads: bytes) -> None:
    """Write payloads unchanged; to a terminal, as equivalent JSON without control characters."""
    if sys.stdout.isatty():
        payloads = clean_json(payloads.decode(errors="replace")).encode()
    sys.stdout.buffer.write(payloads)


def main(arguments: list[str] | None = None) -> None:
    """Run the command, and turn errors into one line and an exit code."""
    folders.keep_private()
    if secrets.shown(sys.argv[1:] if arguments is None else arguments):
        echo(f"llmledger: {secrets.ON_COMMAND_LINE}", err=True)
    try:
        run_command(app, arguments, "llmledger")
    except listing.Nothing as nothing:
        _end(1, nothing)
    except (LlmledgerdError, ValueError) as error:
        _end(2, error)


def _end(code: int, said: Any) -> None:
    echo(f"llmledger: {one_line(str(said))}", err=True)
    raise SystemExit(code)
