"""``llmledger doctor``: from the application's socket to the store, each part with its next step.

Invariant: nothing is changed and nothing is sent; a part that cannot be looked at is a finding, not an error.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

import llmledger
import llmledgerd
from llmledger import environment, peer
from llmledger.protocol import DEFAULT_SOCKET
from llmledgerd.cli.connect import daemon_status, find_daemon, open_reader
from llmledgerd.cli.messages import echo, echo_json
from llmledgerd.cli.target import Target, with_target
from llmledgerd.cli.text_cells import cell, json_line
from llmledgerd.config.secrets import masked
from llmledgerd.config.settings import Config
from llmledgerd.errors import LlmledgerdError
from llmledgerd.reader import ALL_ORGANIZATIONS
from llmledgerd.stores import registry
from llmledgerd.system.permissions import denied
from llmledgerd.telemetry.status import Status

CLOCK_SECONDS = 5.0
"""Difference of clocks above which times of calls are misleading."""

FULL_SHARE = 0.8


class Finding(msgspec.Struct, frozen=True):
    """What was found of one part."""

    part: str
    state: Literal["ok", "warn", "fail"]
    says: str
    next_step: str = ""


@with_target
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    *,
    target: Target,
) -> None:
    """Check client, socket, permissions, daemon, store, clock and disk; exit code 1 if one of them fails."""
    found = list(_findings(target))
    for finding in found:
        if as_json:
            echo_json(json_line(finding))
        else:
            further = f"; {finding.next_step}" if finding.next_step else ""
            echo(f"{finding.state:5} {finding.part:9} {cell(finding.says)}{cell(further)}")
    if any(finding.state == "fail" for finding in found):
        raise typer.Exit(1)


def _findings(target: Target) -> Iterator[Finding]:
    yield versions(llmledger.__version__, llmledgerd.__version__)
    try:
        config = target.settings(with_password=False)
    except LlmledgerdError as error:
        yield Finding("settings", "fail", str(error), "correct it; `llmledgerd check` tests all settings")
        return
    yield client(
        os.environ.get("LLMLEDGER_SOCKET"), config.socket_path, is_disabled=environment.is_disabled()
    )
    path = os.environ.get("LLMLEDGER_SOCKET") or config.socket_path
    yield _socket(path)
    yield _group(path)
    daemon, status = _daemon(target)
    yield daemon
    if status is not None:
        yield from stores(status)
    else:
        yield _store(target)
    yield _clock(target)
    yield disk(config, status, _free_bytes(config.spool_dir))


def versions(of_client: str, of_daemon: str) -> Finding:
    """Judge the installed versions, which belong together."""
    says = f"llmledger {of_client}, llmledgerd {of_daemon}, Python {platform.python_version()}"
    if of_client == of_daemon:
        return Finding("versions", "ok", says)
    return Finding("versions", "warn", says, "install the same version of both")


def client(named: str | None, configured: str, *, is_disabled: bool) -> Finding:
    """Judge where applications with this environment send their records."""
    if is_disabled:
        return Finding("client", "warn", "LLMLEDGER_DISABLED is set, or this system has no Unix sockets: nothing is recorded", "unset it")  # fmt: skip
    path = named or DEFAULT_SOCKET
    says = f"applications send to {path} ({'LLMLEDGER_SOCKET' if named else 'the default'})"
    if path == configured:
        return Finding("client", "ok", says)
    return Finding(
        "client",
        "warn",
        f"{says}, and the daemon's settings say {configured}",
        f"set LLMLEDGER_SOCKET={configured} for the application",
    )


def _socket(path: str) -> Finding:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(5.0)
    start = "start the daemon (`llmledgerd serve`), or set LLMLEDGER_SOCKET to its socket"
    try:
        connected.connect(path)
        peer.check(connected, path, environment.daemon_uids())
    except PermissionError:
        return Finding("socket", "fail", denied(path))
    except FileNotFoundError:
        return Finding("socket", "fail", f"there is no socket at {path}", start)
    except ConnectionRefusedError:
        return Finding("socket", "fail", f"no daemon listens at {path}", start)
    except peer.Untrusted as error:
        return Finding("socket", "fail", f"{path} is not trusted, so that clients send nothing: {error}")
    except OSError as error:
        return Finding("socket", "fail", f"{path}: {error.strerror or error}", start)
    finally:
        connected.close()
    return Finding("socket", "ok", f"a daemon that clients trust listens at {path}")


def _group(path: str) -> Finding:
    try:
        found = Path(path).stat()
    except PermissionError:
        return Finding("group", "fail", denied(path))
    except OSError as error:
        return Finding("group", "warn", f"not checked: {path}: {error.strerror}")
    mode = f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, uid {found.st_uid}, gid {found.st_gid}"
    if os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return Finding("group", "ok", f"{mode}; this user (uid {os.geteuid()}) may send")
    return Finding("group", "fail", denied(path), "set socket_group to a group of the applications")


def _daemon(target: Target) -> tuple[Finding, Status | None]:
    async def ask() -> tuple[Finding, Status | None]:
        address, away = await find_daemon(target)
        if target.url is not None and away:
            return Finding("daemon", "warn", f"not asked: {masked(target.url)} is a store"), None
        if away:
            says = f"no daemon answers at {address or 'an empty address'} ({away})"
            return Finding("daemon", "fail", says, "start it, or name its address by LLMLEDGER_ADMIN"), None
        status = await daemon_status(target)
        return daemon(address, status), status

    try:
        return asyncio.run(ask())
    except LlmledgerdError as error:
        return Finding("daemon", "fail", str(error)), None


def daemon(address: str, status: Status) -> Finding:
    """Judge what a daemon says of itself."""
    says = f"version {status.version} at {address}"
    if not status.ready:
        return Finding("daemon", "fail", f"{says} accepts no records: {status.spool}", "see its log")
    if status.version != llmledgerd.__version__:
        return Finding("daemon", "warn", f"{says}, this command is {llmledgerd.__version__}", "restart it")
    return Finding("daemon", "ok", f"{says}, ready, {status.received:,} lines received")


def stores(status: Status) -> Iterator[Finding]:
    """Judge the stores of a daemon."""
    for store in status.stores:
        waiting = f"{store.stored:,} stored, {store.in_spool:,} wait in the spool"
        if store.trouble:
            says = f"{store.name}: {store.trouble} ({waiting})"
            yield Finding("store", "fail", says, "`llmledgerd check` tests the store")
        else:
            yield Finding("store", "ok", f"{store.name}: accepts records, {waiting}")


def _store(target: Target) -> Finding:
    async def ask() -> str:
        async with await open_reader(target) as reader:
            await reader.list_calls(ALL_ORGANIZATIONS, limit=1)
        return masked(target.url or registry.first_address(target.settings(with_password=False))[0])

    try:
        return Finding("store", "ok", f"{asyncio.run(ask())} answers")
    except (LlmledgerdError, ValueError) as error:
        return Finding("store", "fail", str(error))


def _clock(target: Target) -> Finding:
    async def ask() -> float:
        async with await open_reader(target) as reader:
            before = time.time()
            found = await reader.sql("SELECT toUnixTimestamp64Milli(now64(3)) AS now")
            after = time.time()
        return float(found.rows[0][0]) / 1000 - (before + after) / 2

    try:
        return clock(asyncio.run(ask()))
    except (LlmledgerdError, ValueError, IndexError):
        return Finding("clock", "warn", "not compared: no store answers SQL")


def clock(ahead_seconds: float) -> Finding:
    """Judge how far the store's clock is ahead of this host's."""
    says = f"the store's clock differs by {abs(ahead_seconds):.1f} s"
    if abs(ahead_seconds) <= CLOCK_SECONDS:
        return Finding("clock", "ok", says)
    where = "behind" if ahead_seconds > 0 else "ahead of"
    return Finding("clock", "warn", f"{says}; this host is {where} it", "synchronize the clocks (NTP)")


def disk(config: Config, status: Status | None, free_bytes: int | None) -> Finding:
    """Judge the space of the spool."""
    free = status.disk_free_bytes if status is not None and status.disk_free_bytes else free_bytes
    if free is None:
        return Finding("disk", "warn", f"not checked: {config.spool_dir} cannot be read by this user")
    most = status.spool_max_bytes if status is not None else config.spool_max_bytes
    used = status.spool_bytes if status is not None else 0
    where = "the daemon's spool" if status is not None else f"the spool in {config.spool_dir}"
    says = f"{free:,} bytes free for {where}, {used:,} of {most:,} used"
    if free < config.spool_reserve_bytes:
        return Finding(
            "disk", "fail", says, f"free space: spool_reserve_bytes is {config.spool_reserve_bytes:,}"
        )
    if used > FULL_SHARE * most:
        return Finding("disk", "warn", says, "the spool is nearly full; see why the store does not keep up")
    return Finding("disk", "ok", says)


def _free_bytes(folder: str) -> int | None:
    for place in (Path(folder), *Path(folder).parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
