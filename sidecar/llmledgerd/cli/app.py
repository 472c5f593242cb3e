"""``llmledger``: the command for people.

Invariant: every error is one line on standard error, with exit code 2 for an invalid query and 1 for
"not found". A pipe that closes early ends the command silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from llmledgerd.cli import (
    dead_letters,
    erase,
    import_records,
    maintenance,
    objects,
    output,
    prices,
    reprice,
    ui,
)
from llmledgerd.cli.asking import AsJson, Limit, Nothing, Org, Since, Until, Url, ask, option, scope, times
from llmledgerd.cli.command_groups import in_panels, with_version
from llmledgerd.cli.connect import daemon_status
from llmledgerd.cli.filter_options import with_filters
from llmledgerd.cli.messages import echo
from llmledgerd.cli.messages import run as run_command
from llmledgerd.cli.tail import follow as follow_calls
from llmledgerd.config import secrets
from llmledgerd.errors import LlmledgerdError
from llmledgerd.printable import clean_json, one_line
from llmledgerd.query.conversation import read_conversation
from llmledgerd.query.filters import CallsNarrowing, Narrowing
from llmledgerd.query.requests import GROUPS, MAX_LIMIT
from llmledgerd.query.results import Call, LargeCall
from llmledgerd.reader import LLMTraceReader, Scope
from llmledgerd.stores import registry
from llmledgerd.stores.kind import Traffic
from llmledgerd.system import folders

T = TypeVar("T")
C = TypeVar("C", Call, LargeCall)

app = typer.Typer(
    help="Query recorded LLM calls: lists, usage, cost, delivery status.",
    no_args_is_help=True,
    cls=in_panels(
        {
            "Query": ("traces", "tail", "errors", "large", "trace", "usage", "prices", "sql", "ui"),
            "Operate": ("status", "dead-letters", "import", "demo"),
            "Maintain": ("copy", "reprice", "erase", "objects"),
        }
    ),
    pretty_exceptions_enable=False,
)
app.callback()(with_version)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(objects.app, name="objects")
app.command()(reprice.reprice)
app.command("prices")(prices.show_prices)
app.command()(maintenance.copy)
app.command("ui")(ui.show_page)
app.command()(erase.erase)
app.command("import")(import_records.import_records)


Errors = Annotated[bool, typer.Option("--errors", help="Only failed and cancelled calls.")]


@app.command()
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
    url: Url = None,
) -> None:
    """List calls, newest first. With --follow the newest are last, and new calls are appended."""
    _list(org, narrowed, errors, (since, until), limit, follow=follow, as_json=as_json, url=url)


@app.command()
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
    url: Url = None,
) -> None:
    """Print the newest calls, then calls as they arrive."""
    _list(org, narrowed, errors, (None, None), limit, follow=True, as_json=as_json, url=url)


@app.command("errors")
@with_filters(CallsNarrowing)
def show_errors(
    *,
    org: Org = None,
    narrowed: CallsNarrowing,
    since: Since = "24h",
    until: Until = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List failed and cancelled calls with their error messages, newest first (default: the last 24 hours)."""
    start, end = times(since, until)

    async def show(reader: LLMTraceReader) -> None:
        page = await reader.list_calls(
            scope(org), limit=limit, is_error=True, start_date=start, end_date=end, **narrowed
        )
        _show_calls(page.calls, as_json, output.errors_table)

    ask(url, show)


@app.command()
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
    url: Url = None,
) -> None:
    """List the calls with the largest requests, largest first."""
    start, end = times(since, until)

    async def show(reader: LLMTraceReader) -> None:
        found = await reader.find_large_requests(
            scope(org), min_size_bytes=min_bytes, limit=limit, start_date=start, end_date=end, **narrowed
        )
        _show_calls(found, as_json, output.large_table)

    ask(url, show)


@app.command()
def trace(
    id: Annotated[str, typer.Argument(help="ID of the call.")],  # noqa: A002 - the word that users read in the help
    org: Org = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print request and response as received, one per line.")
    ] = False,
    url: Url = None,
) -> None:
    """Show one call: figures and conversation."""
    call = ask(url, lambda reader: reader.get_by_id(scope(org), id, payloads=True, files=raw))
    if call is None or call.payloads is None:
        raise Nothing(f"there is no call {id}")
    if raw:
        if call.payloads_missing:
            raise Nothing(f"no payloads: {call.payloads_missing}")
        _write_raw(call.payloads.request_json + b"\n" + call.payloads.response_json + b"\n")
        return
    console = output.console()
    console.print(output.call_numbers(call))
    turns = read_conversation(call.payloads.request_json, call.payloads.response_json)
    console.print(output.conversation(turns))


