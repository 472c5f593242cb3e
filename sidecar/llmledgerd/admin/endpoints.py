"""Endpoints of the admin server over HTTP: ``/v1``, and what is answered without it as well, for requests that are no
probes by their bytes, or follow others on a connection.
"""

from __future__ import annotations

from aiohttp import web

from llmledgerd.admin.api import SQL_BYTES, Api
from llmledgerd.admin.health import Health
from llmledgerd.admin.http_server import HttpServer
from llmledgerd.admin.probes import PATHS


class Endpoints:
    """All that the admin server answers."""

    def __init__(self, health: Health, api: Api) -> None:
        self._health = health
        self._api = api

    async def serve(self) -> HttpServer:
        """Return the started server."""
        app = web.Application(client_max_size=SQL_BYTES)
        self.add_to(app)
        return await HttpServer(app).started()

    def add_to(self, app: web.Application) -> None:
        """Add all routes."""
        for path in PATHS:
            app.router.add_get(path, self._probed)
        self._api.add_to(app)

    async def _probed(self, request: web.Request) -> web.Response:
        fields = request.headers
        answer = await self._health.answer(
            request.path, fields.get("Authorization", ""), fields.get("Accept", "")
        )
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers())
