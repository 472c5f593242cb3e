"""OTLP's endpoints over HTTP: traces and logs into the spool, metrics answered and dropped.

Invariants:
- 200 means synced: every line that was made of the request is in the spool. 503 with Retry-After is every other
  outcome that a repeat can change.
- Off the loopback every request needs a token. A request of a web page is refused everywhere: it carries ``Origin``,
  and no answer carries a header of CORS.

Source: OTLP specification 1.x, "OTLP/HTTP Response", "Failures", "Partial Success".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from aiohttp import web

from llmledgerd.admin.http_server import HttpServer
from llmledgerd.otlp import json_form, protobuf
from llmledgerd.otlp.access import Denied
from llmledgerd.otlp.inflate import ENCODINGS, Body, TooLarge
from llmledgerd.otlp.intake import LARGEST_BODY, SIGNALS, Busy, Intake
from llmledgerd.otlp.signals import Unreadable

READ_SECONDS: Final = 30.0
"""Time without a byte of a body after which its request ends."""
CLOSE_SECONDS: Final = 1.0
RETRY_AFTER: Final = {"Retry-After": "1"}
FORMS: Final[dict[str, ModuleType]] = {
    "application/x-protobuf": protobuf,
    "application/protobuf": protobuf,
    "application/json": json_form,
}


class HttpEndpoints:
    """OTLP's endpoints on one address."""

    def __init__(self, intake: Intake, *, is_local: bool) -> None:
        """``is_local``: only this host reaches the address."""
        self._intake = intake
        self._is_local = is_local

    async def serve(self) -> HttpServer:
        """Return the started server."""
        # Bodies are inflated here, within a limit.
        server = HttpServer(self._application(), auto_decompress=False, shutdown_timeout=CLOSE_SECONDS)
        return await server.started()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY)
        for signal in SIGNALS:
            app.router.add_post(f"/v1/{signal}", self._handler(signal))
        return app

    def _handler(self, signal: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            self._intake.begin()
            status = 500
            try:
                response = await self._answer(signal, request)
                status = response.status
            finally:
                self._intake.end(request.protocol, f"{signal} {status}")
            return response

        return handle

    async def _answer(self, signal: str, request: web.Request) -> web.Response:
        """Return the answer to a request; every error is one of OTLP's."""
        form = FORMS.get(request.content_type)
        intake = self._intake
        try:
            access = intake.gate.access(request.headers, is_local=self._is_local)
            if form is None:
                return _refusal(json_form, 415, f"content type {request.content_type}: use protobuf or JSON")
            encoding = request.headers.get("Content-Encoding", "").strip().lower()
            if encoding not in ENCODINGS:
                return _refusal(form, 415, f"content encoding {encoding[:40]}: use gzip or none")
            if signal == "metrics":
                return await self._drop_metrics(request, form)
            intake.check_ready()
            answer = await intake.take(  # which alone refers to the body
                signal, form, await self._read(request, encoding), access, request.protocol
            )
            return _sent(form, answer)
        except Denied as error:
            return _refusal(form or json_form, error.status, str(error), error.headers)
        except Unreadable as error:
            return _refusal(form or json_form, 400, str(error)[:500])
        except TooLarge:
            return _refusal(form or json_form, 413, f"the body is larger than {LARGEST_BODY} bytes")
        except (Busy, TimeoutError, OSError) as error:
            intake.recurring.warn("OTLP request refused for now", reason=str(error) or type(error).__name__)
            return _refusal(form or json_form, 503, str(error) or "timeout", RETRY_AFTER)
        except Exception as error:  # noqa: BLE001 - outermost handler: one request must not end the connection silently
            intake.recurring.error("OTLP request failed", exc_info=error)
            return _refusal(form or json_form, 500, "internal error; see the daemon's log")

    async def _drop_metrics(self, request: web.Request, form: ModuleType) -> web.Response:
        async for _ in request.content.iter_any():
            pass
        self._intake.drop_metrics()
        return _sent(form, form.metrics_answer())

    async def _read(self, request: web.Request, encoding: str) -> bytearray:
        """Return the inflated body. Raises Busy, TooLarge and Unreadable."""
        if (request.content_length or 0) > LARGEST_BODY:
            raise TooLarge
        body = Body(encoding, LARGEST_BODY)
        while True:
            await self._intake.admitted(request.protocol)
            async with asyncio.timeout(READ_SECONDS):
                piece = await request.content.readany()
            if not piece:
                return body.end()
            body.feed(piece)
            self._intake.holds(request.protocol, len(body.content))


def _sent(
    form: ModuleType, body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    content_type = "application/json" if form is json_form else "application/x-protobuf"
    return web.Response(body=body, status=status, content_type=content_type, headers=headers)


def _refusal(
    form: ModuleType, status: int, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    return _sent(form, form.status(message), status, headers)
