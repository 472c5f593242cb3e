"""aiohttp's server, and its idle timeouts.

Invariant: a connection is closed without a request for ASK_SECONDS, or idle for KEEPALIVE_SECONDS after a response. The
limits of headers are aiohttp's: 128 lines of 8 KiB.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

from aiohttp import web
from aiohttp.typedefs import Handler

from llmledgerd.admin.first_request import ASK_SECONDS

KEEPALIVE_SECONDS: Final = 75.0


class HttpServer:
    """aiohttp's server of one application, without a socket of its own."""

    def __init__(self, app: web.Application, ask_seconds: float = ASK_SECONDS, **options: Any) -> None:
        """The options are those of aiohttp's runner."""
        app.middlewares.insert(0, self._note)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS, **options)
        self._ask_seconds = ask_seconds
        self._not_asked: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    async def started(self) -> Self:
        """Return the server, started."""
        await self._runner.setup()
        return self

    async def close(self) -> None:
        """Close the connections."""
        await self._runner.cleanup()

    @property
    def connections(self) -> int:
        """Number of connections."""
        return len(self._running.connections)

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol of a connection."""
        handler = self._running()
        late = asyncio.get_running_loop().call_later(self._ask_seconds, self._close_idle, handler)
        self._not_asked[handler] = late
        return handler

    @property
    def _running(self) -> web.Server:
        if self._runner.server is None:
            raise RuntimeError("the HTTP server was not started")
        return self._runner.server

    def _close_idle(self, handler: web.RequestHandler) -> None:
        del self._not_asked[handler]
        handler.force_close()

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        late = self._not_asked.pop(request.protocol, None)
        if late is not None:
            late.cancel()
        return await handler(request)
