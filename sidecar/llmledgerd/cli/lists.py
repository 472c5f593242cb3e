"""``llmledger traces``, ``tail``, ``errors`` and ``large``: lists of calls."""

from __future__ import annotations

from typing import Annotated

import typer

from llmledgerd.cli import asking, listing, tables
from llmledgerd.cli.asking import AsJson, Limit, Org, Since, Until
from llmledgerd.cli.filter_options import with_filters
from llmledgerd.cli.target import Target, with_target
from llmledgerd.query.filters import CallsNarrowing, Narrowing
from llmledgerd.query.requests import MAX_LIMIT
from llmledgerd.reader import LLMTraceReader

Errors = Annotated[bool, typer.Option("--errors", help="Only failed and cancelled calls.")]


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
        listing.show(page.calls, as_json, tables.errors_columns)

    asking.ask(target, ask)


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
        listing.show(found, as_json, tables.large_columns)

    asking.ask(target, ask)


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
            listing.show(page.calls, as_json, tables.calls_columns, styles=tables.call_styles(page.calls))
            return
        listing.print_calls(page.calls[::-1], as_json)
        await listing.follow(reader, asking.scope(org), page.calls, errors or None, narrowed, as_json)

    asking.ask(target, ask)
