"""``llmledger demo``: a store of its own, filled with generated calls.

Invariants:
- Generated calls never mix with real ones unasked: without ``--url`` the store is a folder of the
  demo's own, and a store that holds other calls is refused unless ``--among-other-calls`` is given too.
- The rows come from the daemon's code for records, usage and prices, so that repricing them changes
  nothing; all of them are known by their ``source`` and can be removed again.
"""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from llmledger.protocol import Record
from llmledgerd.cli import demo_calls
from llmledgerd.cli.messages import say
from llmledgerd.config import secrets, settings
from llmledgerd.errors import LlmledgerdError
from llmledgerd.records import parsing
from llmledgerd.records.pricing import Pricer
from llmledgerd.records.rows import RowBuilder
from llmledgerd.records.schema import COLUMNS, TRACES, Row
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.rollup import Rollup

BATCH_CALLS: Final = 5_000

_encode = msgspec.json.Encoder().encode
_OURS: Final = "source = {mark:String}"
_PARAMETERS: Final = {"mark": demo_calls.MARK}


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
) -> None:
    """Fill a store of its own with generated calls, or remove them again."""
    address = url or own_store()
    if url is None:
        Path(address.removeprefix("chdb://")).parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(Store(address)) as store:
        if remove:
            say(f"{_removed(store):,} generated calls deleted from {secrets.masked(address)}")
            return
        if store.is_embedded:
            migrations.apply(store, migrations.Layout(ttl_days=settings.Config().ttl_days))
        _refuse_other_calls(store, address, is_accepted=among_other_calls)
        traffic = demo_calls.Traffic(
            calls=calls,
            days=days,
            end_us=demo_calls.ending(datetime.now(UTC)),
            organizations=tuple(org) if org else demo_calls.ORGANIZATIONS,
            seed=seed,
        )
        for done in fill(store, traffic):
            if sys.stderr.isatty():
                say(f"{done:,} of {calls:,} calls", err=True)
    say(f"{calls:,} calls in {secrets.masked(address)}")
    say(f"Look at them:  llmledger usage --by model --url {secrets.masked(address)}")


def own_store() -> str:
    """Return the URL of the demo's own store: a folder below the user's data."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return f"chdb://{Path(base) / 'llmledger' / 'demo'}"


def fill(store: Store, traffic: demo_calls.Traffic) -> Iterator[int]:
    """Insert the calls, a batch at a time; yield how many there are so far. Raises StoreBusy."""
    builder = RowBuilder(Pricer())
    generated = demo_calls.calls(traffic)
    done = 0
    while batch := list(islice(generated, BATCH_CALLS)):
        # Of the seed, so that a second run of the same seed does not double what the first inserted.
        batch_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{demo_calls.MARK}:{traffic}:{done}"))
        rows = [_row(builder, one, batch_id, number) for number, one in enumerate(batch)]
        store.insert(TRACES, COLUMNS, rows, token=batch_id)
        done += len(batch)
        yield done


def _row(builder: RowBuilder, call: tuple[demo_calls.Body, int], batch_id: str, number: int) -> Row:
    body, received_us = call
    line = _encode(body)
    record = parsing.parse(line)
    if not isinstance(record, Record):
        raise TypeError("a generated call is not a record")
    return builder.row(
        record, line=line, service="", received_us=received_us, batch_id=batch_id, batch_row=number
    )


def _refuse_other_calls(store: Store, address: str, *, is_accepted: bool) -> None:
    """Raise LlmledgerdError where the store holds calls that are not generated, unless they are accepted."""
    if not is_accepted and store.query(
        f"SELECT 1 AS found FROM llm_traces WHERE NOT {_OURS} LIMIT 1", _PARAMETERS  # noqa: S608 - a fixed fragment, values are bound
    ):  # fmt: skip
        raise LlmledgerdError(
            f"{secrets.masked(address)} holds other calls, and generated ones would stand among them in usage and cost;"
            " leave out --url for a store of the demo's own, or add --among-other-calls"
        )


def _removed(store: Store) -> int:
    """Delete the generated calls; return how many there were. Raises StoreBusy."""
    if not store.columns(TRACES):
        return 0
    (found,) = store.query(f"SELECT count() AS calls FROM llm_traces WHERE {_OURS}", _PARAMETERS)  # noqa: S608 - as above
    if found["calls"]:
        Rollup(store).doubt_rows("rows_deleted", _OURS, _PARAMETERS)
        place = store.placement(TRACES)
        store.run(f"DELETE FROM {place.changed} WHERE {_OURS}", _PARAMETERS)  # noqa: S608 - as above
    return int(found["calls"])
