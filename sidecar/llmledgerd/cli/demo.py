"""``llmledger demo``: a store of its own, filled with generated calls.

Invariants:
- Generated calls never mix with real ones unasked: without ``--url`` the store is a folder of the
  demo's own, and a store that holds other calls is refused unless ``--among-other-calls`` is given too.
- The rows come from the daemon's code for records, usage and prices, so that repricing them changes
  nothing; all of them are known by their ``source`` and can be removed again.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from llmledger.protocol import Record
from llmledgerd.cli import demo_calls, demo_formats
from llmledgerd.cli.messages import echo, echo_json
from llmledgerd.cli.progress import steps
from llmledgerd.cli.text_cells import json_line
from llmledgerd.config import secrets
from llmledgerd.errors import LlmledgerdError
from llmledgerd.records import parsing
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import Row
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores import registry
from llmledgerd.stores.kind import MarkedRows

BATCH_CALLS: Final = 5_000

_encode = msgspec.json.Encoder().encode


def demo(
    calls: Annotated[int, typer.Option("--calls", min=1, help="Number of calls.")] = 20_000,
    days: Annotated[
        float, typer.Option(min=0.01, help="Number of days up to now to spread them over.")
    ] = 30.0,
    org: Annotated[
        list[str] | None,
        typer.Option(help="Organization of the calls; may be repeated, the first gets the most."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random generator.")] = 1,
    url: Annotated[
        str | None, typer.Option(help="URL of the store (default: a folder of the demo's own).")
    ] = None,
    among_other_calls: Annotated[
        bool, typer.Option("--among-other-calls", help="Accept a store that holds other calls.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Delete the generated calls instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fill a store of its own with generated calls, or remove them again."""
    address = url or own_store()
    if url is None:
        Path(address.removeprefix("chdb://")).parent.mkdir(parents=True, exist_ok=True)
    config, shown = registry.load()[0], secrets.masked(address)
    with registry.kind_of(address).marked_rows(address, demo_calls.MARK, config) as generated:
        if remove:
            _delete(generated, shown, as_json)
            return
        if not among_other_calls:
            _refuse_other_calls(generated, shown)
        traffic = demo_calls.Traffic(
            calls=calls,
            days=days,
            end_us=microseconds(datetime.now(UTC)),
            organizations=tuple(org) if org else demo_calls.ORGANIZATIONS,
            seed=seed,
        )
        with steps(
            "calls",
            calls,
            afterwards=f"what was written stays; `llmledger demo --remove --url {shown}` deletes it",
        ) as on_step:
            for done in fill(generated, traffic):
                on_step(done)
    advice = f"Look at them:  llmledger usage --by model --url {shown}"
    _print(as_json, {"store": shown, "calls": calls}, f"{calls:,} calls in {shown}\n{advice}")


def _delete(generated: MarkedRows, shown: str, as_json: bool) -> None:
    deleted = generated.delete()
    text = f"{deleted:,} generated calls deleted from {shown}"
    _print(as_json, {"store": shown, "deleted": deleted}, text)


def _refuse_other_calls(generated: MarkedRows, shown: str) -> None:
    if not generated.are_alone():
        raise LlmledgerdError(
            f"{shown} holds other calls, and generated ones would stand among them in usage and cost;"
            " leave out --url for a store of the demo's own, or add --among-other-calls"
        )


def _print(as_json: bool, found: dict[str, object], text: str) -> None:
    if as_json:
        echo_json(json_line(found))
    else:
        echo(text)


def own_store() -> str:
    """Return the URL of the demo's own store: a folder below the user's data."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return f"chdb://{Path(base) / 'llmledger' / 'demo'}"


def fill(store: MarkedRows, traffic: demo_calls.Traffic) -> Iterator[int]:
    """Insert the calls, a batch at a time; yield how many there are so far. Raises StoreBusy."""
    builder = RowBuilder(Pricer())
    generated = demo_calls.calls(traffic)
    done = 0
    while batch := list(islice(generated, BATCH_CALLS)):
        # Of the seed, so that a second run of the same seed does not double what the first inserted.
        batch_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{demo_calls.MARK}:{traffic}:{done}"))
        store.insert([_row(builder, one, batch_id, number) for number, one in enumerate(batch)], batch_id)
        done += len(batch)
        yield done


def _row(builder: RowBuilder, call: tuple[demo_formats.Body, int], batch_id: str, number: int) -> Row:
    body, received_us = call
    line = _encode(body)
    record = parsing.parse(line)
    if not isinstance(record, Record):
        raise TypeError("a generated call is not a record")
    return builder.row(
        record, line=line, service="", received_us=received_us, batch_id=batch_id, batch_row=number
    )
