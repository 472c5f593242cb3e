"""``llmledger runs`` and ``llmledger run``: agents' runs, and one run step by step.

Invariant: neither reads a payload, so that their cost does not depend on the size of requests.
"""

from __future__ import annotations

from typing import Annotated

import typer

from llmledgerd.cli import asking, listing, output, run_tables, tables
from llmledgerd.cli.asking import AsJson, Org, Since, Until
from llmledgerd.cli.calls import chosen
from llmledgerd.cli.filter_options import with_filters
from llmledgerd.cli.messages import Nothing, echo, echo_json
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.query.filters import Narrowing
from llmledgerd.query.requests import MAX_LIMIT, MAX_RUNS
from llmledgerd.query.results import RunSteps
from llmledgerd.reader import LLMTraceReader, Scope


@with_target
@with_filters(Narrowing)
def runs(
    *,
    org: Org = None,
    narrowed: Narrowing,
    errors: Annotated[
        bool, typer.Option("--errors", help="Only runs with a failed or cancelled call.")
    ] = False,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_RUNS, help="Maximum number of runs.")] = 20,
    as_json: AsJson = False,
    target: Target,
) -> None:
    """List agents' runs, the one with the latest call first. Filters choose runs that have a matching call."""
    start, end = asking.times(since, until)
    page = asking.ask(
        target,
        lambda reader: reader.list_runs(
            asking.scope(org),
            limit=limit,
            is_error=errors or None,
            start_date=start,
            end_date=end,
            **narrowed,
        ),
    )
    listing.show(page.runs, as_json, run_tables.runs_columns, "no runs found")


@with_target
def run(
    id: Annotated[str, typer.Argument(help="ID of the run or of a conversation, or the beginning of it.")],  # noqa: A002 - the word that users read in the help
    org: Org = None,
    first: Annotated[int, typer.Option(min=1, help="Number of the first step to show.")] = 1,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="Maximum number of steps.")] = 1000,
    since: Since = None,
    until: Until = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with the steps.")] = False,
    *,
    target: Target,
) -> None:
    """Show one run as a tree of its steps: what was new in each, tokens, cost, time."""
    start, end = asking.times(since, until)

    async def ask(reader: LLMTraceReader) -> RunSteps | None:
        scope = asking.scope(org)

        async def get(one: str) -> RunSteps | None:
            return await reader.get_run(scope, one, first=first, limit=limit, start_date=start, end_date=end)

        found = await get(id)
        if found is not None:
            return found
        whole = await _whole_id(reader, scope, id)
        return None if whole is None else await get(whole)

    found = asking.ask(target, ask)
    if found is None:
        raise Nothing(f"there is no run {id}")
    if as_json:
        echo_json(json_line(found))
        return
    console = output.console()
    console.print(run_tables.figures(found.run))
    if found.steps:
        tables.show(console, run_tables.steps_columns(found), styles=run_tables.step_styles(found))
    _say_what_is_left(found)


async def _whole_id(reader: LLMTraceReader, scope: Scope, start: str) -> str | None:
    """Return the id of the one run that begins so. Raises ValueError if several do."""
    page = await reader.list_runs(scope, id_prefix=start, limit=100)
    return chosen(start, {run.id for run in page.runs}, "run")


def _say_what_is_left(found: RunSteps) -> None:
    if found.more and found.steps:
        last = found.steps[-1].number
        echo(
            f"llmledger: steps {found.steps[0].number:,} to {last:,} of {found.run.steps:,}; --first {last + 1}"
            " continues",
            err=True,
        )
