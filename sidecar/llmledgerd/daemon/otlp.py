"""OTLP in the daemon: its receivers, where the setting ``otlp`` names addresses.

Invariant: without the setting nothing of ``llmledgerd.otlp`` is imported, which needs an extra; without an address for
gRPC nothing of gRPC is.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from typing import TYPE_CHECKING, Any, Final

from llmledgerd.admin.address import host_and_port, is_loopback
from llmledgerd.config.otlp_addresses import UNIX, grpc_address
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.flow_control import Admission
from llmledgerd.spool.committer import Committer
from llmledgerd.system.descriptors import Budget

if TYPE_CHECKING:
    from llmledgerd.otlp.grpc_receiver import GrpcReceiver
    from llmledgerd.otlp.intake import Intake
    from llmledgerd.otlp.receiver import HttpReceiver

CONNECTIONS: Final = 256
"""Connections of each address; an exporter keeps one."""


def validate(config: Config) -> None:
    """Raise ConfigError if OTLP cannot be received with the settings."""
    for address in config.otlp:
        if address.startswith(UNIX):
            if address.removeprefix(UNIX) == config.socket_path or address == config.admin_address:
                raise ConfigError(f"otlp: `{address}` is another socket of the daemon; choose another path")
            continue
        try:
            host, _ = host_and_port(grpc_address(address) or address)
        except ConfigError as error:
            raise ConfigError(f"otlp{str(error).removeprefix('admin')}") from None
        if not is_loopback(host) and not config.admin_tokens_file:
            raise ConfigError(f"otlp: `{address}` can be reached from other hosts; set admin_tokens_file")
        _imported(address)


def _imported(address: str) -> Any:
    """Return the class that receives at an address. Raises ConfigError where its extra is missing."""
    extra = "otlp-grpc" if grpc_address(address) else "otlp"
    try:
        if grpc_address(address):
            from llmledgerd.otlp.grpc_receiver import GrpcReceiver

            return GrpcReceiver
        importlib.import_module("llmledgerd.otlp.protobuf")  # the extra's, for the first request
        from llmledgerd.otlp.receiver import HttpReceiver
    except ImportError as error:
        raise ConfigError(
            f"otlp: `{address}` needs the extra `{extra}` of this distribution ({error})"
        ) from None
    return HttpReceiver


class Otlp:
    """The receivers, or nothing."""

    def __init__(self, config: Config, committer: Committer, admission: Admission) -> None:
        """Raises ConfigError where an extra is missing."""
        self._config = config
        self._intake: Intake | None = None
        self._receivers: list[HttpReceiver | GrpcReceiver] = []
        if not config.otlp:
            return
        kinds = [_imported(address) for address in config.otlp]
        from llmledgerd.otlp.intake import Intake

        self._intake = Intake(config, committer, admission)
        self._receivers = [
            kind(self._intake, address) for kind, address in zip(kinds, config.otlp, strict=True)
        ]

    async def start(self, budget: Budget) -> None:
        """Listen. Raises ConfigError."""
        if self._intake is None:
            return
        await self._intake.open()
        mode, connections = int(self._config.socket_mode, 8), budget.shares(1, 1, CONNECTIONS).admin
        for receiver in self._receivers:
            await receiver.start(mode, self._config.socket_group, connections)

    async def stop(self, seconds: float) -> None:
        """Stop accepting requests, and answer those that run for so long."""
        if self._intake is None:
            return
        self._intake.is_stopping = True
        for receiver in self._receivers:
            receiver.stop_accepting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._intake.idle()

    async def close(self) -> None:
        """Release what it holds."""
        for receiver in self._receivers:
            await receiver.close()
        if self._intake is not None:
            self._intake.close()

    @property
    def start_errors(self) -> int:
        """Failed starts of an HTTP server."""
        return 0 if self._intake is None else self._intake.start_errors

    def catch_up(self, *, now: bool = False) -> None:
        """Log recurring events that were held back."""
        if self._intake is not None:
            self._intake.recurring.catch_up(now=now)

    def status(self) -> dict[str, Any]:
        """Return the fields of the daemon's status."""
        if self._intake is None:
            return {}
        return {"otlp": self._intake.senders(), "otlp_requests": dict(self._intake.requests)}
