"""Admin server: its sockets, from the daemon's start on, and its HTTP server, from the first request that needs it on.

Invariant: what is wrong with the address, its socket or the tokens is known at the start. Probes are answered without
aiohttp; it and what answers other requests are imported for the first of them, because most daemons are only probed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from llmledgerd.admin.address import UNIX, host_and_port, is_loopback
from llmledgerd.admin.auth import Tokens
from llmledgerd.admin.changes import Changes
from llmledgerd.admin.health import Health
from llmledgerd.admin.on_demand import Begin, OnDemand
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.log import Recurring, log
from llmledgerd.system.descriptors import ADMIN_CONNECTIONS
from llmledgerd.system.unix_sockets import Bound, bind, bind_tcp
from llmledgerd.telemetry.metrics import Metrics
from llmledgerd.telemetry.status import Status

if TYPE_CHECKING:
    from llmledgerd.admin.api import Api
    from llmledgerd.admin.http_server import HttpServer
    from llmledgerd.payloads.objects import Objects


class Admin:
    """HTTP server beside the record socket."""

    def __init__(
        self,
        config: Config,
        status: Callable[[], Awaitable[Status]],
        metrics: Metrics,
        objects: Objects | None,
        changes: Changes,
    ) -> None:
        """``objects`` has payloads; ``changes`` makes the changes that are asked for.

        Raises ConfigError for unreadable tokens.
        """
        self._config = config
        self._address = config.admin_address
        self._status = status
        self._metrics = metrics
        self._objects = objects
        self._changes = changes
        # A Unix socket's permissions replace tokens.
        self._tokens = None if self._address.startswith(UNIX) else Tokens(config.admin_tokens_file)
        self._api: Api | None = None
        self._url = ""
        """URL of the first store with the user and password of a reload; empty without one."""
        self._bound: Bound | None = None
        self._health = Health(status, metrics, self._tokens, metrics_need_token=config.metrics_need_token)
        self._server = OnDemand(self._load, self._cannot_accept, self._cannot_start, self._health.answer)
        self._recurring = Recurring()
        self.accept_errors = 0
        self.start_errors = 0

    @property
    def in_flight(self) -> int:
        """Running and queued queries."""
        return 0 if self._api is None else self._api.in_flight

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
        self._server.start(await self._sockets(passed), connections)

    async def stop(self) -> None:
        """Close everything."""
        self._server.stop_accepting()
        if self._api is not None:
            await asyncio.to_thread(self._api.close)
        await self._server.close()
        if self._bound is not None:
            self._bound.remove()

    def log_in_as(self, url: str) -> None:
        """Query the store with the user and password of the URL from now on."""
        self._url = url
        if self._api is not None:
            self._api.log_in_as(url)

    def read_tokens(self) -> None:
        """Reload the tokens even if their file looks unchanged. Raises ConfigError."""
        if self._tokens is not None:
            self._tokens.reread()

    def catch_up(self, *, now: bool = False) -> None:
        """Log recurring events that were held back."""
        self._recurring.catch_up(now=now)
        self._health.recurring.catch_up(now=now)
        if self._api is not None:
            self._api.recurring.catch_up(now=now)

    def _load(self) -> Begin:
        """Import the HTTP server and return what starts it. In a thread."""
        from llmledgerd.admin.api import Api
        from llmledgerd.admin.endpoints import Endpoints
        from llmledgerd.query.payloads import Fetcher

        fetcher = Fetcher(lambda: self._objects)
        api = Api(self._config, self._status, self._tokens, self._metrics, fetcher, self._changes)
        endpoints = Endpoints(self._health, api)

        async def begin() -> HttpServer:
            if self._url:
                api.log_in_as(self._url)
            self._api = api
            return await endpoints.serve()

        return begin

    def _cannot_accept(self, error: OSError) -> None:
        self.accept_errors += 1
        self._recurring.error(
            "the admin server cannot accept connections", error=error.strerror or str(error)
        )

    def _cannot_start(self, error: Exception) -> None:
        self.start_errors += 1
        self._recurring.error("the admin server cannot be started; records are not affected", exc_info=error)

    async def _sockets(self, passed: socket.socket | None) -> list[socket.socket]:
        if self._address.startswith(UNIX):
            if passed is not None:
                return [passed]
            mode = int(self._config.socket_mode, 8)
            self._bound = bind(Path(self._address.removeprefix(UNIX)), mode, "")
            return [self._bound.socket]
        host, port = host_and_port(self._address)
        if not is_loopback(host):
            log.warning("the admin server listens on a non-loopback address without TLS", host=host)
        try:
            return await asyncio.to_thread(bind_tcp, host, port)
        except OSError as error:
            raise ConfigError(f"admin: `{self._address}`: cannot listen: {error}") from error
