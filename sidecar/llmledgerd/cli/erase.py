"""``llmledger erase``: erasure of payloads or rows, for operators.

Invariant: nothing is erased before it was counted, shown and confirmed; the final numbers are those of
the erased data; a second run finds nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from llmledgerd.admin.erasing import SECONDS, Everywhere
from llmledgerd.cli.connect import daemon_at, daemon_status, find_daemon
from llmledgerd.cli.messages import echo, echo_json
from llmledgerd.cli.progress import steps
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import json_line
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError, LlmledgerdError
from llmledgerd.query.erasure import Erased, Erasure
from llmledgerd.records.timestamps import microseconds
from llmledgerd.stores import registry

REPORTED: Final = (
    "calls", "hours", "objects", "further_calls", "dead_letters", "quarantined_lines", "away", "unread",
)  # fmt: skip
"""Fields of the JSON."""

Ask = Callable[[Erasure, str | None], Erased]
"""Count the data and return a code; with that code, erase it."""


@with_target
def erase(
    org: Annotated[str, typer.Option(help="Organization; all of its calls without --customer and --user.")],
    customer: Annotated[
        str | None, typer.Option(help="Only calls billed to this customer.", show_default=False)
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only calls of this user.", show_default=False)] = None,
    before: Annotated[
        datetime | None,
        typer.Option(help="Only calls that started before this time, UTC.", show_default=False),
    ] = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="Erase whole rows and their usage (default: payloads only).")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    spool_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the spool with the dead letters (default: LLMLEDGER_SPOOL_DIR).",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON object with what was erased; without --yes, nothing is asked or erased."
        ),
    ] = False,
    *,
    target: Target,
) -> None:
    """Erase payloads of calls, or whole calls, from stores, object storage and files on this host."""
    for name, value in (("--customer", customer), ("--user", user)):
        if value == "":  # an empty shell variable would select no organization's calls
            raise ConfigError(f"{name} is empty")
    wanted = Erasure(
        organization_id=org, customer_id=customer, user_id=user, before_us=microseconds(before), rows=rows
    )
    if as_json and not yes:
        raise ConfigError("--json asks nothing; use it with --yes")
    ask = _asked_of(target, spool_dir)
    found = _erased(ask, wanted, is_confirmed=yes, is_quiet=as_json)
    if as_json:
        echo_json(json_line({name: getattr(found, name) for name in REPORTED}))
    else:
        echo(f"erased: {_summary(found)}")
        _report_waiting(target)
    _report_what_stays(found)


def _report_what_stays(found: Erased) -> None:
    """Name what could not be erased. Raises LlmledgerdError for stores that are unavailable."""
    for stays in found.unread:
        echo(f"unreadable, not erased: {stays}", err=True)
    if found.away:
        raise LlmledgerdError(
            f"unavailable, not erased yet: {', '.join(found.away)};"
            " a daemon with this spool erases there when they are back, else run this again"
        )


def _erased(ask: Ask, wanted: Erasure, *, is_confirmed: bool, is_quiet: bool) -> Erased:
    """Count, have it confirmed, and erase."""
    found = ask(wanted, None)
    # What waits in the spool is counted nowhere, and with rows, sums of expired calls may be left.
    if not found.is_nothing or found.away:
        what = "calls and their usage" if wanted.rows else "payloads only; the calls' usage stays"
        if not is_quiet:
            echo(f"{_summary(found)} of {_subject(wanted)}: {what}")
        if not is_confirmed and not typer.confirm("Erase irrevocably?"):
            raise LlmledgerdError("nothing was erased")
    afterwards = "what is erased stays erased; run the same command to erase the rest"
    with steps(
        f"erasing {_plural(found.calls + sum(found.further_calls.values()), 'call')}",
        None,
        afterwards=afterwards,
    ):
        return ask(wanted, found.confirmation)


def _subject(wanted: Erasure) -> str:
    parts = [f"user {wanted.user_id}"] if wanted.user_id is not None else []
    parts += [f"customer {wanted.customer_id}"] if wanted.customer_id is not None else []
    return (
        f"{' of '.join(parts)} of {wanted.organization_id}"
        if parts
        else f"{wanted.organization_id} (whole organization)"
    )


def _summary(found: Erased) -> str:
    parts = [
        f"{_plural(found.calls, 'call')} in {_plural(found.hours, 'hour')}",
        _plural(found.objects, "object"),
        _plural(found.dead_letters, "dead letter"),
    ]
    parts += [
        f"{_plural(calls, 'call')} in {registry.KINDS[store].title if store in registry.KINDS else store}"
        for store, calls in found.further_calls.items()
        if calls
    ]
    parts += [f"{_plural(found.quarantined_lines, 'line')} in quarantine"] if found.quarantined_lines else []
    return ", ".join(parts)


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _asked_of(target: Target, spool_dir: Path | None) -> Ask:
    """Return who erases: the daemon where it alone can open the store, else this process."""
    settings = target.settings(with_password=False)
    address, away = asyncio.run(find_daemon(target)) if target.url is not None else ("", "")
    if target.url is not None and not away:
        return lambda wanted, code: _by_daemon(address, target.token, wanted, code)
    if target.url is None and is_held(settings, target):
        return lambda wanted, code: _by_daemon(settings.admin_address, target.token, wanted, code)
    settings = target.settings()
    if target.url is not None:
        settings = registry.pointed_at(settings, target.url)
    return _Here(Everywhere(settings, spool_dir))


class _Here:
    """Erasure in this process, of data received before the count."""

    def __init__(self, everywhere: Everywhere) -> None:
        self._everywhere = everywhere
        self._until_us = time.time_ns() // 1000

    def __call__(self, wanted: Erasure, code: str | None) -> Erased:
        erasure = msgspec.structs.replace(wanted, until_us=self._until_us)
        if code is None:
            return self._everywhere.count(erasure)
        return self._everywhere.erase(erasure, f"uid {os.getuid()} pid {os.getpid()}")


def is_held(settings: Config, target: Target) -> bool:
    """Return whether a daemon has an embedded store of the settings open."""
    with contextlib.ExitStack() as opened:
        outlets = [opened.enter_context(contextlib.closing(one)) for one in registry.opened(settings)]
        return any(one.is_ours for one in outlets) and not asyncio.run(find_daemon(target))[1]


def _by_daemon(address: str, token: str, wanted: Erasure, code: str | None) -> Erased:
    async def asked() -> Erased:
        daemon = daemon_at(address, token, SECONDS)
        try:
            return await daemon.erase(wanted, code)
        finally:
            await daemon.close()

    return asyncio.run(asked())


def _report_waiting(target: Target) -> None:
    try:
        stores = asyncio.run(daemon_status(Target(file=target.file))).stores
    except LlmledgerdError:
        return
    waiting = [f"{store.in_spool:,} lines for {store.name}" for store in stores if store.in_spool]
    if waiting:
        echo(
            f"in the spool wait {', '.join(waiting)};"
            " matching ones will be stored without the erased data, or not at all"
        )
