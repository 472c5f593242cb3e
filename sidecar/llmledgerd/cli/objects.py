"""``llmledger objects``: maintenance of the object storage of payloads.

Invariant: nothing is deleted without ``--yes``, and the numbers are printed in both cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from llmledgerd.cli.connect import open_reader
from llmledgerd.cli.messages import echo_json
from llmledgerd.cli.progress import Step, steps
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.errors import ConfigError
from llmledgerd.payloads import wiring
from llmledgerd.payloads.cleaning import Cleaned, pointed_sql
from llmledgerd.payloads.cleaning import clean as find_and_delete

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects

app = typer.Typer(no_args_is_help=True, help="Maintain payloads in object storage.")


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
    async with await open_reader(target) as reader:

        async def pointed(names: Sequence[str]) -> set[str]:
            found = await reader.sql(pointed_sql(names))
            return {str(name) for (name,) in found.rows}

        return await find_and_delete(objects, pointed, before, delete=delete, on_step=on_step)