@app.command()
@with_filters(Narrowing)
def usage(
    *,
    by: Annotated[list[str] | None, typer.Option(help=f"Group by any of: {', '.join(GROUPS)}.")] = None,
    org: Org = None,
    narrowed: Narrowing,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Sum calls, tokens, cost and errors, grouped by model by default."""
    start, end = times(since, until)
    group_by = [name for given in by or ["model"] for name in given.split(",")]
    unknown = [name for name in group_by if name not in GROUPS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(GROUPS)}", param_hint="--by")
    found = ask(
        url,
        lambda reader: reader.get_usage_stats(
            scope(org),
            group_by=group_by,
            start_date=start,
            end_date=end,
            **narrowed,
        ),
    )
    if as_json:
        _lines(output.json_line(one) for one in found)
        return
    console = output.console()
    console.print(output.usage_table(found, group_by))
    reason = ""
    if any(one.unknown_cost for one in found):
        top = ask(
            url,
            lambda reader: reader.get_unpriced(
                scope(org), limit=1, start_date=start, end_date=end, **narrowed
            ),
        )
        reason = f"{top[0].reason} ({top[0].requests:,} of {top[0].model})" if top else ""
    console.print(output.usage_note(found, reason))


@app.command()
def status(since: Since = "7d", as_json: AsJson = False, url: Url = None) -> None:
    """Show the daemon's status: throughput, spool, lag, losses, dead letters."""
    said = asyncio.run(daemon_status(url))
    if as_json:
        echo(output.json_line(said))
        return
    _lines(output.status_lines(said))
    start, _ = times(since, None)
    losses = ask(url, lambda reader: reader.get_losses(start_date=start))
    if losses:
        echo(f"\nlost since {start or 'ever'}:")
        output.console().print(output.losses_table(losses))


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT; `-` reads it from standard input.")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Run one read-only SELECT over the store's tables."""
    text = sys.stdin.read() if statement == "-" else statement
    found = ask(url, lambda reader: reader.sql(text))
    if as_json:
        _lines(output.json_line(dict(zip(found.columns, row, strict=True))) for row in found.rows)
    else:
        output.console().print(output.rows_table(found))
    if found.more:
        echo("llmledger: there are more rows; add a LIMIT, or sum", err=True)


@app.command("demo")
def fill_with_demo(
    rows: Annotated[int, typer.Option(min=1, help="Number of calls.")] = 100_000,
    days: Annotated[
        float, typer.Option(min=0.01, help="Number of days up to now to spread them over.")
    ] = 30.0,
    org: Annotated[
        list[str] | None, option("Organization of the calls; may be repeated, the first gets the most.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random generator.")] = 1,
    url: Annotated[
        str | None, option("URL of the store (default: the first of `stores` in the settings).")
    ] = None,
) -> None:
    """Fill a store with generated calls."""
    config = registry.load()[0]
    address = url or registry.first_address(config)[0]
    traffic = Traffic(
        rows=rows, days=days, end_us=time.time_ns() // 1000, organizations=tuple(org or ()), seed=seed
    )
    with contextlib.closing(registry.kind_of(address).fill(address, traffic, config)) as steps:
        for done in steps:
            echo(f"{done:,} of {rows:,} calls in {secrets.masked(address)}")


def _list(
    org: str | None,
    narrowed: CallsNarrowing,
    errors: bool,
    span: tuple[str | None, str | None],
    limit: int,
    *,
    follow: bool,
    as_json: bool,
    url: str | None,
) -> None:
    start, end = times(*span)

    async def show(reader: LLMTraceReader) -> None:
        page = await reader.list_calls(
            scope(org), limit=limit, is_error=errors or None, start_date=start, end_date=end, **narrowed
        )
        if not follow:
            _show_calls(page.calls, as_json, output.calls_table)
            return
        _print_calls(page.calls[::-1], as_json)
        await _follow(reader, scope(org), page.calls, errors or None, narrowed, as_json)

    ask(url, show)


def _write_raw(payloads: bytes) -> None:
    """Write payloads unchanged; to a terminal, as equivalent JSON without control characters."""
    if sys.stdout.isatty():
        payloads = clean_json(payloads.decode(errors="replace")).encode()
    sys.stdout.buffer.write(payloads)


async def _follow(
    reader: LLMTraceReader,
    scope: Scope,
    known: list[Call],
    is_error: bool | None,
    narrowed: CallsNarrowing,
    as_json: bool,
) -> None:
    async for calls in follow_calls(reader, scope, known, is_error=is_error, narrowed=narrowed):
        _print_calls(calls, as_json, header=False)


def _show_calls(calls: list[C], as_json: bool, table: Callable[[list[C]], Any]) -> None:
    if as_json:
        _lines(map(output.json_line, calls))
    elif calls:
        output.console().print(table(calls))
    else:
        raise Nothing("no calls found")


def _print_calls(calls: list[Call], as_json: bool, *, header: bool = True) -> None:
    """Print a batch of calls, and flush it, because a pipe may be followed."""
    if as_json:
        _lines(map(output.json_line, calls))
    else:
        output.console().print(output.calls_table(calls, header=header))
    sys.stdout.flush()


def _lines(lines: Any) -> None:
    for line in lines:
        echo(line)


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
