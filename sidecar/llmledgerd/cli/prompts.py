"""``llmledger cache`` and ``llmledger anatomy``: what was not read from caches, and what prompts consist of."""

from __future__ import annotations

from typing import Annotated

import typer

from llmledgerd.cli import asking, listing, output, prompt_tables, tables
from llmledgerd.cli.asking import AsJson, Org, Since, Until
from llmledgerd.cli.filter_options import with_filters
from llmledgerd.cli.target import Target, with_target
from llmledgerd.query.filters import Narrowing
from llmledgerd.query.requests import ANATOMY_GROUPS, MAX_LIMIT

NO_MISSES = "no cache misses found"
SHOWN = 20
"""Rows of a table where no limit is given; JSON has all."""

Most = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, max=MAX_LIMIT, help=f"Maximum number of rows (default: {SHOWN}; JSON: all)."
    ),
]


@with_target
@with_filters(Narrowing)
def cache(
    *,
    org: Org = None,
    narrowed: Narrowing,
    calls: Annotated[
        bool, typer.Option("--calls", help="List single calls, with the place where prompts differ.")
    ] = False,
    since: Since = None,
    until: Until = None,
    limit: Most = None,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """Show what calls did not read from the providers' caches, and why, by agent, model and cause, dearest first."""
    start, end = asking.times(since, until)
    most = limit or (MAX_LIMIT if as_json else SHOWN)
    whose = asking.scope(org)
    if calls:
        found = asking.ask(
            target,
            lambda reader: reader.list_cache_misses(
                whose, limit=most, start_date=start, end_date=end, **narrowed
            ),
        )
        listing.show(found, as_json, prompt_tables.cache_calls_columns, NO_MISSES)
        return
    sums = asking.ask(
        target,
        lambda reader: reader.get_cache_misses(whose, limit=most, start_date=start, end_date=end, **narrowed),
    )
    listing.show(sums, as_json, prompt_tables.cache_columns, NO_MISSES)


@with_target
@with_filters(Narrowing)
def anatomy(
    id: Annotated[str | None, typer.Argument(help="ID of one call (default: all calls).")] = None,  # noqa: A002 - the word that users read in the help
    *,
    by: Annotated[
        list[str] | None, typer.Option(help=f"Group by any of: {', '.join(ANATOMY_GROUPS)}.")
    ] = None,
    org: Org = None,
    narrowed: Narrowing,
    tools: Annotated[
        bool, typer.Option("--tools", help="Show each tool's schema and each MCP server.")
    ] = False,
    since: Since = None,
    until: Until = None,
    limit: Most = None,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """Show what the tokens of prompts are: system prompt, tools, history, tools' results, files, the new message."""
    start, end = asking.times(since, until)
    group_by = [name for given in by or (["call"] if id else ["agent"]) for name in given.split(",")]
    unknown = [name for name in group_by if name not in ANATOMY_GROUPS]
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: choose from {', '.join(ANATOMY_GROUPS)}", param_hint="--by"
        )
    found = asking.ask(
        target,
        lambda reader: reader.get_anatomy(
            asking.scope(org),
            group_by=group_by,
            id=id,
            limit=limit or (MAX_LIMIT if as_json else SHOWN),
            start_date=start,
            end_date=end,
            **narrowed,
        ),
    )
    listing.show(found, as_json, lambda some: prompt_tables.anatomy_columns(some, group_by))
    if tools and not as_json:
        tables.show(output.console(), prompt_tables.tools_columns(found, group_by))
