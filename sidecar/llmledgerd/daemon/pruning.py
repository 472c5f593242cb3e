"""Pruning of what lies beside the segments: dead letters, and marks of erasures.

Invariant: dead letters stay within their limits of size and age. A mark of an erasure stays until no
line that it covers can become a row.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from llmledgerd.config.settings import Config
from llmledgerd.daemon.housekeeping import PartialFailure
from llmledgerd.daemon.status_reporter import Report
from llmledgerd.delivery.erasure_marks import Marks
from llmledgerd.delivery.options import Runtime
from llmledgerd.log import Recurring
from llmledgerd.records.repeats import DAY_US
from llmledgerd.spool import Files, dead_letters
from llmledgerd.spool.recovery import QUARANTINE
from llmledgerd.telemetry.metrics import Metrics

ON_THEIR_WAY_US = 3600 * 1_000_000
"""Lines that were received later than this may be in memory, or in a clock's correction."""


class Pruning:
    """Prunes dead letters and marks of erasures, and counts what is left for the status."""

    def __init__(
        self, runtime: Runtime, files: Files, marks: Marks, report: Report, metrics: Metrics
    ) -> None:
        self._spool = runtime.spool
        self._committer = runtime.committer
        self._config = runtime.config
        self._clock = runtime.clock
        self._files = files
        self._marks = marks
        self._report = report
        self._metrics = metrics
        self.recurring = Recurring()

    def reconfigure(self, config: Config) -> None:
        """Apply reloaded settings."""
        self._config = config

    async def prune(self) -> None:
        """Prune once. Raises PartialFailure for files that cannot be read or deleted."""
        oldest_us = await self._committer.on_writer(self._oldest_us) if self._marks.are_left else 0
        pruned = await asyncio.get_running_loop().run_in_executor(None, self._prune, oldest_us)
        self._metrics.letters_pruned += pruned.gone
        if pruned.gone:
            self.recurring.warn("dead letters deleted: size or age limit exceeded", times=pruned.gone)
        if pruned.failed:
            raise PartialFailure(pruned.failed[0], times=len(pruned.failed))

    def _oldest_us(self) -> int:
        """Return when the oldest line was received that may become a row yet."""
        now_us = self._clock.now_us() - ON_THEIR_WAY_US
        begun = (call.received_us for call in self._spool.state.snapshot.begun.values())
        return min(self._spool.oldest_us(now_us), now_us, *begun)

    def _prune(self, waiting_since_us: int) -> dead_letters.Pruned:
        self._marks.forget(waiting_since_us)
        config = self._config
        # Files have the machine's time; where its clock is fast, nothing is too old for its own time.
        oldest_us = (
            min(self._clock.wall_us(), self._clock.now_us()) - config.dead_letters_max_age_days * DAY_US
        )
        pruned = dead_letters.prune(Path(config.spool_dir), config.dead_letters_max_bytes, oldest_us)
        self._report.aside(pruned, len(self._files.names(QUARANTINE)))
        return pruned
