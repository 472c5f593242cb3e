"""Quota of the spool: its maximum size, and the free disk space that it leaves.

Invariant: a spool that is full makes senders wait (backpressure) or loses its oldest segments (eviction),
as ``on_full`` selects. An eviction is a counted loss.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from llmledgerd.config.settings import Config
from llmledgerd.daemon.status_reporter import FULL
from llmledgerd.delivery.eviction import Evictor
from llmledgerd.delivery.options import Runtime
from llmledgerd.errors import SpoolBroken
from llmledgerd.log import Recurring
from llmledgerd.spool import Files
from llmledgerd.spool.own_lines import OwnLine


class SpoolQuota:
    """Compares the spool with its limits, and stops and resumes reading from senders."""

    def __init__(self, runtime: Runtime, files: Files, resume: Callable[[], None]) -> None:
        """``resume`` reads again from senders that were made to wait."""
        self._spool = runtime.spool
        self._committer = runtime.committer
        self._admission = runtime.admission
        self._config = runtime.config
        self._files = files
        self._resume = resume
        self.recurring = Recurring()

    def reconfigure(self, config: Config) -> None:
        """Apply reloaded settings."""
        self._config = config

    def check(self) -> None:
        """Stop reading from senders while the spool is full, and resume when it is not."""
        full = self._spool.freed_by_shipping() >= self._config.spool_max_bytes or self._disk_is_full()
        if full and self._config.on_full == "block":
            self.recurring.warn(FULL)
        self._admission.spool_full = full
        if not full:
            self._resume()

    async def enforce(self, evictor: Evictor) -> None:
        """Check the limits, and evict the oldest segments as far as that is allowed."""
        self.check()
        while self._admission.spool_full:
            may_lose = self._config.on_full == "drop_oldest"
            dropped = await evictor.drop_oldest(the_only_copy=may_lose)
            if dropped is None:
                return
            self.recurring.error(
                "spool full: oldest segment evicted", times=dropped.lines, stores=dropped.stores
            )
            is_all = len(dropped.stores) == len(self._spool.stores)
            self._committer.add_own(
                [loss("spool_full", dropped.lines, name) for name in ([""] if is_all else dropped.stores)]
            )
            self.check()

    def keep_reserve(self) -> None:
        """Allocate the spool's reserve again. Call this on the writer's thread."""
        if not self._admission.spool_full:
            with contextlib.suppress(SpoolBroken):
                self._spool.reserve()

    def _disk_is_full(self) -> bool:
        try:
            return self._files.free_bytes() < self._config.spool_reserve_bytes
        except OSError:
            return False  # the writer meets the same error, and reports it


def loss(reason: str, lines: int | None, store: str) -> OwnLine:
    """Return the daemon's own line about lines that the spool has lost; ``store`` empty: to all stores."""
    return OwnLine(stage="spool", reason=reason, count=lines, host=socket.gethostname(), store=store)
