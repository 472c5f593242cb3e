"""What the daemon does once a second, asked or not.

Invariant: the spool stays within its bounds, by making senders wait or by dropping the oldest; what never
came back is declared once; and nothing here ends the daemon: what fails is counted, said, and tried again
a second later, and the rest is done meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.daemon.status_reporter import FULL, Report
from llmledgerd.delivery.erasure_marks import Marks
from llmledgerd.delivery.manager import Shipping
from llmledgerd.delivery.orphans import decided, orphans
from llmledgerd.errors import SpoolBroken
from llmledgerd.flow_control import Admission
from llmledgerd.ingest.server import Listener
from llmledgerd.log import Recurring
from llmledgerd.records.repeats import DAY_US
from llmledgerd.spool import Entry, EntryKind, Files, Spool, dead_letters
from llmledgerd.spool.committer import Committer, Run
from llmledgerd.spool.own_lines import OwnLine
from llmledgerd.spool.recovery import QUARANTINE
from llmledgerd.telemetry.metrics import Metrics

HOUSEKEEPING_SECONDS = 1.0
ON_THEIR_WAY_US = 3600 * 1_000_000
"""Lines that were received so lately may be in memory, or in a clock's correction."""
ENDED_MEMORY_SECONDS = 300.0
"""A session that has ended is remembered until its sender cannot be repeating the end any more."""

log = structlog.get_logger(__name__)


