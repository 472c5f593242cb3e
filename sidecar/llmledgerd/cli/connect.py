"""Connection of a command: the daemon of this host if it responds, otherwise the store itself.

Invariant: an explicit URL is used, and no other.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

from llmledgerd.config.secrets import masked
from llmledgerd.errors import ConfigError, LlmledgerdError, StoreBusy
from llmledgerd.query.daemon_client import DaemonAnswers, is_daemon
from llmledgerd.reader import LLMTraceReader
from llmledgerd.stores import registry
from llmledgerd.telemetry.status import Status

VARIABLE: Final = "LLMLEDGER_ADMIN_TOKEN"
"""The variable that holds a token for a daemon's TCP address."""

KNOCK_SECONDS: Final = 5.0


async def open_reader(url: str | None) -> LLMTraceReader:
    """Return a reader for the URL, else for the store in this host's settings. Raises ConfigError."""
    if url is not None:
        return LLMTraceReader(url, token=_token(url))
    settings = registry.load(with_password=False)[0]
    if await _answers(settings.admin_address):
        return LLMTraceReader(settings.admin_address, token=_token(settings.admin_address))
    settings = registry.load()[0]  # this user may lack the right to read its password
    address, password_file = registry.first_address(settings)
    return LLMTraceReader(address, password_file=password_file)


async def daemon_status(url: str | None) -> Status:
    """Return the daemon's status. Raises LlmledgerdError if none responds."""
    if url is not None and not is_daemon(url) and not _token(url):
        raise LlmledgerdError(f"{masked(url)} is a store; the status requires a daemon's address")
    address = url or registry.load(with_password=False)[0].admin_address
    if not await _answers(address):
        raise LlmledgerdError(
            f"no daemon answers at {address or 'an empty address'}; set LLMLEDGER_ADMIN to its address"
        )
    daemon = DaemonAnswers(address, _token(address))
    try:
        found: Status = await daemon.get("/v1/status", Status)
        return found
    finally:
        await daemon.close()


def daemon_at(address: str, timeout_seconds: float) -> DaemonAnswers:
    """Return the daemon at an address, with the token from the environment."""
    return DaemonAnswers(address, _token(address), timeout_seconds)


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


async def _answers(address: str) -> bool:
    if not address:
        return False
    daemon = DaemonAnswers(address, timeout_seconds=KNOCK_SECONDS)
    try:
        status, _ = await daemon.request("GET", "/healthz", {})
    except StoreBusy:
        return False
    finally:
        await daemon.close()
    return status == 200


def _token(url: str) -> str:
    """Return the token if the URL may be a daemon's: the URL of a store has a user or a database."""
    token = os.environ.get(VARIABLE, "")
    parts = urlsplit(url)
    bare = parts.scheme in ("http", "https") and not parts.username and not parts.path.strip("/")
    return token if token and (is_daemon(url) or bare) else ""
