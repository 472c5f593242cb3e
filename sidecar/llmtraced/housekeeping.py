"""What the daemon does once a second, asked or not.

Invariant: the spool stays within its bounds, by making senders wait or by dropping the oldest; what never
came back is declared once; and nothing here ends the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from llmtraced import dead_letters
from llmtraced.admission import Admission
from llmtraced.batch import OwnLine
from llmtraced.clock import Clock
from llmtraced.committer import Committer, Run
from llmtraced.config import Config
from llmtraced.errors import SpoolBroken
from llmtraced.listener import Listener
from llmtraced.log import Recurring
from llmtraced.marks import Marks
from llmtraced.metrics import Metrics
from llmtraced.orphans import Orphan, orphans
from llmtraced.reporting import FULL, Report
from llmtraced.shipper import DAY_US
from llmtraced.shipping import Shipping
from llmtraced.spool import Entry, EntryKind, Files, Spool
from llmtraced.spool.recovery import QUARANTINE

HOUSEKEEPING_SECONDS = 1.0
ON_THEIR_WAY_US = 3600 * 1_000_000
"""Lines that were received so lately may be in memory, or in a clock's correction."""
ENDED_MEMORY_SECONDS = 300.0
"""A session that has ended is remembered until its sender cannot be repeating the end any more."""


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

    def reconfigure(self, config: Config) -> None:
        """Go on by settings that were read again."""
        self._config = config

    async def keep_house(self) -> None:
        """Do what senders and the log wait for, until cancelled."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            await self._make_room()
            await self._give_up()
            self._listener.close_stalled()
            await self._committer.on_writer(self._keep_reserve)
            await self._committer.on_writer(self._report.note)
            self._catch_up()

    async def keep_small(self) -> None:
        """Do what takes its time: compress what has to wait, prune dead letters, until cancelled."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            await self._shipping.keeper.compress()
            oldest_us = await self._committer.on_writer(self._oldest_us) if self._marks.are_left else 0
            gone = await asyncio.get_running_loop().run_in_executor(None, self._look_aside, oldest_us)
            self._metrics.letters_pruned += gone
            if gone:
                self.recurring.warn("dead letters over their bounds were deleted", times=gone)

    def _keep_reserve(self) -> None:
        if not self._admission.spool_full:
            with contextlib.suppress(SpoolBroken):
                self._spool.reserve()

    def _oldest_us(self) -> int:
        """Return when the oldest line was received that may become a row yet."""
        now_us = self._clock.now_us() - ON_THEIR_WAY_US
        begun = (call.received_us for call in self._spool.state.snapshot.begun.values())
        return min(self._spool.oldest_us(now_us), now_us, *begun)

    def _look_aside(self, waiting_since_us: int) -> int:
        """Keep dead letters within their bounds, forget marks; return how many letters had to go."""
        self._marks.forget(waiting_since_us)
        config = self._config
        oldest_us = self._clock.now_us() - config.dead_letters_max_age_days * DAY_US
        pruned = dead_letters.prune(Path(config.spool_dir), config.dead_letters_max_bytes, oldest_us)
        self._report.aside(pruned, len(self._files.names(QUARANTINE)))
        return pruned.gone

    async def _make_room(self) -> None:
        """Keep the spool within its bounds, by making senders wait or by dropping the oldest."""
        self.look_for_room()
        while self._admission.spool_full:
            may_lose = self._config.on_full == "drop_oldest"
            dropped = await self._shipping.keeper.drop_oldest(the_only_copy=may_lose)
            if dropped is None:
                return
            self.recurring.error(
                "the spool is full; its oldest lines were dropped", times=dropped.lines, stores=dropped.stores
            )
            is_all = len(dropped.stores) == len(self._spool.stores)
            self.own_lines(
                [loss("spool_full", dropped.lines, name) for name in ([""] if is_all else dropped.stores)]
            )
            self.look_for_room()

    def look_for_room(self) -> None:
        """Stop reading while the spool has no room, and go on when it has."""
        full = self._spool.size() >= self._config.spool_max_bytes or self._disk_is_full()
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

    async def _give_up(self) -> None:
        """Declare what never came back, and forget what nobody will ask for."""
        now = self._clock.now_us()
        live = self._listener.live_sessions()
        found = await self._committer.on_writer(self._orphans, now, live, dict(self._listener.closed_at))
        self.own_lines(found)
        self._listener.forget(self._spool.state.snapshot.sessions)

    def _orphans(self, now_us: int, live: set[bytes], closed_at: dict[bytes, int]) -> list[Orphan]:
        waiting = self._spool.waiting_by_session()
        found = orphans(
            self._spool.state.snapshot,
            now_us=now_us,
            started_us=self._started_us,
            grace_us=int(self._config.orphan_grace_seconds * 1e6),
            live=live,
            waiting=self._spool.unread_by_session(),
            closed_at=closed_at,
        )
        self._spool.state.forget(
            now_us,
            memory_us=int(self._config.session_memory_seconds * 1e6),
            ended_memory_us=int(ENDED_MEMORY_SECONDS * 1e6),
            busy=live | set(waiting),
            oldest_us=self._spool.oldest_us(now_us),
        )
        return found

    def own_lines(self, found: list[Orphan]) -> None:
        """Write the daemon's own lines into the spool, where everything that is stored comes from."""
        for orphan in found:
            self._metrics.abandoned_calls += bool(orphan.call)
            line = msgspec.json.encode(orphan.line) + b"\n"
            entry = Entry(EntryKind.OWN, b"", 0, 1, len(line))
            self._committer.add(Run(entry, [line], orphan=orphan.call, over=orphan.session))


def loss(reason: str, lines: int | None, store: str) -> Orphan:
    """Return the daemon's own line about lines that the spool has lost; ``store`` empty: to all stores."""
    return Orphan(OwnLine(stage="spool", reason=reason, count=lines, host=socket.gethostname(), store=store))
