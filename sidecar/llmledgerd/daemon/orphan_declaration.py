"""Declaration of orphans: calls and sessions that never came back are declared once.

Invariant: a declaration is decided and written in one group on the writer's thread. On a disk that cannot
be written to nothing is decided, and nothing waits in memory.
"""

from __future__ import annotations

import contextlib
import socket

from llmledgerd.config.settings import Config
from llmledgerd.delivery.options import Runtime
from llmledgerd.delivery.orphans import decided, orphans
from llmledgerd.errors import SpoolBroken
from llmledgerd.ingest.server import Listener
from llmledgerd.log import log
from llmledgerd.telemetry.metrics import Metrics

ENDED_MEMORY_SECONDS = 300.0
"""A session that has ended is remembered until its sender cannot be repeating the end any more."""


class OrphanDeclaration:
    """Declares orphans, and expires sessions that are no longer needed."""

    def __init__(self, runtime: Runtime, listener: Listener, metrics: Metrics) -> None:
        self._spool = runtime.spool
        self._committer = runtime.committer
        self._config = runtime.config
        self._clock = runtime.clock
        self._listener = listener
        self._metrics = metrics
        self._started_us = runtime.clock.now_us()

    def reconfigure(self, config: Config) -> None:
        """Apply reloaded settings."""
        self._config = config

    async def follow_clock(self) -> None:
        """Log jumps of the clock, and move the times that grace periods are measured from."""
        self._clock.now_us()
        for step in self._clock.take_steps():
            log.warning("the time has jumped", why=step.why, seconds=(step.after_us - step.before_us) / 1e6)
            self._started_us = step.moved(self._started_us)
            self._listener.clock_jumped(step.moved)
            await self._committer.on_writer(self._spool.state.clock_jumped, step.moved)

    async def declare(self) -> None:
        """Declare what never came back, expire old sessions, and seal a segment that is due."""
        now = self._clock.now_us()
        live = self._listener.live_sessions()
        calls = await self._committer.on_writer(self._declare, now, live, dict(self._listener.closed_at))
        self._metrics.abandoned_calls += calls
        self._listener.forget(self._spool.state.snapshot.sessions)
        await self._committer.seal_if_due()

    def _declare(self, now_us: int, live: set[bytes], closed_at: dict[bytes, int]) -> int:
        """Write the orphans to the spool; return how many calls were declared abandoned."""
        state = self._spool.state
        found = orphans(
            state.snapshot,
            now_us=now_us,
            started_us=self._started_us,
            grace_us=int(self._config.orphan_grace_seconds * 1e6),
            live=live,
            waiting=self._spool.unread_sessions(),
            closed_at=closed_at,
            budget_bytes=state.budget.abandoned_bytes_left(),
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
