"""``llmledger sql``: one read-only SELECT."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llmledgerd.cli import asking, listing, output, tables
from llmledgerd.cli.asking import AsJson
from llmledgerd.cli.messages import echo
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line


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
