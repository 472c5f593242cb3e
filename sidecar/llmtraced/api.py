"""``/v1``: the reader's answers as JSON, on the daemon's admin address.

Invariants:
- A query never touches the record path: it runs in a thread of its own, on a connection of its
  own, and what is more than QUERIES at a time waits, or is turned away.
- Nothing is changed but by ``/v1/erase``, which is for operators.
- On a Unix socket, whoever may open it is an operator; on TCP nobody is anybody without a token.
- What goes wrong is a problem object (RFC 9457), and says nothing of the store's address.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
import structlog
from aiohttp import web

from llmtraced import reading
from llmtraced.config import Config
from llmtraced.endpoints import ENDPOINTS, ERASE, Endpoint, Problem
from llmtraced.erasure import Eraser, Erasure, Objects
from llmtraced.errors import ConfigError, StoreBusy
from llmtraced.log import Recurring
from llmtraced.metrics import OTHER, Metrics
from llmtraced.openapi import description
from llmtraced.payloads.fetching import Fetcher
from llmtraced.questions import from_text
from llmtraced.room import LARGEST_BYTES, ROWS_BYTES, Overloaded, Turns
from llmtraced.sending import pieces, size_of
from llmtraced.status import Status
from llmtraced.store import Store
from llmtraced.tokens import OPERATOR, Access, Forbidden, Tokens, whose

QUERIES: Final = 4
"""Queries at a time."""

WAITING: Final = 32
"""Queries that may wait for their turn; further ones are told to come again."""

EACH: Final = (QUERIES + WAITING) // 4
"""Of these, those of one token: one that asks too much leaves room for others."""

SQL_BYTES: Final = 1 << 18
BODY_SECONDS: Final = 30.0
SEND_SECONDS: Final = 60.0
"""How long an answer may take to be read."""
CHANGE_SECONDS: Final = 3600.0
"""How long the store may take to rewrite what is erased."""
LIMITS: Final = {"max_execution_time": 60, "max_memory_usage": 1 << 30, "max_threads": 2}

log = structlog.get_logger(__name__)
T = TypeVar("T")
R = TypeVar("R")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Unknown(Exception):
    """Nobody is known by the token that was given, or none was."""


class Api:
    """The addresses under ``/v1``, over one store."""

    def __init__(
        self,
        config: Config,
        status: Callable[[], Awaitable[Status]],
        tokens: Tokens | None,
        metrics: Metrics,
        fetcher: Fetcher | None = None,
        erasable: Objects | None = None,
    ) -> None:
        """``tokens`` None lets everybody in who can connect. Nothing is opened before the first query.

        ``erasable`` is the object storage of payloads, where there is one.
        """
        mark = f"llmtraced-{uuid.uuid4()}"
        self._reading = reading.configured(config, fetcher, mark=mark, settings=LIMITS)
        self._changes = Store(config.clickhouse_url, timeout_seconds=CHANGE_SECONDS)
        self._erases = "clickhouse" in config.stores  # else asking would make an embedded store
        self._eraser = Eraser(self._changes, erasable)
        self._status = status
        self._tokens = tokens
        self._metrics = metrics
        self.recurring = Recurring()
        self._threads = ThreadPoolExecutor(QUERIES + 1, thread_name_prefix="query")
        self._turns = Turns(QUERIES, is_shared=tokens is not None)
        self._statement = asyncio.Semaphore()
        self.in_flight = 0
        """Queries that run or wait."""
        self._of: Counter[Access] = Counter()
        """The same, by what a token allows: tokens of the same organisations are one."""

    def add_to(self, app: web.Application) -> None:
        """Add the addresses, and what makes problem objects of their errors."""
        app.middlewares.extend((self._measured, self._problems))
        for endpoint in ENDPOINTS:
            app.router.add_get(endpoint.path, partial(self._answer, endpoint))
        app.router.add_post("/v1/sql", self._run_sql)
        app.router.add_post(ERASE, self._erase)
        app.router.add_get("/v1/status", self._show_status)
        app.router.add_get("/v1/openapi.json", self._describe)

    def log_in_as(self, url: str) -> None:
        """Use the user and the password of the URL from now on."""
        self._reading.log_in_as(url)
        self._changes.log_in_as(url)

    def read_tokens(self) -> None:
        """Read the tokens again, whether their file looks changed or not. Raises ConfigError."""
        if self._tokens is not None:
            self._tokens.reread()

    def close(self) -> None:
        """End the queries that are under way, and let go of threads and connections. Blocking."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self.in_flight:  # the process would have waited for them to end
            self._reading.interrupt()
        self._reading.close()
        self._changes.close()

    async def _answer(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        access = self._access(request)
        given = _parameters(request)
        every = given.pop("all_organizations", "false")
        if every not in ("true", "false"):
            raise ValueError("all_organizations is true or false")
        organization = whose(access, given.pop("organization_id", None), every == "true")
        question = from_text(endpoint.question, given)
        largest = LARGEST_BYTES if getattr(question, "payloads", False) else ROWS_BYTES

        async def send(answer: object) -> web.StreamResponse:
            if answer is None:
                raise web.HTTPNotFound(text="there is none")
            return await _sent(request, answer)

        return await self._asked(access, largest, lambda: self._reading.answer(organization, question), send)

    async def _run_sql(self, request: web.Request) -> web.StreamResponse:
        access = self._operator(request)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                text = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise ValueError(f"a statement has at most {SQL_BYTES} bytes") from None
        except TimeoutError:
            raise ValueError(f"the statement did not come within {BODY_SECONDS:.0f} seconds") from None
        return await self._asked(
            access,
            ROWS_BYTES,
            lambda: self._reading.sql(text.decode()),
            partial(_sent, request),
            self._statement,
        )

    async def _erase(self, request: web.Request) -> web.Response:
        """Erase, or count what would be: for operators, and for an embedded store, which nobody else can open."""
        access = self._operator(request)
        if not self._erases:
            raise ValueError("ClickHouse is none of this daemon's stores, and erase reaches no other")
        wanted = msgspec.json.decode(await request.read(), type=Erasure)
        only_counts = _parameters(request).get("only_count") == "true"
        do = self._eraser.extent if only_counts else self._eraser.erase
        found = await self._in_thread(access, lambda: _encoded(do(wanted)))
        log.info("erasure", of=wanted.organization_id, rows=wanted.rows, counted=found.decode())
        return _json(found)

    async def _show_status(self, request: web.Request) -> web.Response:
        self._operator(request)
        return _json(_encoded(await self._status()))

    async def _describe(self, request: web.Request) -> web.Response:
        self._access(request)
        return _json(msgspec.json.encode(description()))

    def _access(self, request: web.Request) -> Access:
        if self._tokens is None:
            return OPERATOR
        found = self._tokens.access(request.headers.get("Authorization", ""))
        if found is None:
            raise Unknown("a bearer token is needed here, and known ones are in admin_tokens_file")
        return found

    def is_operator(self, request: web.Request) -> bool:
        """Return whether whoever asks may know of the daemon what operators may."""
        with contextlib.suppress(Unknown, ConfigError):
            return self._access(request).operator
        return False

    def check_metrics(self, request: web.Request) -> None:
        """Raise HTTPUnauthorized for whoever has no token for metrics."""
        with contextlib.suppress(Unknown, ConfigError):
            access = self._access(request)
            if access.operator or access.metrics:
                return
        raise web.HTTPUnauthorized(text="a token is needed\n", headers={"WWW-Authenticate": "Bearer"})

    def _operator(self, request: web.Request) -> Access:
        access = self._access(request)
        if not access.operator:
            raise Forbidden("this is for operators")
        return access

    async def _in_thread(self, access: Access, action: Callable[[], bytes]) -> bytes:
        """Return what an action returns that is no question; its answer is small."""

        async def give(found: bytes) -> bytes:
            return found

        return await self._asked(access, 0, action, give)

    async def _asked(
        self,
        access: Access,
        largest: int,
        action: Callable[[], T],
        send: Callable[[T], Awaitable[R]],
        alone: contextlib.AbstractAsyncContextManager[None] | None = None,
    ) -> R:
        """Run an action in a thread when it is its turn, and send what it returns, for which there is room.

        ``alone`` keeps it from others of its kind: each statement of an operator may take much memory.
        """
        if self.in_flight >= QUERIES + WAITING:
            raise Overloaded("too many queries are waiting")
        if self._tokens is not None and self._of[access] >= EACH:
            raise Overloaded("too many queries of this token are waiting")
        self.in_flight += 1
        self._of[access] += 1
        try:
            async with alone or contextlib.nullcontext():
                share = await self._turns.begin(access, largest)
                try:
                    found = await asyncio.get_running_loop().run_in_executor(self._threads, action)
                    self._turns.made(share, min(largest, ROWS_BYTES + size_of(found)) if largest else 0)
                    return await send(found)
                finally:
                    self._turns.end(share)
        finally:
            self.in_flight -= 1
            self._of[access] -= 1

    @web.middleware
    async def _measured(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/v1"):
            return await handler(request)
        began = time.monotonic()
        response = await handler(request)
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else OTHER
        self._metrics.queried(path, response.status, time.monotonic() - began)
        return response

    @web.middleware
    async def _problems(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer what goes wrong under ``/v1`` with a problem object."""
        if not request.path.startswith("/v1"):
            return await handler(request)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _problem(error.status, error.text or error.reason)
        except Unknown as error:
            return _problem(401, str(error), {"WWW-Authenticate": "Bearer"})
        except Forbidden as error:
            return _problem(403, str(error))
        except ValueError as error:
            return _problem(400, str(error))
        except Overloaded as error:
            return _problem(503, str(error), {"Retry-After": "1"})
        except StoreBusy as error:
            return _problem(503, f"the store is away or refuses: {error.kind}")
        except ConfigError as error:
            self.recurring.error("a question could not be put", error=str(error))
            return _problem(500, "the daemon's log says more")
        except Exception as error:  # noqa: BLE001 - the outer edge: a fault in one answer is not to close the connection
            self.recurring.error("a question failed", path=request.path, exc_info=error)
            return _problem(500, "the daemon's log says more")


def _parameters(request: web.Request) -> dict[str, str]:
    """Return the parameters; one that is given twice is refused, since each end might take another."""
    given = dict(request.query)
    if len(given) != len(request.query):
        raise ValueError("a parameter is given twice")
    return given


async def _sent(request: web.Request, answer: object) -> web.StreamResponse:
    """Send an answer piece by piece, as fast as it is read."""
    whole = pieces(answer)
    first = next(whole)
    second = next(whole, None)
    if second is None:
        return _json(first)
    response = web.StreamResponse()
    response.content_type = "application/json"
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await response.prepare(request)
            await response.write(first)
            await response.write(second)
            for piece in whole:
                await response.write(piece)
                await asyncio.sleep(0)
            await response.write_eof()
    except TimeoutError:  # whoever does not read holds memory that others wait for
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the answer was not read in time") from None
    return response


def _encoded(answer: Any) -> bytes:
    return msgspec.json.encode(answer, enc_hook=str)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(Problem(HTTPStatus(status).phrase, status, detail))
    return web.Response(status=status, body=body, content_type="application/problem+json", headers=headers)
