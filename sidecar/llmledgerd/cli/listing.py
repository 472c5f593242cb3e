"""Lists of calls on standard output, as tables or as JSON.

Invariant: an empty list is ``Nothing``, with and without ``--json``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from llmledgerd.cli import output, tables
from llmledgerd.cli.fitting import Column
from llmledgerd.cli.messages import Nothing, echo
from llmledgerd.cli.tail import follow as follow_calls
from llmledgerd.cli.text_cells import json_line
from llmledgerd.query.filters import CallsNarrowing
from llmledgerd.query.results import Call
from llmledgerd.reader import LLMTraceReader, Scope

T = TypeVar("T")


async def follow(
    reader: LLMTraceReader,
    scope: Scope,
    known: list[Call],
    is_error: bool | None,
    narrowed: CallsNarrowing,
    as_json: bool,
) -> None:
    """Print calls as they arrive, for ever."""
    async for calls in follow_calls(reader, scope, known, is_error=is_error, narrowed=narrowed):
        print_calls(calls, as_json, header=False)


def show(
    found: list[T],
    as_json: bool,
    columns: Callable[[list[T]], list[Column]],
    nothing: str = "no calls found",
    styles: Sequence[str] = (),
) -> None:
    """Print a list. Raises Nothing, which says ``nothing``, if it is empty."""
    if not found:
        raise Nothing(nothing)
    if as_json:
        lines(map(json_line, found))
    else:
        tables.show(output.console(), columns(found), styles=styles)


def print_calls(calls: list[Call], as_json: bool, *, header: bool = True) -> None:
    """Print a batch of calls, and flush it, because a pipe may be followed."""
    if as_json:
        lines(map(json_line, calls))
    else:
        columns, styles = tables.calls_columns(calls), tables.call_styles(calls)
        tables.show(output.console(), columns, header=header, styles=styles)
    sys.stdout.flush()


def lines(found: Iterable[str]) -> None:
    """Print lines."""
    for line in found:
        echo(line)
