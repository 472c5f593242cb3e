"""``llmledger tools`` and ``llmledger retries``: calls of tools, and calls that needed several attempts."""

from __future__ import annotations

from typing import Annotated

import typer

from llmledgerd.cli import asking, listing, tables
from llmledgerd.cli.asking import AsJson, Limit, Org, Since, Until
from llmledgerd.cli.filter_options import with_filters
from llmledgerd.cli.target import Target, with_target
from llmledgerd.query.filters import Narrowing

_ONLY_CALLS = "use it with --calls"
NOTHING = "no calls of tools found"
NO_RETRIES = "no calls with several attempts found"


@with_target
@with_filters(Narrowing)
def tools(
    *,
    calls: Annotated[bool, typer.Option("--calls", help="List single calls, newest first.")] = False,
    name: Annotated[str | None, asking.option("With --calls: only calls of this tool.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="With --calls: only failed calls.")] = False,
    of: Annotated[
        str | None, asking.option("With --calls: only those that this call's answer asked for, by its ID.")
    ] = None,
    org: Org = None,
    narrowed: Narrowing,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """Show which tools are called, how often they fail, how long they take and what their results cost."""
    start, end = asking.times(since, until)
    scope = asking.scope(org)
    if not calls:
        if name is not None or errors or of is not None:
            raise typer.BadParameter(_ONLY_CALLS, param_hint="--name, --errors, --of")
        found = asking.ask(
            target,
            lambda reader: reader.get_tools(scope, limit=limit, start_date=start, end_date=end, **narrowed),
        )
        listing.show(found, as_json, tables.tools_columns, NOTHING)
        return
    if any(value is not None for field, value in narrowed.items() if field != "conversation_id"):
        raise typer.BadParameter("use --name, --errors, --of and --conversation", param_hint="--calls")
    listed = asking.ask(
        target,
        lambda reader: reader.list_tool_calls(
            scope,
            name=name,
            id=of,
            conversation_id=narrowed.get("conversation_id"),
            is_error=errors or None,
            start_date=start,
            end_date=end,
            limit=limit,
        ),
    )
    listing.show(listed, as_json, tables.tool_calls_columns, NOTHING)


@with_target
@with_filters(Narrowing)
def retries(
    *,
    calls: Annotated[bool, typer.Option("--calls", help="List single calls, newest first.")] = False,
    org: Org = None,
    narrowed: Narrowing,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """Show calls that needed several attempts, and what the failed ones cost in money and time."""
    start, end = asking.times(since, until)
    scope = asking.scope(org)
    if calls:
        listed = asking.ask(
            target,
            lambda reader: reader.list_retried_calls(
                scope, limit=limit, start_date=start, end_date=end, **narrowed
            ),
        )
        listing.show(listed, as_json, tables.retried_calls_columns, NO_RETRIES)
        return
    found = asking.ask(
        target, lambda reader: reader.get_retries(scope, start_date=start, end_date=end, **narrowed)
    )
    listing.show(found, as_json, tables.retries_columns, NO_RETRIES)
