"""From a request's body to lines that are durable: what HTTP and gRPC have in common.

Invariants:
- ``take`` returns after every line that was made of the request is in the spool. What a later request can change raises
  Full or Busy; what was made durable before that is a repeat then, which the store recognizes.
- Bodies in memory count as bytes of unfinished lines do, for each sender, so that senders share memory and the spool
  fairly with those of the record socket.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import structlog

from llmledgerd.config.settings import Config
from llmledgerd.errors import ConfigError
from llmledgerd.flow_control import Admission
from llmledgerd.log import Recurring
from llmledgerd.otlp.access import Access, Gate
from llmledgerd.otlp.interpreter import Interpreter, Part
from llmledgerd.otlp.journal import Journal
from llmledgerd.otlp.listening import is_local
from llmledgerd.otlp.nesting import Nesting
from llmledgerd.otlp.senders import Senders
from llmledgerd.spool import Entry, EntryKind
from llmledgerd.spool.committer import Committer, Run
from llmledgerd.telemetry.status import OtlpSender

log = structlog.get_logger(__name__)

LARGEST_BODY: Final = 128 << 20
ADMIT_SECONDS: Final = 5.0
"""Time that a body waits for memory before its sender is told to come again; exporters give up after ten."""
COMMIT_SECONDS: Final = 8.0
"""Time that a request waits for its sync."""
POLL_SECONDS: Final = 0.02
RUN_BYTES: Final = 256 << 10
SIGNALS: Final = ("traces", "logs", "metrics")


class Busy(Exception):
    """The request cannot be taken now; a later one can."""


class Full(Busy):
    """The spool or the memory is full."""


class Intake:
    """Takes bodies of requests into the spool."""

    def __init__(self, config: Config, committer: Committer, admission: Admission) -> None:
        """Raises ConfigError for tokens that cannot be read."""
        self._config = config
        self._committer = committer
        self._admission = admission
        self._journal = Journal(Path(config.spool_dir), Nesting(), fsync=config.fsync)
        self._senders = Senders()
        self._interpreter = Interpreter(self._journal, self._senders, config.max_line_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="otlp")
        is_open = any(not is_local(address) for address in config.otlp)
        self.gate = Gate(config.admin_tokens_file if is_open else "")
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._dropped_metrics = False
        self.is_stopping = False
        self.requests: Counter[str] = Counter()
        """Requests by signal and status."""
        self.start_errors = 0
        """Failed starts of an HTTP server."""
        self.recurring = Recurring()

    async def open(self) -> None:
        """Read the decisions of earlier processes. Raises ConfigError."""
        try:
            await self._in_thread(self._journal.open)
        except OSError as error:
            raise ConfigError(f"spool_dir: {self._config.spool_dir}: {error.strerror or error}") from None

    def close(self) -> None:
        """Release the thread and the journal."""
        self._thread.shutdown()
        self._journal.close()

    def senders(self) -> list[OtlpSender]:
        """Return who has sent what."""
        return self._senders.all()

    def begin(self) -> None:
        """Count a request that runs."""
        self._in_flight += 1
        self._idle.clear()

    def end(self, sender: Hashable, what: str) -> None:
        """Count a request that has ended, and release its memory."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()
        self.holds(sender, 0)
        self.requests[what] += 1

    async def idle(self) -> None:
        """Return when no request runs."""
        await self._idle.wait()

    def check_ready(self) -> None:
        """Raise Busy or Full if nothing can be taken now."""
        if self.is_stopping:
            raise Busy("the daemon is stopping")
        self._check_spool()
        if self._committer.broken:
            raise Busy("the spool cannot be written to")

    def holds(self, sender: Hashable, size: int) -> None:
        """Set the bytes of a sender's body in memory."""
        self._admission.holds(sender, sender, size)

    async def admitted(self, sender: Hashable) -> None:
        """Return when a sender may hold more. Raises Full."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ADMIT_SECONDS
        while not self._admission.may_read(sender, sender):
            if loop.time() > deadline:
                raise Full("too many bytes are waiting")
            await asyncio.sleep(POLL_SECONDS)

    def drop_metrics(self) -> None:
        """Say once that metrics are not kept."""
        if not self._dropped_metrics:
            self._dropped_metrics = True
            log.info("metrics arrive over OTLP; they are answered and dropped")

    async def take(
        self, signal: str, form: ModuleType, body: bytes | bytearray, access: Access, sender: Hashable
    ) -> bytes:
        """Make lines of a body; return the answer when they are durable. Raises Busy, TimeoutError, OSError, Unreadable.

        A caller that keeps no reference to the body has it released before the lines of its last part are made.
        """
        signals = form.spans(body) if signal == "traces" else form.log_records(body)
        del body  # now the iterator's alone, which is done before the last part is
        parts = self._interpreter.parts(signals, access.organization)
        refused, reason = 0, ""
        while (part := await self._in_thread(_next, parts)) is not None:
            refused += part.refused
            reason = reason or part.reason
            has_lines = bool(part.lines)
            self._add(part.lines, sender)
            del part
            if has_lines:
                async with asyncio.timeout(COMMIT_SECONDS):
                    await self._committer.flush()
                self._check_spool()
        answer: Callable[[int, str], bytes] = form.trace_answer if signal == "traces" else form.log_answer
        return answer(refused, f"{refused} refused, the first: {reason}" if refused else "")

    def _check_spool(self) -> None:
        if self._admission.spool_full:
            raise Full("the spool is full")

    def _add(self, lines: list[bytearray], sender: Hashable) -> None:
        """Hand lines to the committer, in runs of the size that a read of the record socket has."""
        for run in runs(lines, self._config.batch_max_rows):
            size = sum(map(len, run))
            entry = Entry(EntryKind.LINES, b"", 0, len(run), size)
            line = run[0] if len(run) == 1 else b"".join(run)  # a large one is not copied
            self._committer.add(Run(entry, [line], sender))

    async def _in_thread(self, action: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, action, *arguments)


def runs(lines: list[bytearray], most: int) -> Iterator[list[bytearray]]:
    """Yield the lines in runs of a limited number and size; a longer line is a run of its own."""
    run: list[bytearray] = []
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
