"""Connection of a command: the daemon of this host if it responds, otherwise the store that is named.

Invariants:
- An explicit URL is used, and no other.
- A store is read instead of a daemon only where it is named and no daemon runs; if one may have been
  meant, that is said. A daemon that may not be asked, or hangs, is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from llmledgerd.cli.messages import echo
from llmledgerd.cli.target import VARIABLE, Target
from llmledgerd.config.secrets import masked
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError, LlmledgerdError, StoreBusy
from llmledgerd.query.daemon_client import DaemonAnswers, is_daemon
from llmledgerd.reader import LLMTraceReader
from llmledgerd.stores import registry
from llmledgerd.system.permissions import refusal
from llmledgerd.telemetry.status import Status

KNOCK_SECONDS: Final = 5.0


async def open_reader(target: Target) -> LLMTraceReader:
    """Return a reader for what was named, else for what the settings of this host name. Raises ConfigError."""
    address, away = await find_daemon(target)
    if not away:
        return LLMTraceReader(address, token=target.token)
    if target.url is not None:
        return LLMTraceReader(target.url)
    named = target.settings(with_password=False)
    _check_named(named, address, away)
    settings = target.settings()  # whose password this user may have to be allowed to read
    url, password_file = registry.first_address(settings)
    return LLMTraceReader(url, password_file=password_file)


async def daemon_status(target: Target) -> Status:
    """Return the daemon's status. Raises LlmledgerdError if none responds."""
    address, away = await find_daemon(target)
    if away:
        raise LlmledgerdError(
            f"{masked(target.url)} is a store; the status requires a daemon's address"
            if target.url is not None
            else f"{_no_daemon(address, away)}; start llmledgerd, or name its address by --url or LLMLEDGER_ADMIN"
        )
    daemon = daemon_at(address, target.token)
    try:
        found: Status = await daemon.get("/v1/status", Status)
        return found
    finally:
        await daemon.close()


async def find_daemon(target: Target) -> tuple[str, str]:
    """Return the daemon's address and, if no daemon is to be asked, why: "a store", or why none responds.

    Raises ConfigError where this user or this token may not ask it, StoreBusy where an explicit URL, or a
    daemon that seems to run, does not respond.
    """
    if target.url is not None:
        try:
            return target.url, "" if await _is_daemon(target.url, target.token) else "a store"
        except StoreBusy as error:
            what = "no daemon" if is_daemon(target.url) else "nothing"
            reason = str(error).removeprefix(f"{target.url}: ")
            raise StoreBusy(
                error.kind,
                f"{what} answers at {target.url} ({reason}); check --url, and that the daemon or store runs",
            ) from None
    settings = target.settings(with_password=False)
    address = settings.admin_address
    if not address:
        return "", "the admin server is disabled"
    try:
        await _knock(address)
    except StoreBusy as error:
        if error.kind != "unreachable":
            raise
        return address, str(error).removeprefix(f"{address}: ")
    return address, ""


def daemon_at(address: str, token: str, timeout_seconds: float = 60.0) -> DaemonAnswers:
    """Return the client of a daemon."""
    return DaemonAnswers(address, token, timeout_seconds)


async def daemon_health(address: str, *, ready: bool) -> tuple[bool, str]:
    """Return whether the daemon is healthy (with ``ready``: accepts records), and its explanation.

    Raises StoreBusy if it does not answer in time, and ConfigError without an address.
    """
    if not address:
        raise ConfigError("the admin server is disabled (`admin` is empty)")
    daemon = DaemonAnswers(address, timeout_seconds=KNOCK_SECONDS)
    try:
        status, body = await daemon.request("GET", "/readyz" if ready else "/healthz", {})
    finally:
        await daemon.close()
    return status == 200, body.decode(errors="replace").strip()


def _check_named(settings: Config, address: str, away: str) -> None:
    """Raise ConfigError unless the settings name a store to read instead of the daemon."""
    url = registry.first_address(settings)[0]
    store = masked(url)
    is_default = url == registry.default_address()
    if url.startswith("chdb:") and not _is_there(url):
        raise ConfigError(
            f"{_no_daemon(address, away)}, and {'no store is named' if is_default else f'there is no store at {store}'};"
            " start llmledgerd, or name its address by --url or LLMLEDGER_ADMIN, or a store by LLMLEDGER_CLICKHOUSE_URL"
        )
    if settings.admin:
        raise ConfigError(f"{_no_daemon(address, away)}; to read the store itself, use --url {store}")
    if is_default or (address and Path(address.removeprefix("unix:")).exists()):
        echo(f"llmledger: {_no_daemon(address, away)}; reading {store} itself", err=True)


def _no_daemon(address: str, away: str) -> str:
    return f"no daemon answers at {address} ({away})" if address else f"no daemon answers ({away})"


def _is_there(store_url: str) -> bool:
    path = urlsplit(store_url).path
    refused = refusal(path)
    if refused:
        raise ConfigError(refused)
    return Path(path).is_dir()


async def _is_daemon(url: str, token: str) -> bool:
    """Whether a URL is a daemon's: by its form, else by asking. Raises StoreBusy where nobody responds."""
    if is_daemon(url):
        await _knock(url)
        return True
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or parts.username
        or parts.path.strip("/")
        or "," in parts.netloc
    ):
        return False  # a ClickHouse has a user or a database
    client = DaemonAnswers(url, timeout_seconds=KNOCK_SECONDS)
    try:
        is_one = await client.is_daemon()
    finally:
        await client.close()
    if is_one and not token:
        raise ConfigError(f"the daemon at {url} requires a token; use --token or {VARIABLE}")
    return is_one


async def _knock(address: str) -> None:
    """Raise StoreBusy where no daemon responds, ConfigError where this user may not ask."""
    daemon = DaemonAnswers(address, timeout_seconds=KNOCK_SECONDS)
    try:
        if not await daemon.is_daemon():
            raise StoreBusy("other", f"{address}: what answers there is not an llmledgerd")
    finally:
        await daemon.close()
