"""OTLP in the daemon: its receiver, where the setting ``otlp`` names an address.

Invariant: without the setting nothing of ``llmledgerd.otlp`` is imported, which needs an extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llmledgerd.admin.address import host_and_port
from llmledgerd.admin.connection_limit import is_loopback
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.flow_control import Admission
from llmledgerd.spool.committer import Committer
from llmledgerd.system.descriptors import Budget

if TYPE_CHECKING:
    from llmledgerd.otlp.receiver import Receiver

UNIX: Final = "unix:"
CONNECTIONS: Final = 256
"""Connections of each address; an exporter keeps one."""
EXTRA: Final = "otlp: OTLP needs the extra `otlp` of this distribution"


def validate(config: Config) -> None:
    """Raise ConfigError if OTLP cannot be received with the settings."""
    for address in config.otlp:
        if address.startswith(UNIX):
            if address.removeprefix(UNIX) == config.socket_path or address == config.admin_address:
                raise ConfigError(f"otlp: `{address}` is another socket of the daemon; choose another path")
            continue
        try:
            host, _ = host_and_port(address)
        except ConfigError as error:
            raise ConfigError(f"otlp{str(error).removeprefix('admin')}") from None
        if not is_loopback(host) and not config.admin_tokens_file:
            raise ConfigError(f"otlp: `{address}` can be reached from other hosts; set admin_tokens_file")
    if config.otlp:
        _imported()


def _imported() -> Any:
    try:
        from llmledgerd.otlp import receiver
    except ImportError as error:
        raise ConfigError(f"{EXTRA} ({error})") from None
    return receiver


class Otlp:
    """The receiver, or nothing."""

    def __init__(self, config: Config, committer: Committer, admission: Admission) -> None:
        """Raises ConfigError where the extra is missing."""
        self._receiver: Receiver | None = None
        if config.otlp:
            self._receiver = _imported().Receiver(config, committer, admission)

    async def start(self, budget: Budget) -> None:
        """Listen. Raises ConfigError."""
        if self._receiver is not None:
            await self._receiver.start(budget.shares(1, 1, CONNECTIONS).admin)

    async def stop(self, seconds: float) -> None:
        """Stop accepting requests, and answer those that run."""
        if self._receiver is not None:
            await self._receiver.stop(seconds)

    async def close(self) -> None:
        """Release what it holds."""
        if self._receiver is not None:
            await self._receiver.close()

    def catch_up(self, *, now: bool = False) -> None:
        """Log recurring events that were held back."""
        if self._receiver is not None:
            self._receiver.recurring.catch_up(now=now)

    def status(self) -> dict[str, Any]:
        """Return the fields of the daemon's status."""
        if self._receiver is None:
            return {}
        return {"otlp": self._receiver.senders(), "otlp_requests": dict(self._receiver.requests)}
