"""HTTP receiver of OTLP: the sockets of one address, and from the first request on its endpoints.

Invariant: what is wrong with an address is known at the start; aiohttp is imported for the first exporter.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import structlog

from llmledgerd.admin.address import host_and_port, is_loopback
from llmledgerd.admin.on_demand import Begin, OnDemand
from llmledgerd.config.otlp_addresses import UNIX
from llmledgerd.errors import ConfigError
from llmledgerd.otlp.intake import Intake
from llmledgerd.otlp.listening import is_local
from llmledgerd.system.unix_sockets import Bound, bind, bind_tcp

log = structlog.get_logger(__name__)


class HttpReceiver:
    """Listening sockets of ``unix:/path`` or ``host:port``, and the server behind them."""

    def __init__(self, intake: Intake, address: str) -> None:
        self._intake = intake
        self._address = address
        self._bound: Bound | None = None
        self._server = OnDemand(self._load, self._cannot_accept, self._cannot_start)

    async def start(self, mode: int, group: str, connections: int) -> None:
        """Listen, on a Unix socket with a mode and a group. Raises ConfigError."""
        self._server.start(await self._sockets(mode, group), connections)
        log.info("OTLP is received", address=self._address)

    def stop_accepting(self) -> None:
        """Close the listening sockets."""
        self._server.stop_accepting()
        if self._bound is not None:
            self._bound.remove()
        self._bound = None

    async def close(self) -> None:
        """Close everything."""
        self.stop_accepting()
        await self._server.close()

    def _load(self) -> Begin:
        """Import the endpoints and return what starts them. In a thread."""
        from llmledgerd.otlp.http_endpoints import HttpEndpoints

        return HttpEndpoints(self._intake, is_local=is_local(self._address)).serve

    async def _sockets(self, mode: int, group: str) -> list[socket.socket]:
        if self._address.startswith(UNIX):
            self._bound = bind(Path(self._address.removeprefix(UNIX)), mode, group)
            return [self._bound.socket]
        host, port = host_and_port(self._address)
        if not is_loopback(host):
            log.warning("OTLP is received on a non-loopback address without TLS", host=host)
        try:
            return await asyncio.to_thread(bind_tcp, host, port)
        except OSError as error:
            raise ConfigError(f"otlp: `{self._address}`: cannot listen: {error}") from error

    def _cannot_accept(self, error: OSError) -> None:
        self._intake.recurring.error(
            "cannot accept connections over OTLP", error=error.strerror or str(error)
        )

    def _cannot_start(self, error: Exception) -> None:
        self._intake.start_errors += 1
        self._intake.recurring.error("the HTTP server of OTLP cannot be started", exc_info=error)
