"""The daemon: its rooms, wired together, from start to drain.

Invariant: the socket opens only when lines can be made durable; the store's absence delays
nothing; and whatever ends the process, the spool holds what was acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
import uvloop

from llmtraced import __version__, activation, dead_letters, memory, reload, stores
from llmtraced.admin import UNIX, Admin
from llmtraced.admission import Admission
from llmtraced.api import Api
from llmtraced.batch import OwnLine
from llmtraced.clock import Clock
from llmtraced.committer import Committer, Run
from llmtraced.config import Config
from llmtraced.cost import Pricer
from llmtraced.errors import ConfigError, SpoolBroken
from llmtraced.listener import Listener
from llmtraced.log import Recurring
from llmtraced.metrics import Metrics, watch_loop
from llmtraced.orphans import Orphan, orphans
from llmtraced.payloads import wiring
from llmtraced.payloads.fetching import Fetcher
from llmtraced.payloads.uploading import Uploader
from llmtraced.redaction import Redactor
from llmtraced.reporting import FULL, Report
from llmtraced.rows import RowBuilder
from llmtraced.service import Service
from llmtraced.shipper import DAY_US
from llmtraced.shipping import Shipping
from llmtraced.spool import Entry, EntryKind, Files, Spool
from llmtraced.spool.recovery import QUARANTINE
from llmtraced.status import Status
from llmtraced.tokens import Tokens
from llmtraced.watchdog import Watchdog

HOUSEKEEPING_SECONDS = 1.0
ENDED_MEMORY_SECONDS = 300.0
"""A session that has ended is remembered until its sender cannot be repeating the end any more."""

log = structlog.get_logger(__name__)


class Daemon:
    """One daemon over one spool folder."""

    def __init__(
        self, config: Config, reread: Callable[[], Config] | None = None, clock: Clock | None = None
    ) -> None:
        """``reread`` returns the settings as they are at SIGHUP; without it they stay."""
        self.config = config
        self.reread = reread or (lambda: config)
        self.clock = clock or Clock()
        self.watchdog = Watchdog()
        self.service = Service(self.watchdog, self.clock)
        self.files = Files(Path(config.spool_dir))
        self.spool = Spool(self.files, fsync=config.fsync, stores=config.stores)
        pricer = Pricer()
        builders: dict[str, RowBuilder] = {name: RowBuilder(pricer) for name in config.stores}
        # What a record's values had to be changed to is the same for every store.
        self.metrics = Metrics(builders[config.stores[0]].counts)
        redactors: dict[str, Redactor] = {name: Redactor.of(config) for name in config.stores}
        self.redactor = redactors[config.stores[0]]
        self.admission = Admission(config.max_inflight_bytes)
        self.committer = Committer(
            self.spool,
            config,
            self.admission,
            self.clock,
            on_durable=self._durable,
            on_sealed=lambda: self.shipping.wake(),
            on_committed=self.metrics.committed,
            before_spool=self._redact if self.redactor.has_patterns else None,
        )
        self.listener = Listener(self.spool, self.committer, config, self.admission, self.clock)
        objects = wiring.objects(config)
        self.shipping = Shipping(
            stores.opened(config),
            builders,
            redactors,
            self.spool,
            self.committer,
            config,
            self.admission,
            self.clock,
            self.watchdog,
            on_refused=self.listener.refused,
            on_settled=self._room,
            metrics=self.metrics,
            upload=None if objects is None else Uploader(objects, config.payload_uploads_in_flight).upload,
        )
        mode = int(config.socket_mode, 8)
        tokens = None if config.admin_address.startswith(UNIX) else Tokens(config.admin_tokens_file)
        self.api = Api(
            config,
            self.status,
            tokens,
            self.metrics,
            Fetcher(lambda: objects),
            wiring.erasable(objects),
        )
        self.admin = Admin(config.admin_address, mode, self.status, self.api, self.metrics)
        self.started_us = self.clock.now_us()
        self.report = Report(
            self.spool,
            self.files,
            self.committer,
            self.listener,
            self.shipping.lanes,
            self.admission,
            config,
            self.clock,
        )
        self.stopping = asyncio.Event()
        self._recurring = Recurring()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, ready: Callable[[], None] = lambda: None) -> int:
        """Serve until SIGTERM or SIGINT, drain, and return the exit code.

        Raises ConfigError where the start is impossible.
        """
        loop = asyncio.get_running_loop()
        admin_path = self.config.admin_address.removeprefix(UNIX)
        passed = activation.take(os.environ, self.config.socket_path, admin_path)
        self.files.lock()
        try:
            self._recover()
            self.report.note()
            await loop.run_in_executor(None, self._migrate)
            await self.listener.start(passed.record)
            await self.admin.start(passed.admin)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stopping.set)
            loop.add_signal_handler(signal.SIGHUP, self._reload)
            self._start_tasks()
            log.info("ready", version=__version__, socket=self.config.socket_path, pid=os.getpid())
            self.service.ready()
            ready()
            await self.stopping.wait()
            await self._drain()
        finally:
            await self._close()
        return 0

    async def status(self) -> Status:
        """Return how the daemon is doing."""
        return await self.report.status(
            stopping=self.stopping.is_set(),
            queries=self.api.in_flight,
            redacted=dict(self.redactor.counts),
        )

    def _redact(self, run: Run) -> None:
        if run.entry.kind == EntryKind.LINES:
            run.pieces = self.redactor.lines(run.pieces)
        elif run.entry.kind == EntryKind.OVERSIZE:
            run.pieces = self.redactor.head(run.pieces)

    def _recover(self) -> None:
        damage = self.spool.recover()
        for found in damage:
            log.warning("recovered", segment=found.segment, what=found.what, lines=found.lines)
        waiting = len(self.spool.segments)
        if waiting:
            log.info("the spool holds a backlog", segments=waiting, lines=self._lines_waiting())
        with contextlib.suppress(SpoolBroken):  # a full disk: serve without the reserve
            self.spool.reserve()
        self._own([_loss("damaged", found.lines, found.store) for found in damage if found.lines])
        self._say_change()

    def _say_change(self) -> None:
        """Say what naming other stores than before has done."""
        for store in self.spool.change.added if self.spool.last_number else ():
            log.info("a store was added", store=store, lines_waiting=self.spool.waiting(store))
        for store, lines in self.spool.change.removed.items():
            log.warning(
                "a store is not named any more; its progress is forgotten",
                store=store,
                lines_not_stored_there=lines,
            )

    def _lines_waiting(self) -> dict[str, int]:
        return {store: self.spool.waiting(store) for store in self.spool.stores}

    def _migrate(self) -> None:
        """Bring an embedded store up to date; nobody else can."""
        for lane in self.shipping.lanes:
            if lane.outlet.is_ours:
                for done in lane.outlet.migrate():
                    log.info(done, store=lane.outlet.address)

    def _start_tasks(self) -> None:
        lag = watch_loop(self.metrics.loop_lag, self.clock.monotonic)
        steps = (
            self.committer.run(),
            self.shipping.run(),
            self._keep_house(),
            self._keep_small(),
            lag,
            self.service.feed(),
            self.service.tell(self.status),
        )
        self._tasks = [asyncio.create_task(step) for step in steps]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A room that fell down takes the daemon with it: the spool survives, a zombie would lose."""
        if not task.cancelled() and (error := task.exception()):
            log.error("a part of the daemon ended", exc_info=error)
            self.stopping.set()

    def _reload(self) -> None:
        """Go by the settings as they are now, as far as that needs no restart."""
        self.service.reloading()
        try:
            found = reload.changes(self.config, self.reread())
            self.api.read_tokens()
        except ConfigError as error:
            log.error("the settings stay as they are", error=str(error))
        else:
            self._reconfigure(found)
        self.service.ready()

    def _reconfigure(self, found: reload.Changes) -> None:
        self.config = found.config
        rooms: tuple[reload.Room, ...] = (self.committer, self.listener)
        for room in rooms:
            room.reconfigure(found.config)
        if "clickhouse_url" in found.made:
            self.shipping.log_in_as(stores.CLICKHOUSE, found.config.clickhouse_url)
            self.api.log_in_as(found.config.clickhouse_url)
        log.info("reloaded", changed=found.made)
        if found.for_restart:
            log.warning("these settings change at the next start", settings=found.for_restart)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            await self._make_room()
            await self._give_up()
            self.listener.close_stalled()
            await self.committer.on_writer(self._keep_reserve)
            await self.committer.on_writer(self.report.note)
            self._catch_up()

    def _catch_up(self, *, now: bool = False) -> None:
        """Say what has recurred and was not said."""
        for room in (self.committer, self.listener, self.api):
            room.recurring.catch_up(now=now)
        self.shipping.catch_up(now=now)
        self._recurring.catch_up(now=now)

    async def _keep_small(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            await self.shipping.keeper.compress()
            gone = await asyncio.get_running_loop().run_in_executor(None, self._look_aside)
            self.metrics.letters_pruned += gone
            if gone:
                self._recurring.warn("dead letters over their bounds were deleted", times=gone)

    def _keep_reserve(self) -> None:
        if not self.admission.spool_full:
            with contextlib.suppress(SpoolBroken):
                self.spool.reserve()

    def _look_aside(self) -> int:
        """Keep dead letters within their bounds; return how many had to go."""
        config = self.config
        oldest_us = self.clock.now_us() - config.dead_letters_max_age_days * DAY_US
        pruned = dead_letters.prune(Path(config.spool_dir), config.dead_letters_max_bytes, oldest_us)
        self.report.aside(pruned, len(self.files.names(QUARANTINE)))
        return pruned.gone

    def _durable(self, entries: list[Entry]) -> None:
        self._room()  # first, so that a spool that is full now reads no more
        self.listener.durable(entries)

    async def _make_room(self) -> None:
        """Keep the spool within its bounds, by making senders wait or by dropping the oldest."""
        self._room()
        while self.admission.spool_full:
            may_lose = self.config.on_full == "drop_oldest"
            dropped = await self.shipping.keeper.drop_oldest(the_only_copy=may_lose)
            if dropped is None:
                return
            self._recurring.error(
                "the spool is full; its oldest lines were dropped", times=dropped.lines, stores=dropped.stores
            )
            is_all = len(dropped.stores) == len(self.spool.stores)
            self._own(
                [_loss("spool_full", dropped.lines, name) for name in ([""] if is_all else dropped.stores)]
            )
            self._room()

    def _room(self) -> None:
        """Stop reading while the spool has no room, and go on when it has."""
        full = self.spool.size() >= self.config.spool_max_bytes or self._disk_is_full()
        if full and self.config.on_full == "block":
            self._recurring.warn(FULL)
        self.admission.spool_full = full
        if not full:
            self.listener.resume()

    def _disk_is_full(self) -> bool:
        try:
            return self.files.free_bytes() < self.config.spool_reserve_bytes
        except OSError:
            return False  # the writer will find out, and says so

    async def _give_up(self) -> None:
        """Declare what never came back, and forget what nobody will ask for."""
        now = self.clock.now_us()
        live = self.listener.live_sessions()
        found = await self.committer.on_writer(self._orphans, now, live, dict(self.listener.closed_at))
        self._own(found)
        self.listener.forget(self.spool.state.snapshot.sessions)

    def _orphans(self, now_us: int, live: set[bytes], closed_at: dict[bytes, int]) -> list[Orphan]:
        waiting = self.spool.waiting_by_session()
        found = orphans(
            self.spool.state.snapshot,
            now_us=now_us,
            started_us=self.started_us,
            grace_us=int(self.config.orphan_grace_seconds * 1e6),
            live=live,
            waiting=self.spool.unread_by_session(),
            closed_at=closed_at,
        )
        self.spool.state.forget(
            now_us,
            memory_us=int(self.config.session_memory_seconds * 1e6),
            ended_memory_us=int(ENDED_MEMORY_SECONDS * 1e6),
            busy=live | set(waiting),
            oldest_us=self.spool.oldest_us(now_us),
        )
        return found

    def _own(self, found: list[Orphan]) -> None:
        """Write the daemon's own lines into the spool, where everything that is stored comes from."""
        for orphan in found:
            self.metrics.abandoned_calls += bool(orphan.call)
            line = msgspec.json.encode(orphan.line) + b"\n"
            entry = Entry(EntryKind.OWN, b"", 0, 1, len(line))
            self.committer.add(Run(entry, [line], orphan=orphan.call, over=orphan.session))

    async def _drain(self) -> None:
        """Take what has arrived, make it durable, and store what fits in the time given."""
        loop = asyncio.get_running_loop()
        log.info("stopping: taking what has arrived")
        seconds = self.config.drain_timeout_seconds
        self.service.stopping(None if self.config.spool_ephemeral else seconds)
        deadline = loop.time() + seconds
        self.listener.close_door()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.listener.stop(loop.time() + seconds / 2)  # the rest is for the disk and the store
                await self.committer.flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(
                None if self.config.spool_ephemeral else max(0.0, deadline - loop.time())
            ):
                await self.committer.seal_if_due(now=True)
                self.shipping.wake()
                await self.shipping.idle()
        self._catch_up(now=True)
        waiting = self._lines_waiting()
        left = max(waiting.values())
        log.info(
            "stopped", lines_left_in_spool=left, by_store=waiting, bytes=self.spool.size() if left else 0
        )

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.admin.stop()
        self.shipping.close()
        self.committer.close()
        self.service.close()
        self.files.unlock()


def _loss(reason: str, lines: int | None, store: str) -> Orphan:
    return Orphan(OwnLine(stage="spool", reason=reason, count=lines, host=socket.gethostname(), store=store))


def serve(config: Config, reread: Callable[[], Config] | None = None) -> int:
    """Run a daemon until it is told to stop; return the exit code."""
    memory.use_one_arena()
    memory.collect_less()
    faulthandler.enable()  # a watchdog's SIGABRT then says what each thread was doing

    async def main() -> int:
        return await Daemon(config, reread).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())
