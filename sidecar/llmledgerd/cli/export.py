"""``llmledger export``: stored calls as spans to a receiver of OTLP.

Invariant: a call has the same trace id and span id whenever it is exported, so that the command can be run again.
Memory does not depend on the number of calls: they are read by time of receipt, a page at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from llmledgerd.backoff import Backoff
from llmledgerd.cli.connect import open_reader
from llmledgerd.cli.messages import echo_json
from llmledgerd.cli.progress import Step, steps
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.cli.time_arguments import moment
from llmledgerd.errors import StoreBusy
from llmledgerd.reader import LLMTraceReader
from llmledgerd.records.schema import COLUMNS, TABLE, TRACES, Row
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores import registry
from llmledgerd.stores.base import Destination

HOUR_US: Final = 3_600_000_000
PAGE: Final = 2_000
ATTEMPTS: Final = 5
TIMES: Final = ("created_at", "ingested_at")
NAMES: Final = tuple(
    column.name
    for column in TABLE
    if (column.listed and column.name not in TIMES)
    or column.name in ("source", "span_id", "url", "request_model", "provider_request_id", "batch_row")
)
"""Columns that a span is made of, but its times and its messages."""
PAYLOADS: Final = ("request_json", "response_json")
KEY: Final = "toUnixTimestamp64Micro(ingested_at), toString(batch_id), batch_row"
Place = tuple[int, str, int]


@with_target
def export(
    otlp: Annotated[
        str, typer.Option("--otlp", help="OTLP/HTTP endpoint: `http://host:4318`; `/v1/traces` is appended.")
    ],
    since: Annotated[
        str, typer.Option(help="Start of the time of receipt: 30m, 24h, 7d or 2w ago, or an ISO 8601 date.")
    ],
    until: Annotated[str | None, typer.Option(help="End of the time of receipt, exclusive.")] = None,
    org: Annotated[str | None, typer.Option(help="Restrict to one organization (default: all).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    *,
    target: Target,
) -> None:
    """Export stored calls as spans to a collector of OpenTelemetry. Rows that came in over OTLP are left out.

    Headers and messages are those of the settings `collector.headers_file` and `collector.content`.
    """
    now = datetime.now(UTC)
    start = microseconds(moment(since, now))
    end = microseconds(now if until is None else moment(until, now, "--until"))
    outlet = registry.exporting(target.settings(), otlp)
    afterwards = "what was exported stays; a call that is exported again is the same span"
    with contextlib.closing(outlet), steps("calls", None, afterwards=afterwards) as on_step:
        outlet.version()
        found = asyncio.run(_export(target, outlet.destination, (start, end), org, on_step))
    if as_json:
        echo_json(json_line(found))
    else:
        typer.echo(
            f"{found['exported']:,} calls exported to {outlet.address}, {found['left_out']:,} left out"
        )


async def _export(
    target: Target, destination: Destination, span: tuple[int, int], org: str | None, on_step: Step
) -> dict[str, int]:
    has_content = registry.exports_content(target.settings())
    looked_at = left_out = 0
    async with await open_reader(target) as reader:
        async for page in _pages(reader, span, org, has_content=has_content):
            left_out += len(await asyncio.to_thread(_sent, destination, page, looked_at))
            looked_at += len(page)
            on_step(looked_at)
    return {"exported": looked_at - left_out, "left_out": left_out}


def _sent(destination: Destination, rows: list[Row], number: int) -> set[int]:
    """Send rows, and try again while the receiver is busy; return what is not exported. Raises StoreBusy."""
    backoff = Backoff(first=0.2, cap=10.0)
    block = destination.encode(TRACES, COLUMNS, rows)
    for attempt in range(ATTEMPTS):
        try:
            return destination.insert_blocks(TRACES, COLUMNS, [block], str(number))
        except StoreBusy:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(backoff.failed())
    raise AssertionError


async def _pages(
    reader: LLMTraceReader, span: tuple[int, int], org: str | None, *, has_content: bool
) -> AsyncIterator[list[Row]]:
    """Yield the calls received in a time. Hours without any cost one query together."""
    start, end = span
    condition = "" if org is None else f" AND organization_id = {quoted(org)}"
    while True:
        found = await reader.sql(
            "SELECT toUnixTimestamp64Micro(min(ingested_at)), count() FROM llm_traces"  # noqa: S608 - as below
            f" WHERE {_between(start, end)}{condition}"
        )
        first, count = found.rows[0]
        if not int(count):
            return
        start = min(int(first) + HOUR_US, end)
        hour = f"{_between(int(first), start)}{condition}"
        after: Place | None = None
        while True:
            page, after = await _page(reader, hour, after, has_content=has_content)
            if not page:
                break
            yield page


async def _page(
    reader: LLMTraceReader, condition: str, after: Place | None, *, has_content: bool
) -> tuple[list[Row], Place | None]:
    """Return the next calls and the place of the last one. A page that is too large is read in smaller ones."""
    size = PAGE
    while True:
        payloads = PAYLOADS if has_content and size else ()
        try:
            found = await reader.sql(_statement(condition, after, max(1, size), payloads))
        except ValueError:
            if not has_content or not size:
                raise
            size //= 8  # in the end one call without its messages
            continue
        rows = [dict(zip(found.columns, values, strict=True)) for values in found.rows]
        if not rows:
            return [], after
        last = rows[-1]
        return [_row(row) for row in rows], (int(last["_at"]), str(last["_batch"]), int(last["batch_row"]))


def _statement(condition: str, after: Place | None, size: int, payloads: Sequence[str]) -> str:
    further = "" if after is None else f" AND ({KEY}) > ({after[0]}, {quoted(after[1])}, {after[2]})"
    return (
        f"SELECT {', '.join((*NAMES, *payloads))}, toUnixTimestamp64Micro(created_at) AS _created,"  # noqa: S608 - our own names, values are quoted
        f" toUnixTimestamp64Micro(ingested_at) AS _at, toString(batch_id) AS _batch FROM llm_traces"
        f" WHERE {condition}{further} ORDER BY _at, _batch, batch_row LIMIT {size}"
    )


def _between(start: int, end: int) -> str:
    return (
        f"ingested_at >= fromUnixTimestamp64Micro(toInt64({start}))"
        f" AND ingested_at < fromUnixTimestamp64Micro(toInt64({end}))"
    )


def quoted(text: str) -> str:
    """Return a literal of ClickHouse's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _row(found: dict[str, Any]) -> Row:
    """Return a row as the daemon builds it; columns that no span needs are empty."""
    payloads = {name: str(found.get(name, "")).encode("utf-8", "replace") for name in PAYLOADS}
    values = {**found, **payloads, "created_at": int(found["_created"])}
    return tuple(values.get(name, "") for name in COLUMNS)
