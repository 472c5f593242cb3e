"""Group commit: lines that arrive together reach the disk by one write and one sync.

Invariant: ``on_durable`` is called for a run of lines only after the spool has synced them, in
the order in which they were added. A failing disk makes the committer wait and try again; it
never drops a line and never ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import msgspec

from llmledgerd.backoff import GROUP_COMMIT, SETTLEMENT
from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.errors import SpoolBroken
from llmledgerd.flow_control import Admission
from llmledgerd.log import Recurring
from llmledgerd.spool import Entry, EntryKind, Group, Segment, SessionState, Spool
from llmledgerd.spool.own_lines import OwnLine

GROUP_BYTES = 1 << 20
MOST_HELLOS = 1000
"""Limit of hellos that wait for their group; more are answered later, as on a disk that cannot be written to."""
PADDED = 4
"""Seal a segment when its file exceeds the limit of its lines' bytes by this factor."""
RUN_BYTES = 512
"""Memory of a run beside its lines: a thousand senders may each send a line of three bytes."""

T = TypeVar("T")


class Run(msgspec.Struct):
    """Consecutive lines of one sender that wait for their group."""

    entry: Entry
    pieces: list[bytes | bytearray]
    sender: Hashable = None
    """The sender whose share of the pending bytes the run uses; None is the daemon itself."""


class CommitHooks(msgspec.Struct, frozen=True, kw_only=True):
    """Callbacks of a committer."""

    on_durable: Callable[[list[Entry]], None] = lambda entries: None
    """Called with the runs of a group, in order, once the spool has synced them."""
    on_sealed: Callable[[], None] = lambda: None
    on_committed: Callable[[float, int], None] = lambda seconds, size: None
    """Called with the seconds that a group took and the bytes of its lines."""
    before_spool: Callable[[Run], None] | None = None
    """May change a run's bytes, not their number; called on the writer's thread."""


