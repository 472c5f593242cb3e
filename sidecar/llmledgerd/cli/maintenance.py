"""``llmledger`` commands that change rows: for operators, against the store itself.

Invariant: each command prints the numbers of what it did, and can be run again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from llmledgerd.cli.connect import daemon_status
from llmledgerd.cli.messages import echo_json
from llmledgerd.cli.progress import steps
from llmledgerd.cli.target import ConfigFile, Target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.cli.time_arguments import moment
from llmledgerd.errors import ConfigError, LlmledgerdError
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores import copy as transfer
from llmledgerd.stores import registry


def _known(name: str | None) -> str | None:
    if name is not None and name not in registry.KINDS:
        raise typer.BadParameter(f"{name}: choose from {', '.join(registry.KINDS)}")
    return name


STILL_ON_ITS_WAY_SECONDS = 60
"""Age below which a row may still be in an open segment."""


def copy(
    since: Annotated[
        str, typer.Option(help="Start of the time of receipt: 30m, 24h, 7d or 2w ago, or an ISO 8601 date.")
    ],
    until: Annotated[
        str | None,
        typer.Option(
            help="End of the time of receipt, exclusive (default: before the oldest line the daemon still delivers)."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Store to copy from (default: the first of `stores`).", callback=_known),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Store to copy to (default: the next of `stores`).",
            callback=_known,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    file: ConfigFile = None,
) -> None:
    """Copy calls from one store to another, for example to a store added later.

    The settings of this host have the stores' addresses. Existing calls are left unchanged, so that an
    interrupted copy can be run again.
    """
    settings = registry.load(file)[0]
    now = datetime.now(UTC)
    start = microseconds(moment(since, now))
    source, target = _two_stores(settings.stores, source, target)
    end = (
        microseconds(moment(until, now, "--until"))
        if until
        else asyncio.run(_not_on_their_way(target, now, file))
    )
    give, take = registry.opened(settings, (source, target))
    with contextlib.closing(give), contextlib.closing(take):
        total = give.source.count(start, end)
        with steps(
            "calls", total, afterwards="what was copied stays; run the same command to go on"
        ) as on_step:
            done = transfer.copy(
                give.source, take.destination, start, end, lambda one: on_step(one.looked_at)
            )
    _report_copy(done, source, target, as_json=as_json)


def _two_stores(configured: Sequence[str], source: str | None, target: str | None) -> tuple[str, str]:
    """Return the stores to copy from and to. Raises ConfigError."""
    source = source or configured[0]
    target = target or next((name for name in configured if name != source), None)
    if target is None:
        raise ConfigError("--to is required, because `stores` names no other store")
    if source == target:
        raise ConfigError("--from and --to must be different stores")
    return source, target


def _report_copy(done: transfer.Copied, source: str, target: str, *, as_json: bool) -> None:
    """Print the result. Raises LlmledgerdError for calls that the store refused."""
    if as_json:
        echo_json(json_line({**msgspec.structs.asdict(done), "from": source, "to": target}))
    else:
        typer.echo(
            f"{done.looked_at:,} calls looked at, {done.copied:,} copied from {source} to {target},"
            f" {done.repeated:,} skipped as duplicates"
        )
    if done.refused:
        reasons = "; ".join(f"{count:,} for {reason}" for reason, count in done.refused.items())
        raise LlmledgerdError(f"{sum(done.refused.values()):,} calls were refused by {target}: {reasons}")


async def _not_on_their_way(target: str, now: datetime, file: Path | None) -> int:
    """Return the time before which this host's daemon brings the store nothing more, in microseconds."""
    end = microseconds(now) - STILL_ON_ITS_WAY_SECONDS * 1_000_000
    with contextlib.suppress(LlmledgerdError):  # no daemon here, so nothing is on its way
        for store in (await daemon_status(Target(file=file))).stores:
            if store.name == target and store.waiting_since_us:
                end = min(end, store.waiting_since_us)
    return end
