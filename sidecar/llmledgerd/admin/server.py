"""The admin address: is it alive, can it take records, its metrics, and the addresses of ``/v1``.

Invariant: what tells how the daemon is doing waits for no store, and changes nothing. On TCP, whoever has
no token learns no store's address of it, and no metrics where the settings say so.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from aiohttp import web

from llmledgerd.admin.api import SQL_BYTES, Api
from llmledgerd.admin.connection_limit import KEEPALIVE_SECONDS, Door, is_loopback
from llmledgerd.errors import ConfigError
from llmledgerd.log import Recurring
from llmledgerd.system.accept_loop import Acceptor
from llmledgerd.system.descriptors import ADMIN_CONNECTIONS
from llmledgerd.system.unix_sockets import Bound, bind, bind_tcp
from llmledgerd.telemetry.metrics import Metrics
from llmledgerd.telemetry.status import Status

UNIX = "unix:"

log = structlog.get_logger(__name__)


class Admin:
    """An HTTP server beside the record socket."""

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
        """Listen, unless the address is empty; on the service manager's socket if it has passed one.

        There are at most so many ``connections``. Raises ConfigError.
        """
        if passed is not None and not self._address.startswith(UNIX):
            raise ConfigError(f"admin: `{self._address}`, and a Unix socket was passed for it")
        if not self._address:
            return
        self._passed = passed
        app = web.Application(client_max_size=SQL_BYTES)
        door = Door(app, connections=connections)
        self.add_to(app)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS)
        await self._runner.setup()
        door.opens(self._runner.server)
        self._acceptors = [Acceptor(own, door, self._cannot_accept) for own in await self._sockets()]
        for acceptor in self._acceptors:
            acceptor.start()

    def add_to(self, app: web.Application) -> None:
        """Add all addresses."""
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
        self._recurring.error("the admin address can take no connection", error=error.strerror or str(error))

    async def _sockets(self) -> list[socket.socket]:
        if self._address.startswith(UNIX):
            if self._passed is not None:
                return [self._passed]
            self._bound = bind(Path(self._address.removeprefix(UNIX)), self._mode, "")
            return [self._bound.socket]
        host, colon, port = self._address.rpartition(":")
        if not colon or not port.isdigit():
            raise ConfigError(
                f"admin: `{self._address}` is not a valid address (use unix:/path or host:port)"
            )
        host = host.strip("[]") or "127.0.0.1"
        if not is_loopback(host):
            log.warning("the admin server listens on a non-loopback address without TLS", host=host)
        try:
            return await asyncio.to_thread(bind_tcp, host, int(port))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"admin: `{self._address}`: cannot listen: {error}") from error

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        """Say whether records are taken; why not, and where the stores are, to operators alone."""
        status = await self._status()
        if not self._api.is_operator(request):
            said = "ready" if status.ready else "not ready"
            return web.Response(text=f"{said}\n", status=200 if status.ready else 503)
        said = status.spool or "ready"
        for store in status.stores:
            if store.trouble:
                said += (
                    f"; records wait in the spool for {store.name}, which is not taking them: {store.trouble}"
                )
            if store.faults:
                said += f"; a fault of the daemon on the way to {store.name}: {store.faults}"
        return web.Response(text=f"{said}\n", status=200 if status.ready else 503)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        if self._metrics_need_token:
            self._api.check_metrics(request)
        body, content_type = self._metrics.exposition(await self._status(), request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})
