"""Composition root: the daemon's components, wired together, and its lifecycle from start to drain.

Invariant: the socket opens only when lines can be made durable, an unavailable store delays nothing,
and the spool holds what was acknowledged, however the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from llmledgerd import __version__
from llmledgerd.admin.address import UNIX
from llmledgerd.admin.changes import Changes
from llmledgerd.admin.server import Admin
from llmledgerd.clock import Clock
from llmledgerd.config import exposure, reload
from llmledgerd.config.settings import Config
from llmledgerd.daemon import preflight
from llmledgerd.daemon.housekeeping import EVERY_SECOND, Housekeeping, Job
from llmledgerd.daemon.orphan_declaration import OrphanDeclaration
from llmledgerd.daemon.otlp import Otlp
from llmledgerd.daemon.price_files import Prices
from llmledgerd.daemon.pruning import Pruning
from llmledgerd.daemon.service_manager import Service
from llmledgerd.daemon.spool_quota import SpoolQuota, loss
from llmledgerd.daemon.status_reporter import Report
from llmledgerd.delivery.erasure_marks import Marks
from llmledgerd.delivery.manager import Shipping
from llmledgerd.delivery.options import Runtime, ShippingOptions
from llmledgerd.errors import ConfigError, SpoolBroken
from llmledgerd.flow_control import Admission
from llmledgerd.ingest.server import Listener
from llmledgerd.log import log
from llmledgerd.payloads import wiring
from llmledgerd.payloads.uploading import Uploader
from llmledgerd.records.rows import RowBuilder
from llmledgerd.redaction import Redactor
from llmledgerd.spool import Entry, EntryKind, Files, Spool
from llmledgerd.spool.committer import CommitHooks, Committer, Run
from llmledgerd.stores import registry
from llmledgerd.system import descriptors, memory, socket_activation
from llmledgerd.system.descriptors import ADMIN_CONNECTIONS
from llmledgerd.system.watchdog import Watchdog
from llmledgerd.telemetry.metrics import Metrics, watch_loop
from llmledgerd.telemetry.status import Status

if TYPE_CHECKING:
    from llmledgerd.payloads.objects import Objects

SETTLED_SECONDS: Final = 2.0
"""Time after the start in which connections to stores import their drivers."""


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
        self.admission = Admission(config.max_inflight_bytes)
        self.committer = Committer(self.spool, config, self.admission, self.clock)
        runtime = Runtime(
            spool=self.spool,
            committer=self.committer,
            config=config,
            admission=self.admission,
            clock=self.clock,
            watchdog=self.watchdog,
        )
        redactors: dict[str, Redactor] = {name: Redactor.of(config) for name in config.stores}
        self.redactor = redactors[config.stores[0]]
        self.listener = Listener(
            self.spool, self.committer, config, self.admission, self.clock, self.redactor.text
        )
        self.otlp = Otlp(config, self.committer, self.admission)
        self.quota = SpoolQuota(runtime, self.files, self.listener.resume)
        self.marks = Marks(self.files.root, config.stores)
        objects = wiring.objects(config)
        self.prices = Prices(config)
        self.changes = Changes.of(config, self.prices.pricer)
        self.shipping, self.metrics = self._delivery(runtime, redactors, objects)
        self.report = Report(runtime, self.files, self.listener, self.shipping.deliveries)
        self.admin = Admin(config, self.status, self.metrics, objects, self.changes)
        self.orphans = OrphanDeclaration(runtime, self.listener, self.metrics)
        self.pruning = Pruning(runtime, self.files, self.marks, self.report, self.metrics)
        self.housekeeping = Housekeeping(self._short_jobs())
        self.background = Housekeeping(self._long_jobs())
        self._connect()
        self.stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False
        self._fell = ""
        """Name of the first task that ended unexpectedly."""

    def _delivery(
        self, runtime: Runtime, redactors: Mapping[str, Redactor], objects: Objects | None
    ) -> tuple[Shipping, Metrics]:
        config = self.config
        builders: dict[str, RowBuilder] = {name: RowBuilder(self.prices.pricer) for name in config.stores}
        # What a record's values had to be changed to is the same for every store.
        metrics = Metrics(builders[config.stores[0]].counts, Redactor.of(config).label)
        options = ShippingOptions(
            builders=builders,
            redactors=redactors,
            metrics=metrics,
            marks=self.marks,
            uploader=None if objects is None else Uploader(objects, config.payload_uploads_in_flight),
            erase_in=self.changes.everywhere.erase_in,
            on_refused=self.listener.refused,
            on_settled=self.quota.check,
        )
        return Shipping(registry.opened(config), runtime, options), metrics

    def _short_jobs(self) -> list[Job]:
        """Return the jobs that senders and the log wait for, in their order."""
        on_writer = self.committer.on_writer
        return [
            Job(EVERY_SECOND, "clock", self.orphans.follow_clock),
            Job(EVERY_SECOND, "make_room", partial(self.quota.enforce, self.shipping.evictor)),
            Job(EVERY_SECOND, "give_up", self.orphans.declare),
            Job(EVERY_SECOND, "close_stalled", self.listener.close_stalled),
            Job(EVERY_SECOND, "reserve", partial(on_writer, self.quota.keep_reserve)),
            Job(EVERY_SECOND, "note", partial(on_writer, self.report.note)),
            Job(EVERY_SECOND, "recurring_events", self._catch_up),
        ]

    def _long_jobs(self) -> list[Job]:
        """Return the jobs that may take long: compress backlogged segments, prune dead letters."""
        return [
            Job(EVERY_SECOND, "compress", self.shipping.evictor.compress),
            Job(EVERY_SECOND, "dead_letters", self.pruning.prune),
        ]

    def _connect(self) -> None:
        """Connect the committer to the components that were made after it."""
        self.committer.connect(
            CommitHooks(
                on_durable=self._durable,
                on_sealed=self.shipping.wake,
                on_committed=self.metrics.committed,
                before_spool=self._redact if self.redactor.has_patterns else None,
            )
        )

    async def run(self, ready: Callable[[], None] = lambda: None) -> int:
        """Serve until SIGTERM or SIGINT, drain, and return the exit code: 1 where a part of it has ended.

        Raises ConfigError where the start is impossible.
        """
        loop = asyncio.get_running_loop()
        admin_path = self.config.admin_address.removeprefix(UNIX)
        passed = socket_activation.take(os.environ, self.config.socket_path, admin_path)
        for said in exposure.exposed(self.config):
            log.warning(said)
        self.files.lock()
        try:
            self._recover()
            self.report.note()
            await loop.run_in_executor(None, self._migrate)
            budget = descriptors.budget()  # now, with the engine's files open
            self.listener.start(passed.record, budget)
            await self.admin.start(passed.admin, budget.shares(1, 1, ADMIN_CONNECTIONS).admin)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stopping.set)
            loop.add_signal_handler(signal.SIGHUP, self._reload)
            self._start_tasks()
            await self.otlp.start(budget)
            log.info("ready", version=__version__, socket=self.config.socket_path, pid=os.getpid())
            self.service.ready()
            ready()
            loop.call_later(SETTLED_SECONDS, memory.collect_less)
            await self.stopping.wait()
            await self._drain()
        finally:
            await self._close()
        return 1 if self._fell else 0

    async def status(self) -> Status:
        """Return how the daemon is doing."""
        return await self.report.status(
            stopping=self.stopping.is_set(),
            queries=self.admin.in_flight,
            redacted=dict(self.redactor.counts),
            system_errors=self._system_errors(),
            prices=self.prices.trouble,
            otlp=self.otlp.status(),
        )

    def _system_errors(self) -> dict[str, int]:
        found = {
            "accept": self.listener.counts["accept_errors"] + self.admin.accept_errors,
            "admin": self.admin.start_errors,
            "otlp": self.otlp.start_errors,
            **self.housekeeping.failures,
            **self.background.failures,
            "prices": self.prices.failures,
        }
        return {what: count for what, count in found.items() if count}

    def _redact(self, run: Run) -> None:
        if run.entry.kind == EntryKind.LINES:
            run.pieces = self.redactor.lines(run.pieces)
        elif run.entry.kind == EntryKind.OVERSIZE:
            run.pieces = self.redactor.head(run.pieces)

    def _recover(self) -> None:
        damage = self.spool.recover()
        self.clock.go_on_from(self.spool.last_us, self.spool.state.snapshot.agreed_us)
        for found in damage:
            log.warning("recovered", segment=found.segment, what=found.what, lines=found.lines)
        waiting = len(self.spool.segments)
        if waiting:
            log.info("backlog found in the spool", segments=waiting, lines=self._lines_waiting())
        with contextlib.suppress(SpoolBroken):  # a full disk: serve without the reserve
            self.spool.reserve()
        self.committer.add_own([loss("damaged", found.lines, found.store) for found in damage if found.lines])
        self._log_store_changes()

    def _log_store_changes(self) -> None:
        """Log which stores the settings added and removed."""
        for store in self.spool.change.added if self.spool.last_number else ():
            log.info("store added", store=store, lines_waiting=self.spool.waiting(store))
        for store, lines in self.spool.change.removed.items():
            log.warning(
                "store removed from `stores`; its delivery progress is discarded",
                store=store,
                lines_not_stored_there=lines,
            )

    def _lines_waiting(self) -> dict[str, int]:
        return {store: self.spool.waiting(store) for store in self.spool.stores}

    def _migrate(self) -> None:
        """Migrate an embedded store; no other process can."""
        for delivery in self.shipping.deliveries:
            if delivery.outlet.is_ours:
                for done in delivery.outlet.migrate():
                    log.info(done, store=delivery.outlet.address)

    def _start_tasks(self) -> None:
        parts = {
            "committer": self.committer.run(),
            "shipping": self.shipping.run(),
            "housekeeping": self.housekeeping.run(),
            "pruning": self.background.run(),
            "event loop's timer": watch_loop(self.metrics.loop_lag, self.clock.monotonic),
            "watchdog's feed": self.service.feed(),
            "service status": self.service.tell(self.status),
        }
        for name, part in parts.items():
            task = asyncio.create_task(part, name=name)
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Stop the daemon when a task raised or was cancelled: the spool survives, a half-dead daemon loses.

        A task that returns has nothing to do here, as the watchdog's feed without a service manager.
        """
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None or self._is_closing:
            return
        self._fell = self._fell or task.get_name()
        log.error(
            "a daemon task ended unexpectedly, and so does the daemon", part=task.get_name(), exc_info=error
        )
        self.stopping.set()

    def _reload(self) -> None:
        """Apply the settings as they are now, except those that need a restart."""
        self.service.reloading()
        try:
            found = reload.changes(self.config, self.reread())
            self.admin.read_tokens()
        except ConfigError as error:
            log.error("reload failed, settings unchanged", error=str(error))
        else:
            self._reconfigure(found)
        self.service.ready()

    def _reconfigure(self, found: reload.Changes) -> None:
        self.config = found.config
        fixed = (self.committer, self.listener, self.quota, self.orphans, self.pruning)
        components: tuple[reload.Component, ...] = (*fixed, *self.changes)
        for component in components:
            component.reconfigure(found.config)
        self.prices.reload(found.config)
        for store, options in found.config.store_options.items():
            if f"{store}.url" in found.made:
                self.shipping.log_in_as(store, options.url)
                if store == found.config.stores[0]:  # which answers queries
                    self.admin.log_in_as(options.url)
        log.info("reloaded", changed=found.made)
        if found.for_restart:
            log.warning("these settings take effect after a restart", settings=found.for_restart)

    def _catch_up(self, *, now: bool = False) -> None:
        """Log recurring events that were held back."""
        for component in (
            self.committer,
            self.listener,
            self.quota,
            self.pruning,
            self.housekeeping,
            self.background,
        ):
            component.recurring.catch_up(now=now)
        self.shipping.catch_up(now=now)
        self.admin.catch_up(now=now)
        self.otlp.catch_up(now=now)

    def _durable(self, entries: list[Entry]) -> None:
        self.quota.check()  # first, so that a spool that is full now reads no more
        self.listener.durable(entries)

    async def _drain(self) -> None:
        """Read what has arrived, make it durable, and ship what the timeout allows."""
        loop = asyncio.get_running_loop()
        log.info("stopping: draining")
        seconds = self.config.drain_timeout_seconds
        self.service.stopping(None if self.config.spool_ephemeral else seconds)
        deadline = loop.time() + seconds
        self.listener.stop_accepting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.otlp.stop(seconds / 4)
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
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.admin.stop()
        await self.otlp.close()
        self.listener.stop_accepting()
        self.shipping.close()
        self.committer.close()
        self.service.close()
        self.files.unlock()


def serve(config: Config, reread: Callable[[], Config] | None = None) -> int:
    """Run a daemon until SIGTERM or SIGINT; return the exit code."""
    preflight.validate(config)
    descriptors.raise_limit()
    memory.use_one_arena()
    memory.collect_less()
    faulthandler.enable()  # a watchdog's SIGABRT then says what each thread was doing

    async def main() -> int:
        return await Daemon(config, reread).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())
