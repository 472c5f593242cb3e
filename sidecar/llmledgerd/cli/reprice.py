"""``llmledger reprice``: recomputation of costs, for operators.

Invariant: what was done, or would be done, is said in numbers by model; run again, the command changes
nothing more.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import uuid
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from llmledgerd.admin.changes import Repricer
from llmledgerd.admin.erasing import SECONDS
from llmledgerd.cli import output, tables
from llmledgerd.cli.connect import daemon_at, find_daemon
from llmledgerd.cli.erase import is_held
from llmledgerd.cli.messages import echo, echo_json
from llmledgerd.cli.progress import Interrupted
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.daemon import price_files
from llmledgerd.errors import ConfigError
from llmledgerd.query.repricing import Reprice, Repriced
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores import registry

DAY_US = 86_400_000_000


@with_target
def reprice(
    start: Annotated[datetime, typer.Option("--from", help="Start of the time range, UTC.")],
    end: Annotated[datetime, typer.Option("--to", help="End of the time range, exclusive, UTC.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change by model, and change nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    *,
    target: Target,
) -> None:
    """Recompute the cost of stored calls after prices have changed.

    Costs that a provider reported stay, and so do rows whose amounts are the same by the new prices.
    An interrupted run is repeated. The usage of the hours touched is read from the rows until a daemon
    has rebuilt their rollup.
    """
    wanted = Reprice(from_us=microseconds(start), to_us=microseconds(end), dry_run=dry_run)
    if wanted.from_us > wanted.to_us:
        raise ConfigError("--to is before --from")
    try:
        done = _run(target, wanted)
    except KeyboardInterrupt:
        raise Interrupted("what was changed stays; run the same command to go on") from None
    if as_json:
        echo_json(json_line(done))
        return
    if done.models:
        models = sorted(done.models, key=lambda one: -abs(one.new_usd - one.old_usd))
        tables.show(output.console(), tables.changes_columns(models))
    verb = "would change" if dry_run else "changed"
    echo(
        f"{done.looked_at:,} calls looked at, {done.changed:,} costs {verb},"
        f" {done.unpriced:,} without a cost as before"
        + (f", {done.erased:,} keep their cost, since their usage was erased in part" if done.erased else "")
        + ("" if dry_run or not done.changed else f"; recorded in llm_price_changes as run {done.run}")
    )


def _run(target: Target, wanted: Reprice) -> Repriced:
    """Have it done by the daemon where it alone can open the store, else in this process."""
    settings = target.settings(with_password=False)
    address, away = asyncio.run(find_daemon(target)) if target.url is not None else ("", "")
    if target.url is not None and not away:
        return _by_daemon(address, target.token, wanted)
    if target.url is None and is_held(settings, target):
        return _by_daemon(settings.admin_address, target.token, wanted)
    settings = target.settings()
    if target.url is not None:
        settings = registry.pointed_at(settings, target.url)
    return Repricer(settings, price_files.pricer(settings)).reprice(wanted, _user(), _say_progress)


def _by_daemon(address: str, token: str, wanted: Reprice) -> Repriced:
    """Ask for a day at a time, so that no request takes long and each says how far it is."""

    async def asked() -> Repriced:
        done = Repriced(run=str(uuid.uuid4()))
        daemon = daemon_at(address, token, SECONDS)
        try:
            for since in range(wanted.from_us, wanted.to_us, DAY_US):
                day = msgspec.structs.replace(
                    wanted, from_us=since, to_us=min(since + DAY_US, wanted.to_us), run=done.run
                )
                found = await daemon.reprice(day)
                done.add_all(found)
                if found.total:
                    upto = datetime.fromtimestamp(day.to_us / 1e6, UTC)
                    echo(f"{upto:%Y-%m-%d %H:%M}: {_progress(done)}", err=True)
        finally:
            await daemon.close()
        return done

    return asyncio.run(asked())


def _say_progress(done: Repriced) -> None:
    echo(f"{_progress(done)} of {done.total:,}", err=True)


def _progress(done: Repriced) -> str:
    old, new = sum(one.old_usd for one in done.models), sum(one.new_usd for one in done.models)
    return f"{done.changed:,} changed (${old:,.2f} to ${new:,.2f}), {done.looked_at:,} looked at"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid without a name, as in containers
        return f"uid {os.getuid()}"