class Housekeeping:
    """Of one daemon."""

    def __init__(
        self,
        spool: Spool,
        files: Files,
        committer: Committer,
        listener: Listener,
        shipping: Shipping,
        admission: Admission,
        report: Report,
        metrics: Metrics,
        config: Config,
        clock: Clock,
        *,
        catch_up: Callable[[], None],
        marks: Marks,
    ) -> None:
        """``catch_up`` says what has recurred in the other rooms and was not said."""
        self._spool = spool
        self._files = files
        self._committer = committer
        self._listener = listener
        self._shipping = shipping
        self._admission = admission
        self._report = report
        self._metrics = metrics
        self._config = config
        self._clock = clock
        self._catch_up = catch_up
        self._marks = marks
        self._started_us = clock.now_us()
        self.recurring = Recurring()
        self.failures: Counter[str] = Counter()
        """How often each thing that is done here has failed."""

    def reconfigure(self, config: Config) -> None:
        """Go on by settings that were read again."""
        self._config = config

    async def keep_house(self) -> None:
        """Do what senders and the log wait for, until cancelled."""
        on_writer = self._committer.on_writer
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            await self._try("clock", self._look_at_the_clock)
            await self._try("make_room", self._make_room)
            await self._try("give_up", self._give_up)
            await self._try("close_stalled", self._close_stalled)
            await self._try("reserve", lambda: on_writer(self._keep_reserve))
            await self._try("note", lambda: on_writer(self._report.note))
            self._catch_up()

    async def keep_small(self) -> None:
        """Do what takes its time: compress what has to wait, prune dead letters, until cancelled."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            await self._try("compress", self._shipping.keeper.compress)
            await self._try("dead_letters", self._prune)

    async def _try(self, what: str, action: Callable[[], Awaitable[object]]) -> None:
        """Do one thing; where it fails, whyever, count it and say so."""
        try:
            await action()
        except Exception as error:  # noqa: BLE001 -- a daemon that ended here would end at every start
            self._failed(what, repr(error))

    def _failed(self, what: str, error: str, times: int = 1) -> None:
        self.failures[what] += times
        self.recurring.error(f"housekeeping: {what} failed, and is tried again", error=error, times=times)

    async def _close_stalled(self) -> None:
        self._listener.close_stalled()

    async def _prune(self) -> None:
        oldest_us = await self._committer.on_writer(self._oldest_us) if self._marks.are_left else 0
        pruned = await asyncio.get_running_loop().run_in_executor(None, self._look_aside, oldest_us)
        self._metrics.letters_pruned += pruned.gone
        if pruned.gone:
            self.recurring.warn("dead letters deleted: size or age limit exceeded", times=pruned.gone)
        if pruned.failed:
            self._failed("dead_letters", pruned.failed[0], times=len(pruned.failed))

    def _keep_reserve(self) -> None:
        if not self._admission.spool_full:
            with contextlib.suppress(SpoolBroken):
                self._spool.reserve()

    def _oldest_us(self) -> int:
        """Return when the oldest line was received that may become a row yet."""
        now_us = self._clock.now_us() - ON_THEIR_WAY_US
        begun = (call.received_us for call in self._spool.state.snapshot.begun.values())
        return min(self._spool.oldest_us(now_us), now_us, *begun)

    def _look_aside(self, waiting_since_us: int) -> dead_letters.Pruned:
        """Keep dead letters within their bounds, forget marks; return what was done."""
        self._marks.forget(waiting_since_us)
        config = self._config
        # Files go by the machine's clock; where that is ahead of the time, nothing is too old for it.
        oldest_us = (
            min(self._clock.wall_us(), self._clock.now_us()) - config.dead_letters_max_age_days * DAY_US
        )
        pruned = dead_letters.prune(Path(config.spool_dir), config.dead_letters_max_bytes, oldest_us)
        self._report.aside(pruned, len(self._files.names(QUARANTINE)))
        return pruned

    async def _make_room(self) -> None:
        """Keep the spool within its bounds, by making senders wait or by dropping the oldest."""
        self.look_for_room()
        while self._admission.spool_full:
            may_lose = self._config.on_full == "drop_oldest"
            dropped = await self._shipping.keeper.drop_oldest(the_only_copy=may_lose)
            if dropped is None:
                return
            self.recurring.error(
                "spool full: oldest segment evicted", times=dropped.lines, stores=dropped.stores
            )
            is_all = len(dropped.stores) == len(self._spool.stores)
            self.own_lines(
                [loss("spool_full", dropped.lines, name) for name in ([""] if is_all else dropped.stores)]
            )
            self.look_for_room()

    def look_for_room(self) -> None:
        """Stop reading while the spool has no room, and go on when it has."""
        full = self._spool.freed_by_shipping() >= self._config.spool_max_bytes or self._disk_is_full()
        if full and self._config.on_full == "block":
            self.recurring.warn(FULL)
        self._admission.spool_full = full
        if not full:
            self._listener.resume()

    def _disk_is_full(self) -> bool:
        try:
            return self._files.free_bytes() < self._config.spool_reserve_bytes
        except OSError:
            return False  # the writer will find out, and says so

    async def _look_at_the_clock(self) -> None:
        """Say that the time has jumped; what goes by the time passed goes on as before."""
        self._clock.now_us()
        for step in self._clock.take_steps():
            log.warning("the time has jumped", why=step.why, seconds=(step.after_us - step.before_us) / 1e6)
            self._started_us = step.moved(self._started_us)
            self._listener.clock_jumped(step.moved)
            await self._committer.on_writer(self._spool.state.clock_jumped, step.moved)

    async def _give_up(self) -> None:
        """Declare what never came back, and forget what nobody will ask for."""
        now = self._clock.now_us()
        live = self._listener.live_sessions()
        calls = await self._committer.on_writer(self._declare, now, live, dict(self._listener.closed_at))
        self._metrics.abandoned_calls += calls
        self._listener.forget(self._spool.state.snapshot.sessions)
        await self._committer.seal_if_due()

    def _declare(self, now_us: int, live: set[bytes], closed_at: dict[bytes, int]) -> int:
        """Write down what never came back, and what was forgotten; return how many calls were given up.

        In the writer's turn and in one group, so that it is decided once: on a disk that cannot be written
        to, nothing is, and nothing of it waits in memory.
        """
        state = self._spool.state
        found = orphans(
            state.snapshot,
            now_us=now_us,
            started_us=self._started_us,
            grace_us=int(self._config.orphan_grace_seconds * 1e6),
            live=live,
            waiting=self._spool.unread_sessions(),
            closed_at=closed_at,
            room=state.room.for_abandoned(),
        )
        calls = 0
        if found or state.snapshot.owed:
            group, lines = decided(found, state.snapshot.owed, socket.gethostname(), now_us)
            with contextlib.suppress(SpoolBroken):
                self._spool.append(group.of_own(lines), lines, now_us)
                calls = len(group.orphans)
        self._spool.forget(
            now_us,
            memory_us=int(self._config.session_memory_seconds * 1e6),
            ended_memory_us=int(ENDED_MEMORY_SECONDS * 1e6),
            live=live,
        )
        return calls

    def own_lines(self, found: list[OwnLine]) -> None:
        """Write the daemon's own lines into the spool, where everything that is stored comes from."""
        for own in found:
            line = msgspec.json.encode(own) + b"\n"
            self._committer.add(Run(Entry(EntryKind.OWN, b"", 0, 1, len(line)), [line]))


def loss(reason: str, lines: int | None, store: str) -> OwnLine:
    """Return the daemon's own line about lines that the spool has lost; ``store`` empty: to all stores."""
    return OwnLine(stage="spool", reason=reason, count=lines, host=socket.gethostname(), store=store)
