"""HTTP receiver of OTLP: traces and logs into the spool, metrics answered and dropped.

Invariants:
- 200 means synced: every line that was made of the request is in the spool. 503 with Retry-After is every other
  outcome that a repeat can change; what it had made durable already is a repeat then, which the store recognizes.
- Bodies in memory count as bytes of unfinished lines do, for each connection, so that senders share memory and the
  spool fairly with those of the record socket.
- Off the loopback every request needs a token. A request of a web page is refused everywhere: it carries ``Origin``,
  and no answer carries a header of CORS.

Source: OTLP specification 1.x, "OTLP/HTTP Response", "Failures", "Partial Success".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import structlog

from llmledgerd.admin.aiohttp_server import web
from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.flow_control import Admission
from llmledgerd.log import Recurring
from llmledgerd.otlp import json_form, protobuf
from llmledgerd.otlp.access import Access, Denied, Gate
from llmledgerd.otlp.inflate import ENCODINGS, Body, TooLarge
from llmledgerd.otlp.interpreter import Interpreter, Part
from llmledgerd.otlp.journal import Journal
from llmledgerd.otlp.listening import Sockets
from llmledgerd.otlp.nesting import Nesting
from llmledgerd.otlp.senders import Senders
from llmledgerd.otlp.signals import Unreadable
from llmledgerd.spool import Entry, EntryKind
from llmledgerd.spool.committer import Committer, Run
from llmledgerd.telemetry.status import OtlpSender

log = structlog.get_logger(__name__)

LARGEST_BODY: Final = 128 << 20
READ_SECONDS: Final = 30.0
"""Time without a byte of a body after which its request ends."""
ADMIT_SECONDS: Final = 5.0
"""Time that a body waits for memory before its sender is told to come again; exporters give up after ten."""
COMMIT_SECONDS: Final = 8.0
"""Time that a request waits for its sync."""
POLL_SECONDS: Final = 0.02
RUN_BYTES: Final = 256 << 10
RETRY_AFTER: Final = {"Retry-After": "1"}
FORMS: Final[dict[str, ModuleType]] = {
    "application/x-protobuf": protobuf,
    "application/protobuf": protobuf,
    "application/json": json_form,
}
SIGNALS: Final = ("traces", "logs", "metrics")


class Busy(Exception):
    """The request cannot be taken now; a later one can."""


class Receiver:
    """OTLP's endpoints on the addresses of the setting ``otlp``."""

    def __init__(self, config: Config, committer: Committer, admission: Admission) -> None:
        self._config = config
        self._committer = committer
        self._admission = admission
        self._journal = Journal(Path(config.spool_dir), Nesting(), fsync=config.fsync)
        self._senders = Senders()
        self._interpreter = Interpreter(self._journal, self._senders, config.max_line_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="otlp")
        is_open = any(not Sockets.is_local(address) for address in config.otlp)
        self._gate = Gate(config.admin_tokens_file if is_open else "")
        self._sockets: list[Sockets] = []
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_stopping = False
        self._dropped_metrics = False
        self.requests: Counter[str] = Counter()
        """Requests by signal and status."""
        self.recurring = Recurring()

    async def start(self, connections: int) -> None:
        """Listen. ``connections`` is the limit of each address. Raises ConfigError."""
        try:
            await self._in_thread(self._journal.open)
        except OSError as error:
            raise ConfigError(f"spool_dir: {self._config.spool_dir}: {error.strerror or error}") from None
        for address in self._config.otlp:
            sockets = Sockets(address, self._application(is_local=Sockets.is_local(address)))
            self._sockets.append(sockets)
            await sockets.start(int(self._config.socket_mode, 8), self._config.socket_group, connections)

    async def stop(self, seconds: float) -> None:
        """Stop accepting, and let running requests end for so long."""
        self._is_stopping = True
        for sockets in self._sockets:
            sockets.stop_accepting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def close(self) -> None:
        """Release sockets, the thread and the journal."""
        for sockets in self._sockets:
            await sockets.close()
        self._thread.shutdown()
        self._journal.close()

    def senders(self) -> list[OtlpSender]:
        """Return who has sent what."""
        return self._senders.all()

    def _application(self, *, is_local: bool) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY)
        for signal in SIGNALS:
            app.router.add_post(f"/v1/{signal}", self._handler(signal, is_local=is_local))
        return app

    def _handler(self, signal: str, *, is_local: bool) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            self._in_flight += 1
            self._idle.clear()
            try:
                response = await self._answer(signal, request, is_local=is_local)
            finally:
                self._in_flight -= 1
                if not self._in_flight:
                    self._idle.set()
                self._admission.holds(request.protocol, request.protocol, 0)
            self.requests[f"{signal} {response.status}"] += 1
            return response

        return handle

    async def _answer(self, signal: str, request: web.Request, *, is_local: bool) -> web.Response:
        """Return the answer to a request; every error is one of OTLP's."""
        form = FORMS.get(request.content_type)
        try:
            access = self._gate.access(request.headers, is_local=is_local)
            if form is None:
                return _refusal(json_form, 415, f"content type {request.content_type}: use protobuf or JSON")
            encoding = request.headers.get("Content-Encoding", "").strip().lower()
            if encoding not in ENCODINGS:
                return _refusal(form, 415, f"content encoding {encoding[:40]}: use gzip or none")
            if signal == "metrics":
                return await self._drop_metrics(request, form)
            self._check_ready()
            body = await self._read(request, encoding)
            return await self._take(signal, form, body, access, request)
        except Denied as error:
            return _refusal(form or json_form, error.status, str(error), error.headers)
        except Unreadable as error:
            return _refusal(form or json_form, 400, str(error)[:500])
        except TooLarge:
            return _refusal(form or json_form, 413, f"the body is larger than {LARGEST_BODY} bytes")
        except (Busy, TimeoutError, OSError) as error:
            self.recurring.warn("OTLP request refused for now", reason=str(error) or type(error).__name__)
            return _refusal(form or json_form, 503, str(error) or "timeout", RETRY_AFTER)
        except Exception as error:  # noqa: BLE001 - outermost handler: one request must not end the connection silently
            self.recurring.error("OTLP request failed", exc_info=error)
            return _refusal(form or json_form, 500, "internal error; see the daemon's log")

    async def _drop_metrics(self, request: web.Request, form: ModuleType) -> web.Response:
        async for _ in request.content.iter_any():
            pass
        if not self._dropped_metrics:
            self._dropped_metrics = True
            log.info("metrics arrive over OTLP; they are answered and dropped")
        return _sent(form, form.metrics_answer())

    def _check_ready(self) -> None:
        if self._is_stopping:
            raise Busy("the daemon is stopping")
        if self._admission.spool_full:
            raise Busy("the spool is full")
        if self._committer.broken:
            raise Busy("the spool cannot be written to")

    async def _read(self, request: web.Request, encoding: str) -> bytearray:
        """Return the inflated body. Raises Busy, TooLarge and Unreadable."""
        if (request.content_length or 0) > LARGEST_BODY:
            raise TooLarge
        body = Body(encoding, LARGEST_BODY)
        while True:
            await self._admitted(request)
            async with asyncio.timeout(READ_SECONDS):
                piece = await request.content.readany()
            if not piece:
                return body.end()
            body.feed(piece)
            self._admission.holds(request.protocol, request.protocol, len(body.content))

    async def _admitted(self, request: web.Request) -> None:
        """Return when the request's sender may hold more. Raises Busy."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ADMIT_SECONDS
        while not self._admission.may_read(request.protocol, request.protocol):
            if loop.time() > deadline:
                raise Busy("too many bytes are waiting")
            await asyncio.sleep(POLL_SECONDS)

    async def _take(
        self, signal: str, form: ModuleType, body: bytearray, access: Access, request: web.Request
    ) -> web.Response:
        """Make lines of a body, and answer when they are durable."""
        signals = form.spans(body) if signal == "traces" else form.log_records(body)
        parts = self._interpreter.parts(signals, access.organization)
        refused, reason = 0, ""
        while (part := await self._in_thread(_next, parts)) is not None:
            refused += part.refused
            reason = reason or part.reason
            self._add(part.lines, request)
            if part.lines:
                async with asyncio.timeout(COMMIT_SECONDS):
                    await self._committer.flush()
                self._check_spool()
        answer = form.trace_answer if signal == "traces" else form.log_answer
        return _sent(form, answer(refused, f"{refused} refused, the first: {reason}" if refused else ""))

    def _check_spool(self) -> None:
        if self._admission.spool_full:
            raise Busy("the spool is full")

    def _add(self, lines: list[bytes], request: web.Request) -> None:
        """Hand lines to the committer, in runs of the size that a read of the record socket has."""
        for run in runs(lines, self._config.batch_max_rows):
            size = sum(map(len, run))
            entry = Entry(EntryKind.LINES, b"", 0, len(run), size)
            self._committer.add(Run(entry, [b"".join(run)], request.protocol))

    async def _in_thread(self, action: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, action, *arguments)


def runs(lines: list[bytes], most: int) -> Iterator[list[bytes]]:
    """Yield the lines in runs of a limited number and size; a longer line is a run of its own."""
    run: list[bytes] = []
    size = 0
    for line in lines:
        if run and (len(run) >= most or size + len(line) > RUN_BYTES):
            yield run
            run, size = [], 0
        run.append(line)
        size += len(line)
    if run:
        yield run


def _next(parts: Iterator[Part]) -> Part | None:
    return next(parts, None)


def _sent(
    form: ModuleType, body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    content_type = "application/json" if form is json_form else "application/x-protobuf"
    return web.Response(body=body, status=status, content_type=content_type, headers=headers)


def _refusal(
    form: ModuleType, status: int, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    return _sent(form, form.status(message), status, headers)
