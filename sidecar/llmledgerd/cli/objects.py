"""``llmledger objects``: maintenance of the object storage of payloads.

Invariant: nothing is deleted without ``--yes``, and the numbers are printed in both cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from llmledgerd.cli.connect import open_reader
from llmledgerd.errors import ConfigError
from llmledgerd.payloads import wiring
from llmledgerd.payloads.cleaning import Cleaned, pointed_sql
from llmledgerd.payloads.cleaning import clean as find_and_delete
from llmledgerd.stores import registry

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects

app = typer.Typer(no_args_is_help=True, help="Maintain payloads in object storage.")


@app.command()
def clean(
    older_than_days: Annotated[
        float | None,
        typer.Option(min=0, help="Minimum age in days (default: ttl_days).", show_default=False),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete the objects (default: count them only).")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(help="Address of a daemon, or URL of the store with the rows.", show_default=False),
    ] = None,
) -> None:
    """Delete old objects that no row refers to anymore."""
    settings = registry.load()[0]
    objects = wiring.objects(settings)
    if objects is None:
        raise ConfigError("payload_store is not set (LLMLEDGER_PAYLOAD_STORE)")
    days = settings.ttl_days if older_than_days is None else older_than_days
    if older_than_days is None and not days:
        raise ConfigError("--older-than-days is required because rows are kept forever (ttl_days is 0)")
    before = datetime.now(UTC) - timedelta(days=days)
    done = asyncio.run(_clean(objects, url, before, delete=yes))
    typer.echo(
        f"{'deleted' if yes else 'would delete'} {done.objects:,} objects of {done.object_bytes:,} bytes"
        f" and {done.files:,} files of {done.file_bytes:,} bytes; {done.kept:,} old ones still have rows"
    )
    if not yes and (done.objects or done.files):
        typer.echo("run with --yes to delete them")


async def _clean(objects: Objects, url: str | None, before: datetime, *, delete: bool) -> Cleaned:
    async with await open_reader(url) as reader:

        async def pointed(names: Sequence[str]) -> set[str]:
            found = await reader.sql(pointed_sql(names))
            return {str(name) for (name,) in found.rows}

        return await find_and_delete(objects, pointed, before, delete=delete)
