"""``llmtrace erase``: payloads or rows of somebody, for operators.

Invariant: nothing is erased before it was counted, shown and agreed to; the numbers at the end are
of what is gone; and a second time finds nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from llmtraced import config, dead_letters
from llmtraced.erasure import Eraser, Erasure, Extent, concerns
from llmtraced.errors import LlmtracedError
from llmtraced.finding import daemon_at, daemon_status
from llmtraced.payloads import wiring
from llmtraced.remote import is_daemon
from llmtraced.store import Store

ERASING_SECONDS = 3600.0
"""How long a daemon may take: parts are rewritten."""

Ask = Callable[[Erasure, bool], Extent]
"""Answers how much there is, or was once it is erased: the flag says which."""


def erase(
    org: Annotated[str, typer.Option(help="Whose calls.")],
    customer: Annotated[
        str | None, typer.Option(help="Only those billed to this customer.", show_default=False)
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only those of this user.", show_default=False)] = None,
    before: Annotated[
        datetime | None, typer.Option(help="Only those that started before, UTC.", show_default=False)
    ] = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="The rows too, and their usage; else the payloads alone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    spool_dir: Annotated[
        Path | None, typer.Option(help="Where dead letters lie; else LLMTRACE_SPOOL_DIR.", show_default=False)
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="A ClickHouse URL or a daemon's address; else LLMTRACE_CLICKHOUSE_URL.", show_default=False
        ),
    ] = None,
) -> None:
    """Erase the payloads of stored calls, or the calls, from table, usage, objects and this host's dead letters."""
    wanted = Erasure(
        organization_id=org, customer_id=customer, user_id=user, before_us=_microseconds(before), rows=rows
    )
    folder = spool_dir or Path(config.load(with_password=False)[0].spool_dir)
    letters = {letter.id for letter in dead_letters.read(folder) if concerns(wanted, letter)}
    ask = _asked_of(url)
    found = ask(wanted, False)
    if found.calls or letters:
        what = "calls and their usage" if rows else "the payloads of calls, whose numbers stay"
        typer.echo(f"{_told(found, len(letters))} of {org}: {what}")
        if not yes and not typer.confirm("Erase for ever?"):
            raise LlmtracedError("nothing was erased")
        found = ask(wanted, True)
    elif rows:
        ask(wanted, True)  # sums of calls whose rows have expired are nobody's rows
    gone = dead_letters.remove(folder, letters)
    typer.echo(f"erased: {_told(found, gone)}")
    _say_what_stays()
    _say_what_waits()


def _told(found: Extent, letters: int) -> str:
    of_calls = f"{_many(found.calls, 'call')} in {_many(found.hours, 'hour')}"
    return f"{of_calls}, {_many(found.objects, 'object')}, {_many(letters, 'dead letter')}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _asked_of(url: str | None) -> Ask:
    """Return who erases: the daemon where it alone can open the store, else the store itself."""
    settings = config.load(with_password=False)[0]
    if url is not None and is_daemon(url):
        return lambda wanted, do: _by_daemon(url, wanted, do)
    if url is None and _is_held(settings.clickhouse_url, settings.admin_address):
        return lambda wanted, do: _by_daemon(settings.admin_address, wanted, do)
    store_url = url or config.load()[0].clickhouse_url
    return lambda wanted, do: _by_store(store_url, wanted, do)


def _is_held(store_url: str, address: str) -> bool:
    """Whether a daemon has the embedded store open."""
    with contextlib.closing(Store(store_url)) as store:
        return store.is_embedded and asyncio.run(_answers(address))


async def _answers(address: str) -> bool:
    try:
        await daemon_status(address)
    except LlmtracedError:
        return False
    return True


def _by_store(url: str, wanted: Erasure, do: bool) -> Extent:
    with contextlib.closing(Store(url, timeout_seconds=ERASING_SECONDS)) as store:
        eraser = Eraser(store, wiring.erasable(wiring.objects(config.load()[0])))
        return eraser.erase(wanted) if do else eraser.extent(wanted)


def _by_daemon(address: str, wanted: Erasure, do: bool) -> Extent:
    async def asked() -> Extent:
        daemon = daemon_at(address, ERASING_SECONDS)
        try:
            return await daemon.erase(wanted, only_count=not do)
        finally:
            await daemon.close()

    return asyncio.run(asked())


def _say_what_stays() -> None:
    if "postgres" in config.load()[0].stores:
        typer.echo("PostgreSQL has calls as well, and none of them was erased: docs/erasure.md", err=True)


def _say_what_waits() -> None:
    try:
        waiting = asyncio.run(daemon_status(None)).in_spool
    except LlmtracedError:
        return
    if waiting:
        typer.echo(
            f"{waiting:,} lines wait in the spool, whosever they are: run this again when they have landed"
        )


def _microseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000_000)
