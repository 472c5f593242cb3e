"""What the daemon says of itself, gathered from its rooms.

Invariants:
- The counters are of one moment, so that their identity holds in every answer.
- An answer waits for no store, and for a disk that hangs no longer than WRITER_SECONDS.
"""

from __future__ import annotations

import asyncio
from typing import Final

from llmtraced import __version__
from llmtraced.admission import Admission
from llmtraced.clock import Clock
from llmtraced.committer import Committer
from llmtraced.config import Config
from llmtraced.dead_letters import Pruned
from llmtraced.listener import Listener
from llmtraced.shipper import Shipper
from llmtraced.spool import Files, Spool
from llmtraced.status import Rates, Status, counters

WRITER_SECONDS: Final = 2.0
"""How long the spool's writer may be kept by its disk before it is said to hang; scrapes wait for 10 s."""

FULL: Final = "the spool is full; senders wait until the store has taken some"


class Report:
    """Asks the rooms how they are doing."""

    def __init__(
        self,
        spool: Spool,
        files: Files,
        committer: Committer,
        listener: Listener,
        shipper: Shipper,
        admission: Admission,
        config: Config,
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._files = files
        self._committer = committer
        self._listener = listener
        self._shipper = shipper
        self._admission = admission
        self._config = config
        self._clock = clock
        self._rates = Rates()
        self._counted: dict[str, int] = {}
        self._letters = Pruned(files=0, size=0)
        self._quarantined = 0

    def note(self) -> None:
        """Remember the counters, about once a second. Where the spool does not change meanwhile."""
        self._count()
        self._rates.note(self._clock.monotonic(), self._counted["received"], self._counted["stored"])

    def aside(self, letters: Pruned, quarantined: int) -> None:
        """Remember what lies beside the segments."""
        self._letters, self._quarantined = letters, quarantined

    async def status(
        self, *, stopping: bool, queries: int, doubted_hours: int | None, redacted: dict[str, int]
    ) -> Status:
        """Return the status; of a disk that hangs, with the counters that were noted last."""
        trouble = self._why_not_ready(stopping)
        try:
            async with asyncio.timeout(WRITER_SECONDS):
                counted = await self._committer.on_writer(self._count)
        except TimeoutError:
            counted, trouble = self._counted, f"the spool's disk has not answered for {WRITER_SECONDS:.0f} s"
        received, stored = self._rates.per_second()
        waiting_since = counted["waiting_since_us"]
        return Status(
            version=__version__,
            ready=not trouble,
            spool=trouble,
            store=self._shipper.trouble,
            received_per_second=received,
            stored_per_second=stored,
            lag_seconds=max(0.0, (self._clock.now_us() - waiting_since) / 1e6) if waiting_since else 0.0,
            connections=self._listener.connections,
            connections_accepted=self._listener.counts["connections"],
            connections_refused=dict(self._listener.turned_away),
            connections_stalled=self._listener.counts["stalled_connections"],
            torn_lines=self._listener.counts["torn_lines"],
            inserts_in_flight=self._shipper.in_flight,
            retries=dict(self._shipper.retries),
            queries_in_flight=queries,
            doubted_hours=doubted_hours,
            redacted=redacted,
            inflight_bytes=self._admission.total,
            inflight_max_bytes=self._config.max_inflight_bytes,
            spool_max_bytes=self._config.spool_max_bytes,
            dead_letter_files=self._letters.files,
            dead_letter_bytes=self._letters.size,
            quarantined_files=self._quarantined,
            **counted,
        )

    def _count(self) -> dict[str, int]:
        try:
            free = self._files.free_bytes()
        except OSError:
            free = 0  # as it is for whoever wants to write
        self._counted = {**counters(self._spool), "disk_free_bytes": free}
        return self._counted

    def _why_not_ready(self, stopping: bool) -> str:
        """Return why no records can be taken at this moment; empty while they can."""
        if self._committer.broken:
            return self._committer.broken
        if self._admission.spool_full:
            return FULL
        return "stopping" if stopping else ""
