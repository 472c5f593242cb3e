"""``llmledger usage``: sums of calls, tokens and cost."""

from __future__ import annotations

from typing import Annotated

import typer

from llmledgerd.cli import asking, listing, output, tables
from llmledgerd.cli.asking import AsJson, Org, Since, Until
from llmledgerd.cli.calls import in_time_order
from llmledgerd.cli.filter_options import with_filters
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.query.filters import Narrowing
from llmledgerd.query.requests import GROUPS


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
