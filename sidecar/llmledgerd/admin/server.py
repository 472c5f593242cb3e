"""Admin HTTP server: liveness, readiness, metrics, and the endpoints of ``/v1``.

Invariant: health checks and metrics never wait for a store, and change nothing. On TCP, a client without a
token sees no store's address, and no metrics if the settings require a token for them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from llmledgerd.admin.address import host_and_port
from llmledgerd.admin.api import SQL_BYTES, Api
from llmledgerd.admin.connection_limit import KEEPALIVE_SECONDS, ConnectionLimit, is_loopback
from llmledgerd.errors import ConfigError
from llmledgerd.log import Recurring, log
from llmledgerd.system.accept_loop import Acceptor
from llmledgerd.system.descriptors import ADMIN_CONNECTIONS
from llmledgerd.system.unix_sockets import Bound, bind, bind_tcp
from llmledgerd.telemetry.metrics import Metrics
from llmledgerd.telemetry.status import Status

UNIX = "unix:"


class Admin:
    """HTTP server beside the record socket."""

    def __init__(
        self,
        address: str,
        mode: int,
        status: Callable[[], Awaitable[Status]],
        api: Api,
        metrics: Metrics,
        *,
        metrics_need_token: bool = False,
    ) -> None:
        self._address = address
        self._mode = mode
        self._status = status
        self._api = api
        self._metrics = metrics
        self._metrics_need_token = metrics_need_token
        self._runner: web.AppRunner | None = None
        self._passed: socket.socket | None = None
        self._bound: Bound | None = None
        self._acceptors: list[Acceptor] = []
        self._recurring = Recurring()
        self.accept_errors = 0

    async def start(self, passed: socket.socket | None = None, connections: int = ADMIN_CONNECTIONS) -> None:
        """Listen, unless the address is empty; on the service manager's socket if one was passed.

        ``connections`` is the connection limit. Raises ConfigError.
        """
        if passed is not None and not self._address.startswith(UNIX):
            raise ConfigError(
                f"admin: `{self._address}` conflicts with the Unix socket passed by the service manager"
            )
        if not self._address:
            return
        self._passed = passed
        app = web.Application(client_max_size=SQL_BYTES)
        limit = ConnectionLimit(app, connections=connections)
        self.add_to(app)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS)
        await self._runner.setup()
        limit.accept_for(self._runner.server)
        self._acceptors = [Acceptor(own, limit, self._cannot_accept) for own in await self._sockets()]
        for acceptor in self._acceptors:
            acceptor.start()

    def add_to(self, app: web.Application) -> None:
        """Add all routes."""
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        self._api.add_to(app)

    async def stop(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        if self._runner is not None:
            await asyncio.to_thread(self._api.close)
            await self._runner.cleanup()
        if self._bound is not None:
            self._bound.remove()

    def _cannot_accept(self, error: OSError) -> None:
        self.accept_errors += 1
        self._recurring.error(
            "the admin server cannot accept connections", error=error.strerror or str(error)
        )

    async def _sockets(self) -> list[socket.socket]:
        if self._address.startswith(UNIX):
            if self._passed is not None:
                return [self._passed]
            self._bound = bind(Path(self._address.removeprefix(UNIX)), self._mode, "")
            return [self._bound.socket]
        host, port = host_and_port(self._address)
        if not is_loopback(host):
            log.warning("the admin server listens on a non-loopback address without TLS", host=host)
        try:
            return await asyncio.to_thread(bind_tcp, host, port)
        except OSError as error:
            raise ConfigError(f"admin: `{self._address}`: cannot listen: {error}") from error

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        """Report readiness; operators also see the reason and the stores."""
        status = await self._status()
        if not self._api.is_operator(request):
            said = "ready" if status.ready else "not ready"
            return web.Response(text=f"{said}\n", status=200 if status.ready else 503)
        said = status.spool or "ready"
        for store in status.stores:
            if store.trouble:
                said += f"; records wait in the spool for {store.name}, which is unavailable: {store.trouble}"
            if store.faults:
                said += f"; internal fault during delivery to {store.name}: {store.faults}"
        return web.Response(text=f"{said}\n", status=200 if status.ready else 503)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        if self._metrics_need_token:
            self._api.check_metrics(request)
        body, content_type = self._metrics.exposition(await self._status(), request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})