class Committer:
    """The one writer of the spool; everything that changes it passes here."""

    def __init__(
        self,
        spool: Spool,
        config: Config,
        admission: Admission,
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._config = config
        self._admission = admission
        self._clock = clock
        self._hooks = CommitHooks()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._runs: deque[Run] = deque()
        self._hellos: dict[bytes, SessionState] = {}
        self._added = 0
        self._committed = 0
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._last_start = 0.0
        self._backoff = GROUP_COMMIT.backoff()
        self.recurring = Recurring()
        self.broken = ""
        """Why nothing can be made durable at the moment; empty while all is well."""

    def connect(self, hooks: CommitHooks) -> None:
        """Set the callbacks; call this before the first line is added."""
        self._hooks = hooks

    def reconfigure(self, config: Config) -> None:
        """Apply reloaded settings, to the open segment too."""
        self._config = config

    def add(self, run: Run) -> None:
        """Queue a run of lines; the caller must not change the pieces afterwards."""
        self._runs.append(run)
        self._added += 1
        self._admission.waits(run.sender, run.entry.size + RUN_BYTES)
        self._wake.set()

    def add_own(self, lines: Iterable[OwnLine]) -> None:
        """Queue lines of the daemon itself: everything that is stored passes the spool."""
        for own in lines:
            line = msgspec.json.encode(own) + b"\n"
            self.add(Run(Entry(EntryKind.OWN, b"", 0, 1, len(line)), [line]))

    def hello(self, session: bytes, state: SessionState) -> None:
        """Remember a session with the next group."""
        self._hellos[session] = state
        self._wake.set()

    @property
    def hellos(self) -> int:
        """How many sessions wait to be remembered."""
        return len(self._hellos)

    async def flush(self) -> None:
        """Return when everything added so far is durable."""
        target = self._added
        while self._committed < target:
            self._progress.clear()
            await self._progress.wait()

    async def until_hello_fits(self) -> None:
        """Return when a session may be remembered with the next group."""
        while len(self._hellos) >= MOST_HELLOS:
            self._progress.clear()
            await self._progress.wait()

    async def on_writer(self, action: Callable[..., T], *arguments: object) -> T:
        """Run an action that changes the spool on the writer's thread. Raises SpoolBroken."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, action, *arguments)

    async def until_written(self, action: Callable[[], T]) -> T:
        """Change the spool, with its reserve if necessary; retry until the change is written."""
        backoff = SETTLEMENT.backoff()
        while True:
            try:
                return await self.freeing(action)
            except SpoolBroken as error:
                self.recurring.warn("cannot settle a delivered segment yet", error=str(error))
                await asyncio.sleep(backoff.failed())

    async def freeing(self, action: Callable[[], T]) -> T:
        """Make a change that eventually frees disk space, without a retry. Raises SpoolBroken."""
        return await self.on_writer(self._spool.freeing, action)

    async def run(self) -> None:
        """Commit and seal until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._pause()
            while self._runs or self._hellos:
                await self._commit()
            await self.seal_if_due()

    async def seal_if_due(self, *, now: bool = False) -> None:
        """Seal the open segment if it is full or old enough, or at once."""
        segment = self._spool.open
        if segment is None or not segment.rows:
            return
        wait = 0.0 if now else seal_in(segment, self._config, self._clock.now_us())
        if wait > 0:
            self._wake_in(wait)
            return
        try:
            await self.freeing(lambda: self._spool.seal(self._clock.now_us()))
        except SpoolBroken as error:
            self._failed(error)
            self._wake_in(self._backoff.failed())
        else:
            self._succeeded()
            self._hooks.on_sealed()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._writer.shutdown()

    async def _pause(self) -> None:
        """Keep the group interval, so that a trickle does not sync a thousand times a second."""
        loop = asyncio.get_running_loop()
        early = self._last_start + self._config.group_interval_ms / 1000 - loop.time()
        if early > 0:
            await asyncio.sleep(early)
        self._last_start = loop.time()

    async def _commit(self) -> None:
        if self._runs and self._runs[0].entry.lines > self._rows_left():
            await self.seal_if_due(now=True)
        runs = self._next_runs()
        if self._hooks.before_spool is not None:
            await self.on_writer(_each, self._hooks.before_spool, runs)
        group = Group(
            received_us=self._clock.now_us(),
            first_row=0,
            entries=merged([run.entry for run in runs]),
            hellos=self._hellos,
        )
        self._hellos = {}
        pieces = [piece for run in runs for piece in run.pieces]
        began = self._clock.monotonic()
        while True:
            try:
                await self.on_writer(self._spool.append, group, pieces, self._clock.now_us())
                break
            except SpoolBroken as error:
                self._failed(error)
                with suppress(SpoolBroken):  # the segment that failed is closed, and can be shipped
                    await self.freeing(lambda: self._spool.seal(self._clock.now_us()))
                self._hooks.on_sealed()
                await asyncio.sleep(self._backoff.failed())
        self._succeeded()
        self._committed += len(runs)
        for run in runs:
            self._admission.written(run.sender, run.entry.size + RUN_BYTES)
        self._hooks.on_committed(self._clock.monotonic() - began, sum(run.entry.size for run in runs))
        self._progress.set()
        self._hooks.on_durable([run.entry for run in runs])
        await self.seal_if_due()

    def _rows_left(self) -> int:
        segment = self._spool.open
        return self._config.batch_max_rows - (segment.rows if segment else 0)

    def _next_runs(self) -> list[Run]:
        """Take what fits in one group and in the open segment; at least one run."""
        rows_left = self._rows_left()
        runs: list[Run] = []
        rows = size = 0
        while self._runs:
            entry = self._runs[0].entry
            if runs and (rows + entry.lines > rows_left or size + entry.size > GROUP_BYTES):
                break
            runs.append(self._runs.popleft())
            rows += entry.lines
            size += entry.size
        return runs

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)

    def _failed(self, error: SpoolBroken) -> None:
        if not self.broken:
            self.recurring.error(
                "spool write failed; nothing is acknowledged until writes succeed", error=str(error)
            )
        self.broken = str(error)

    def _succeeded(self) -> None:
        if self.broken:
            self.recurring.info("the spool can be written to again")
        self.broken = ""
        self._backoff.succeeded()


def _each(action: Callable[[Run], None], runs: list[Run]) -> None:
    for run in runs:
        action(run)


def seal_in(segment: Segment, config: Config, now_us: int) -> float:
    """Return in how many seconds a segment with lines has to be sealed; 0 or less is now."""
    if segment.rows >= config.batch_max_rows or segment.line_bytes >= config.batch_max_bytes:
        return 0.0
    if segment.size - segment.header_bytes >= PADDED * config.batch_max_bytes:
        return 0.0  # bytes outside of lines, or one block per line
    if now_us < segment.first_us:
        return 0.0  # the clock was set back, perhaps by hours: the age is unknown
    return config.batch_max_age_seconds - (now_us - segment.first_us) / 1e6


def merged(entries: list[Entry]) -> list[Entry]:
    """Join neighbors of one sender, so that a thousand one-way senders cost one entry."""
    out: list[Entry] = []
    for entry in entries:
        last = out[-1] if out else None
        if last is None or not _joins(last, entry):
            out.append(msgspec.structs.replace(entry))
            continue
        last.lines += entry.lines
        last.size += entry.size
    return out


def _joins(last: Entry, entry: Entry) -> bool:
    follows = not last.session or last.first + last.lines == entry.first
    same = (last.kind, last.session, last.repeats) == (entry.kind, entry.session, entry.repeats)
    return same and follows and last.kind != 1  # an oversize line keeps its own full size
