"""Sockets of one OTLP address.

Invariant: clients of one address have a limited number of connections, so that they take no descriptors from the record
socket and the spool.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from llmledgerd.admin.address import host_and_port
from llmledgerd.admin.connection_limit import KEEPALIVE_SECONDS, ConnectionLimit, is_loopback
from llmledgerd.config.otlp_addresses import UNIX, grpc_address
from llmledgerd.errors import ConfigError
from llmledgerd.log import Recurring
from llmledgerd.system.accept_loop import Acceptor
from llmledgerd.system.unix_sockets import Bound, bind, bind_tcp

CLOSE_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


def is_local(address: str) -> bool:
    """Return whether only this host reaches an address. Raises ConfigError for an invalid one."""
    return address.startswith(UNIX) or is_loopback(host_and_port(grpc_address(address) or address)[0])


class Sockets:
    """Listening sockets of ``unix:/path`` or ``host:port``, and the server behind them."""

    def __init__(self, address: str, app: web.Application) -> None:
        self._address = address
        self._app = app
        self._runner: web.AppRunner | None = None
        self._bound: Bound | None = None
        self._acceptors: list[Acceptor] = []
        self._recurring = Recurring()

    async def start(self, mode: int, group: str, connections: int) -> None:
        """Listen. Raises ConfigError."""
        limit = ConnectionLimit(self._app, connections=connections)
        # Bodies are inflated by the receiver, within its limit.
        self._runner = web.AppRunner(
            self._app, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS, auto_decompress=False,
            shutdown_timeout=CLOSE_SECONDS,
        )  # fmt: skip
        await self._runner.setup()
        limit.accept_for(self._runner.server)
        self._acceptors = [Acceptor(one, limit, self._cannot_accept) for one in await self._bind(mode, group)]
        for acceptor in self._acceptors:
            acceptor.start()
        log.info("OTLP is received", address=self._address)

    def stop_accepting(self) -> None:
        """Close the listening sockets."""
        for acceptor in self._acceptors:
            acceptor.close()
        if self._bound is not None:
            self._bound.remove()
        self._bound = None

    async def close(self) -> None:
        """Close everything."""
        self.stop_accepting()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _bind(self, mode: int, group: str) -> list[socket.socket]:
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
        self._recurring.error("cannot accept connections over OTLP", error=error.strerror or str(error))
