"""Connection limit and idle timeouts of the admin HTTP server.

Invariant: its clients take neither descriptors nor memory from the record socket. There are at most
ADMIN_CONNECTIONS connections; one is closed without a request for ASK_SECONDS, or idle for KEEPALIVE_SECONDS
after a response. The limits of headers are aiohttp's: 128 lines of 8 KiB.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

from aiohttp import web
from aiohttp.typedefs import Handler

from llmledgerd.system.descriptors import ADMIN_CONNECTIONS

ASK_SECONDS: Final = 10.0
KEEPALIVE_SECONDS: Final = 75.0


class ConnectionLimit:
    """Protocol factory that limits connections."""

    def __init__(
        self, app: web.Application, ask_seconds: float = ASK_SECONDS, connections: int = ADMIN_CONNECTIONS
    ) -> None:
        self._not_asked: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._ask_seconds = ask_seconds
        self._connections = connections
        self._server: web.Server | None = None
        app.middlewares.insert(0, self._note)

    def accept_for(self, server: web.Server | None) -> ConnectionLimit:
        """Accept connections for this server from now on; None refuses them."""
        self._server = server
        return self

    def __call__(self) -> asyncio.BaseProtocol:
        if self._server is None or len(self._server.connections) >= self._connections:
            return Refusal()
        handler = self._server()
        late = asyncio.get_running_loop().call_later(self._ask_seconds, self._close_idle, handler)
        self._not_asked[handler] = late
        return handler

    def _close_idle(self, handler: web.RequestHandler) -> None:
        del self._not_asked[handler]
        handler.force_close()

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        late = self._not_asked.pop(request.protocol, None)
        if late is not None:
            late.cancel()
        return await handler(request)


class Refusal(asyncio.Protocol):
    """Protocol of a connection over the limit, which is aborted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


class HttpServer:
    """aiohttp's server of one application, behind its connection limit."""

    def __init__(self, runner: web.AppRunner, limit: ConnectionLimit) -> None:
        self._runner = runner
        self.protocol = limit

    @classmethod
    async def started(cls, app: web.Application, connections: int, **options: Any) -> Self:
        """Return the server, which has no socket of its own; the options are those of aiohttp's runner."""
        limit = ConnectionLimit(app, connections=connections)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS, **options)
        await runner.setup()
        limit.accept_for(runner.server)
        return cls(runner, limit)

    async def close(self) -> None:
        """Close the connections."""
        await self._runner.cleanup()
