"""HTTP server of the page: socket, token and shutdown.

Invariant: the link is printed when the page is served, so that it works at once, and only the link contains
the token.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI
from nicegui import ui
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmledgerd.errors import ConfigError
from llmledgerd.ui.authentication import Authentication
from llmledgerd.ui.pages import add_downloads, add_pages, add_steps
from llmledgerd.ui.shell import ASSETS, Site

CLOSING_SECONDS: Final = 1
"""Timeout for browsers to disconnect at shutdown; they reconnect automatically."""


def bound(host: str, port: int) -> socket.socket:
    """Return a bound socket. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
    except (OSError, OverflowError, TypeError) as error:  # an impossible name raises TypeError
        opened.close()
        said = error.strerror if isinstance(error, OSError) else "no such address"
        raise ConfigError(f"{host}:{port}: {said}; choose with --host and --port") from None
    return opened


def link(opened: socket.socket, token: str, key: str) -> str:
    """Return the URL to open in a browser."""
    host, port = opened.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/{key}/?token={token}"


async def serve(opened: socket.socket, token: str, key: str, site: Site, ready: Callable[[], None]) -> None:
    """Serve the page on a bound socket, below the path ``key``, until a signal comes."""
    app = FastAPI(openapi_url=None)
    app.mount(ASSETS, StaticFiles(directory=Path(str(files("llmledgerd.ui") / "assets"))))
    add_downloads(app, site.queries)
    add_steps(app, site.queries)
    add_pages(site)
    ui.run_with(app, title="llmledger", tailwind=False, show_welcome_message=False, dark=None)
    settings = uvicorn.Config(
        _DisconnectTolerant(Authentication(app, token, opened.getsockname()[1], key)),
        ws="wsproto",
        log_level="warning",
        access_log=False,  # the first URL contains the token
        timeout_graceful_shutdown=CLOSING_SECONDS,
    )
    opened.listen()
    await _Server(settings, ready).serve(sockets=[opened])


class _Server(uvicorn.Server):
    """Server that says when it serves: signals are its own by then, and end it in order."""

    def __init__(self, settings: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(settings)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class _DisconnectTolerant:
    """ASGI middleware that ignores a browser's disconnect during a response, which Starlette reports as an error."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = False

        async def receiving() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        try:
            await self.app(scope, receiving, send)
        except RuntimeError:
            if not gone:
                raise
