"""HTTP API ``/v1`` of the admin server: the reader's results as JSON.

Invariants:
- A query never touches the record path: it runs in its own thread, on its own connection, and
  queries beyond QUERIES at a time are queued or refused.
- Only ``/v1/erase`` and ``/v1/reprice`` change data; the first requires its own right and a code from a
  request that counted the same extent, the second an operator.
- Unknown parameters are refused, so that a misspelled one is not ignored.
- Every peer on the Unix socket is an operator; on TCP every request needs a token.
- Errors are problem objects (RFC 9457), without the store's address.
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
from aiohttp import web

from llmledgerd.admin.auth import OPERATOR, Access, Forbidden, Tokens, scope_of
from llmledgerd.admin.bodies import decoded, peer
from llmledgerd.admin.changes import Changes
from llmledgerd.admin.confirmation import SECONDS, Confirmations
from llmledgerd.admin.json_stream import pieces, size_of
from llmledgerd.admin.openapi import description
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError, LlmledgerdError, StoreBusy
from llmledgerd.log import Recurring, log
from llmledgerd.query.answer_budget import LARGEST_BYTES, ROWS_BYTES, Overloaded, QueryAdmission
from llmledgerd.query.backend import Limits
from llmledgerd.query.payloads import Fetcher
from llmledgerd.query.repricing import Reprice
from llmledgerd.query.requests import from_text
from llmledgerd.query.routes import ENDPOINTS, ERASE, REPRICE, Endpoint, EraseRequest, Problem
from llmledgerd.stores import registry
from llmledgerd.telemetry.metrics import OTHER, Metrics
from llmledgerd.telemetry.status import Status

QUERIES: Final = 4
"""Limit of concurrent queries."""

WAITING: Final = 32
"""Limit of queued queries; further ones are refused with 503 and Retry-After."""

EACH: Final = (QUERIES + WAITING) // 4
"""Limit of queued queries per token, so that one token cannot fill the queue."""

SQL_BYTES: Final = 1 << 18
BODY_SECONDS: Final = 30.0
SEND_SECONDS: Final = 60.0
"""Timeout for a client to read its response."""
LIMITS: Final = Limits(seconds=60, memory_bytes=1 << 30, threads=2)

T = TypeVar("T")
R = TypeVar("R")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Unknown(Exception):
    """Missing or unknown bearer token."""


class Api:
    """Endpoints under ``/v1``, over one store."""

    def __init__(
        self,
        config: Config,
        status: Callable[[], Awaitable[Status]],
        tokens: Tokens | None,
        metrics: Metrics,
        fetcher: Fetcher | None = None,
        changes: Changes | None = None,
    ) -> None:
        """``tokens`` None makes every peer an operator. Nothing is opened before the first query.

        ``changes`` makes the changes that are asked for.
        """
        mark = f"llmledgerd-{uuid.uuid4()}"
        self._reading = registry.first_reader(config, fetcher, mark=mark, limits=LIMITS)
        self._everywhere, self._repricer = changes or Changes.of(config)
        self._confirmations = Confirmations()
        self._of_socket = msgspec.structs.replace(OPERATOR, may_erase=config.admin_socket_erases)
        self._status = status
        self._tokens = tokens
        self._metrics = metrics
        self.recurring = Recurring()
        self._threads = ThreadPoolExecutor(QUERIES + 1, thread_name_prefix="query")
        self._admission = QueryAdmission(QUERIES, is_shared=tokens is not None)
        self._statement = asyncio.Semaphore()
        self._repricing = asyncio.Semaphore()
        self.in_flight = 0
        """Running and queued queries."""
        self._of: Counter[Access] = Counter()
        """Running and queued queries by access: tokens with the same scope count together."""

    def add_to(self, app: web.Application) -> None:
        """Add the routes, and the middleware that turns their errors into problem objects."""
        app.middlewares.extend((self._measured, self._problems))
        for endpoint in ENDPOINTS:
            app.router.add_get(endpoint.path, partial(self._answer, endpoint))
        app.router.add_post("/v1/sql", self._run_sql)
        app.router.add_post(ERASE, self._erase)
        app.router.add_post(REPRICE, self._reprice)
        app.router.add_get("/v1/status", self._show_status)
        app.router.add_get("/v1/openapi.json", self._describe)

    def log_in_as(self, url: str) -> None:
        """Use the user and password of the URL from now on."""
        self._reading.log_in_as(url)

    def close(self) -> None:
        """Cancel running queries, and release threads and connections. Blocking."""
        self._repricer.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self.in_flight:  # otherwise the process waits for them to end
            self._reading.interrupt()
        self._reading.close()

    async def _answer(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        access = self._access(request)
        given = _parameters(request)
        every = given.pop("all_organizations", "false")
        if every not in ("true", "false"):
            raise ValueError("all_organizations must be true or false")
        organization = scope_of(access, given.pop("organization_id", None), every == "true")
        question = from_text(endpoint.question, given)
        largest = LARGEST_BYTES if getattr(question, "payloads", False) else ROWS_BYTES

        async def send(answer: object) -> web.StreamResponse:
            if answer is None:
                raise web.HTTPNotFound(text="not found")
            return await _sent(request, answer)

        return await self._run_admitted(
            access, largest, lambda: self._reading.answer(organization, question), send
        )

    async def _run_sql(self, request: web.Request) -> web.StreamResponse:
        access = self._operator(request)
        _refuse_parameters(request)
        text = await self._body(request)
        return await self._run_admitted(
            access,
            ROWS_BYTES,
            lambda: self._reading.sql(text.decode()),
            partial(_sent, request),
            self._statement,
        )

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise ValueError(f"statement too long: the limit is {SQL_BYTES} bytes") from None
        except TimeoutError:
            raise ValueError(f"timeout: no complete statement within {BODY_SECONDS:.0f} seconds") from None

    async def _erase(self, request: web.Request) -> web.Response:
        """Count what would be erased; with a confirmation code, erase it."""
        access = self._access(request)
        by = self._who(request)
        _refuse_parameters(request)
        wanted = decoded(await self._body(request), EraseRequest)
        scope_of(access, wanted.organization_id, False)
        if not access.may_erase:
            log.warning("erasure refused", by=by, of=wanted.organization_id)
            raise Forbidden("no right to erase (set `erase = true` for the token, or admin_socket_erases)")
        who = by.partition(" pid")[0]  # the pid differs between two requests of the same user
        now = time.monotonic()
        if wanted.confirmation is None:
            erasure = msgspec.structs.replace(wanted.erasure, until_us=time.time_ns() // 1000)
            found = await self._in_thread(access, partial(self._everywhere.count, erasure))
            found.confirmation = self._confirmations.offer(who, erasure, now)
            found.confirmation_seconds = int(SECONDS)
        else:
            erasure = self._confirmations.redeem(who, wanted.erasure, wanted.confirmation, now)
            log.info("erasing", by=by, extent=msgspec.to_builtins(erasure))
            found = await self._in_thread(access, partial(self._everywhere.erase, erasure, by))
        said = msgspec.structs.replace(found, confirmation="")
        what = "counted for an erasure" if wanted.confirmation is None else "erased"
        log.info(what, by=by, extent=msgspec.to_builtins(erasure), found=msgspec.to_builtins(said))
        return _json(_encoded(found))

    async def _reprice(self, request: web.Request) -> web.Response:
        """Recompute costs, one request at a time."""
        access = self._operator(request)
        _refuse_parameters(request)
        wanted = decoded(await self._body(request), Reprice)
        by = self._who(request)
        action = partial(self._repricer.reprice, wanted, by.partition(" pid")[0])
        found = await self._in_thread(access, action, self._repricing)
        if not wanted.dry_run:
            log.info("repriced", by=by, run=found.run, calls=found.looked_at, changed=found.changed)
        return _json(_encoded(found))

    async def _show_status(self, request: web.Request) -> web.Response:
        self._operator(request)
        _refuse_parameters(request)
        return _json(_encoded(await self._status()))

    async def _describe(self, request: web.Request) -> web.Response:
        self._access(request)
        _refuse_parameters(request)
        return _json(msgspec.json.encode(description()))

    def _access(self, request: web.Request) -> Access:
        if self._tokens is None:
            return self._of_socket
        found = self._tokens.access(request.headers.get("Authorization", ""))
        if found is None:
            raise Unknown("missing or unknown bearer token")
        return found

    def _who(self, request: web.Request) -> str:
        """Return the requester, for the log."""
        if self._tokens is not None:
            return self._tokens.who(request.headers.get("Authorization", ""))
        return peer(request)

    def _operator(self, request: web.Request) -> Access:
        access = self._access(request)
        if not access.operator:
            raise Forbidden("an operator's token is required")
        return access

    async def _in_thread(
        self, access: Access, action: Callable[[], T], alone: asyncio.Semaphore | None = None
    ) -> T:
        """Return the small result of an action that is not a query."""

        async def unchanged(found: T) -> T:
            return found

        return await self._run_admitted(access, 0, action, unchanged, alone)

    async def _run_admitted(
        self,
        access: Access,
        largest: int,
        action: Callable[[], T],
        send: Callable[[T], Awaitable[R]],
        alone: contextlib.AbstractAsyncContextManager[None] | None = None,
    ) -> R:
        """Run an action in a thread once admitted, and send its result within the memory budget.

        ``alone`` serializes it with others of its kind: a SQL statement can take much memory.
        """
        if self.in_flight >= QUERIES + WAITING:
            raise Overloaded("too many queued queries")
        if self._tokens is not None and self._of[access] >= EACH:
            raise Overloaded("too many queued queries of this token")
        self.in_flight += 1
        self._of[access] += 1
        try:
            async with alone or contextlib.nullcontext():
                share = await self._admission.begin(access, largest)
                try:
                    found = await asyncio.get_running_loop().run_in_executor(self._threads, action)
                    self._admission.made(share, min(largest, ROWS_BYTES + size_of(found)) if largest else 0)
                    return await send(found)
                finally:
                    self._admission.end(share)
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
        """Turn errors under ``/v1`` into problem objects."""
        if not request.path.startswith("/v1"):
            return await handler(request)
        try:
            if request.method == "GET" and request.body_exists:
                raise ValueError("a GET request must not have a body")
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
            return _problem(503, f"the store is unavailable or refuses the query: {error.kind}")
        except ConfigError as error:
            self.recurring.error("query could not be sent to the store", error=str(error))
            return _problem(500, "internal error; see the daemon's log")
        except LlmledgerdError as error:
            self.recurring.error("request failed", path=request.path, error=str(error))
            return _problem(500, "internal error; see the daemon's log")
        except Exception as error:  # noqa: BLE001 - outermost handler: one failed response must not close the connection
            self.recurring.error("query failed", path=request.path, exc_info=error)
            return _problem(500, "internal error; see the daemon's log")


def _parameters(request: web.Request) -> dict[str, str]:
    """Return the parameters. Duplicates are refused, since implementations differ in which one they use."""
    given = dict(request.query)
    if len(given) != len(request.query):
        raise ValueError("duplicate parameter")
    return given


def _refuse_parameters(request: web.Request) -> None:
    """Refuse parameters of an endpoint without any."""
    if given := _parameters(request):
        raise ValueError(f"unknown parameter `{next(iter(given))}`")


async def _sent(request: web.Request, answer: object) -> web.StreamResponse:
    """Send a response in pieces, as fast as the client reads."""
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
    except TimeoutError:  # a client that does not read holds memory that others wait for
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("timeout: the client did not read the response") from None
    return response


def _encoded(answer: Any) -> bytes:
    return msgspec.json.encode(answer, enc_hook=str)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(Problem(HTTPStatus(status).phrase, status, detail))
    return web.Response(status=status, body=body, content_type="application/problem+json", headers=headers)
