"""``llmledger objects``: maintenance of the object storage of payloads.

Invariant: nothing is deleted without ``--yes``, nor while rows wait whose objects may be stored, nor while
any store has a row that refers to it. The numbers are printed in both cases.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from llmledgerd.cli.connect import daemon_status, find_daemon, open_reader
from llmledgerd.cli.messages import echo_json
from llmledgerd.cli.progress import Step, steps
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError, LlmledgerdError
from llmledgerd.payloads import wiring
from llmledgerd.payloads.cleaning import Cleaned, Pointed, pointed_sql
from llmledgerd.payloads.cleaning import clean as find_and_delete
from llmledgerd.stores import registry

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects

BEHIND_SECONDS: Final = 60.0
"""Age of a line that waits, above which its object may be stored without its row."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Maintain payloads in object storage.")


@app.command()
@with_target
def clean(
    older_than_days: Annotated[
        float | None,
        typer.Option(min=0, help="Minimum age in days (default: ttl_days).", show_default=False),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete the objects (default: count them only).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    *,
    target: Target,
) -> None:
    """Delete old objects that no row refers to anymore."""
    settings = target.settings()
    objects = wiring.objects(settings)
    if objects is None:
        raise ConfigError("payload_store is not set (LLMLEDGER_PAYLOAD_STORE)")
    days = settings.ttl_days if older_than_days is None else older_than_days
    if older_than_days is None and not days:
        raise ConfigError("--older-than-days is required because rows are kept forever (ttl_days is 0)")
    before = datetime.now(UTC) - timedelta(days=days)
    afterwards = "objects that were deleted stay deleted; run it again to go on"
    with steps("objects", None, afterwards=afterwards) as on_step:
        done = asyncio.run(_clean(objects, target, before, on_step, delete=yes))
    if as_json:
        echo_json(json_line({**msgspec.structs.asdict(done), "deleted": yes}))
        return
    typer.echo(
        f"{'deleted' if yes else 'would delete'} {done.objects:,} objects of {done.object_bytes:,} bytes"
        f" and {done.files:,} files of {done.file_bytes:,} bytes; {done.kept:,} old ones still have rows"
    )
    if not yes and (done.objects or done.files):
        typer.echo("run with --yes to delete them")


async def _clean(
    objects: Objects, target: Target, before: datetime, on_step: Step, *, delete: bool
) -> Cleaned:
    await _refuse_while_rows_wait(target)
    async with contextlib.AsyncExitStack() as opened:
        stores = [await _asked(opened, *one) for one in await _stores(target)]

        async def pointed(names: Sequence[str]) -> set[str]:
            return set().union(*[await ask(names) for ask in stores])

        return await find_and_delete(objects, pointed, before, delete=delete, on_step=on_step)


async def _refuse_while_rows_wait(target: Target) -> None:
    """Raise LlmledgerdError while objects may be stored whose rows are not."""
    try:
        asked = target if target.url is None or await _is_daemon(target) else Target(file=target.file)
        stores = (await daemon_status(asked)).stores
    except LlmledgerdError:  # no daemon here; the last segment is open, and nothing was uploaded of it
        settings = target.settings(with_password=False)
        if await asyncio.to_thread(_segments, settings) > 1:
            raise LlmledgerdError(
                f"{settings.spool_dir}: records wait whose objects may be stored; start the daemon first"
            ) from None
        return
    for store in stores:
        if store.in_spool and (store.trouble or store.lag_seconds > BEHIND_SECONDS):
            raise LlmledgerdError(
                f"{store.in_spool:,} lines wait for {store.name}, and their objects may be stored:"
                " run this again once they are stored"
            )


def _segments(settings: Config) -> int:
    return len(list(Path(settings.spool_dir).glob("*.seg")))


async def _is_daemon(target: Target) -> bool:
    return not (await find_daemon(target))[1]


async def _stores(target: Target) -> list[tuple[Config, str, Target]]:
    """Return settings and names of the stores with rows, and where each one is asked."""
    settings = target.settings()
    names: Sequence[str] = settings.stores
    if target.url is not None and await _is_daemon(target):
        names = [store.name for store in (await daemon_status(target)).stores]
    elif target.url is not None:
        kind = registry.kind_of(target.url).name
        names = (kind, *(name for name in names if name != kind)) if kind in names else (kind,)
        settings = registry.pointed_at(settings, target.url)
    further = [
        (settings, name, Target(registry.KINDS[name].options(settings).url, file=target.file))
        for name in names[1:]
    ]
    return [(settings, names[0], target), *further]


async def _asked(opened: contextlib.AsyncExitStack, settings: Config, name: str, target: Target) -> Pointed:
    """Return the question which names the rows of a store have."""
    store = opened.enter_context(contextlib.closing(registry.opened(settings, (name,))[0]))
    if (ask := store.pointed) is not None:

        async def by_store(names: Sequence[str]) -> set[str]:
            return await asyncio.to_thread(ask, names)

        return by_store
    reader = await opened.enter_async_context(await open_reader(target))

    async def by_sql(names: Sequence[str]) -> set[str]:
        return {str(name) for (name,) in (await reader.sql(pointed_sql(names))).rows}

    return by_sql
