"""Who may stand at the admin address, and for how long without asking anything.

Invariant: strangers there take neither descriptors nor memory from the record socket. There are at most
ADMIN_CONNECTIONS of them, whoever has asked nothing within ASK_SECONDS has to leave, and so has whoever is
silent for KEEPALIVE_SECONDS after an answer. How long headers may be is aiohttp's: 8 KiB a line, 128.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from llmledgerd.system.descriptors import ADMIN_CONNECTIONS

ASK_SECONDS: Final = 10.0
KEEPALIVE_SECONDS: Final = 75.0


class Door:
    """Makes the protocol of each connection."""

    def __init__(
        self, app: web.Application, ask_seconds: float = ASK_SECONDS, connections: int = ADMIN_CONNECTIONS
    ) -> None:
        self._not_asked: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._ask_seconds = ask_seconds
        self._connections = connections
        self._server: web.Server | None = None
        app.middlewares.insert(0, self._note)

    def opens(self, server: web.Server | None) -> Door:
        """Let in to this server from now on."""
        self._server = server
        return self

    def __call__(self) -> asyncio.BaseProtocol:
        if self._server is None or len(self._server.connections) >= self._connections:
            return Refusal()
        handler = self._server()
        late = asyncio.get_running_loop().call_later(self._ask_seconds, self._show_out, handler)
        self._not_asked[handler] = late
        return handler

    def _show_out(self, handler: web.RequestHandler) -> None:
        del self._not_asked[handler]
        handler.force_close()

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        late = self._not_asked.pop(request.protocol, None)
        if late is not None:
            late.cancel()
        return await handler(request)


class Refusal(asyncio.Protocol):
    """A connection for which there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


def is_loopback(host: str) -> bool:
    """Return whether only this host reaches an address; of a name only ``localhost`` is known to be such."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
