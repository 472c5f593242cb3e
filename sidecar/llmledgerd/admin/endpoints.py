"""Liveness, readiness and metrics over HTTP, beside the endpoints of ``/v1``.

Invariant: health checks and metrics never wait for a store, and change nothing. On TCP, a client without a
token sees no store's address, and no metrics if the settings require a token for them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from llmledgerd.admin.api import SQL_BYTES, Api
from llmledgerd.admin.connection_limit import HttpServer
from llmledgerd.telemetry.exposition import exposition
from llmledgerd.telemetry.metrics import Metrics
from llmledgerd.telemetry.status import Status


class Endpoints:
    """All that the admin server answers."""

    def __init__(
        self,
        status: Callable[[], Awaitable[Status]],
        api: Api,
        metrics: Metrics,
        *,
        metrics_need_token: bool = False,
    ) -> None:
        self._status = status
        self._api = api
        self._metrics = metrics
        self._metrics_need_token = metrics_need_token

    async def serve(self, connections: int) -> HttpServer:
        """Return the started server."""
        app = web.Application(client_max_size=SQL_BYTES)
        self.add_to(app)
        return await HttpServer.started(app, connections)

    def add_to(self, app: web.Application) -> None:
        """Add all routes."""
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        self._api.add_to(app)

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
        body, content_type = exposition(
            self._metrics, await self._status(), request.headers.get("Accept", "")
        )
        return web.Response(body=body, headers={"Content-Type": content_type})
