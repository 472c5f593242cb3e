"""Status report: counters and state of all components.

Invariants:
- All counters are read at one moment, so that their identity holds in every status.
- A status waits for no store, and no longer than WRITER_SECONDS for a disk that hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from llmledgerd import __version__
from llmledgerd.delivery.manager import StoreDelivery
from llmledgerd.delivery.options import Runtime
from llmledgerd.ingest.server import Listener
from llmledgerd.spool import Files
from llmledgerd.spool.dead_letters import Pruned
from llmledgerd.telemetry.status import Rates, Status, StoreStatus, counters, store_counters

WRITER_SECONDS: Final = 2.0
"""Time after which the disk of the spool's writer is reported as hanging; scrapes wait for 10 s."""

FULL: Final = "the spool is full; senders wait until the store has taken some"


class Report:
    """Collects the status of all components."""

    def __init__(
        self, runtime: Runtime, files: Files, listener: Listener, deliveries: Sequence[StoreDelivery]
    ) -> None:
        self._spool = runtime.spool
        self._committer = runtime.committer
        self._admission = runtime.admission
        self._config = runtime.config
        self._clock = runtime.clock
        self._files = files
        self._listener = listener
        self._deliveries = deliveries
        self._rates = {delivery.name: Rates() for delivery in deliveries}
        self._counted: dict[str, Any] = {}
        self._by_store: dict[str, dict[str, Any]] = {}
        self._letters = Pruned(files=0, size=0)
        self._quarantined = 0

    def note(self) -> None:
        """Sample the counters, about once a second. Call this on the writer's thread."""
        self._count()
        for name, counted in self._by_store.items():
            self._rates[name].note(self._clock.monotonic(), counted["received"], counted["stored"])

    def aside(self, letters: Pruned, quarantined: int) -> None:
        """Take the counts of dead letters and quarantined files."""
        self._letters, self._quarantined = letters, quarantined

    async def status(
        self,
        *,
        stopping: bool,
        queries: int,
        redacted: dict[str, int],
        system_errors: dict[str, int],
        prices: str,
        otlp: dict[str, Any],
    ) -> Status:
        """Return the status; while the disk hangs, with the counters of the last sample."""
        trouble = self._why_not_ready(stopping)
        try:
            async with asyncio.timeout(WRITER_SECONDS):
                await self._committer.on_writer(self._count)
        except TimeoutError:
            trouble = f"the spool's disk has not answered for {WRITER_SECONDS:.0f} s"
        stores = [self._store(delivery, self._by_store[delivery.name]) for delivery in self._deliveries]
        return Status(
            version=__version__,
            ready=not trouble,
            spool=trouble,
            received_per_second=self._rates[stores[0].name].per_second()[0],
            stores=stores,
            connections=self._listener.connections,
            connections_accepted=self._listener.counts["connections"],
            connections_refused=dict(self._listener.refused_connections),
            connections_stalled=self._listener.counts["stalled_connections"],
            events=dict(self._listener.counts),
            queries_in_flight=queries,
            redacted=redacted,
            system_errors=system_errors,
            prices=prices,
            inflight_bytes=self._admission.total,
            inflight_max_bytes=self._config.max_inflight_bytes,
            spool_max_bytes=self._config.spool_max_bytes,
            dead_letter_files=self._letters.files,
            dead_letter_bytes=self._letters.size,
            quarantined_files=self._quarantined,
            clock_jumps=self._clock.jumps,
            clock_correction_seconds=self._clock.correction_seconds,
            **stores[0].as_the_only_one(),
            **self._counted,
            **otlp,
        )

    def _store(self, delivery: StoreDelivery, counted: dict[str, Any]) -> StoreStatus:
        since, retry_loop = counted["waiting_since_us"], delivery.shipper.retry_loop
        return StoreStatus(
            name=delivery.name,
            stored_per_second=self._rates[delivery.name].per_second()[1],
            lag_seconds=max(0.0, (self._clock.now_us() - since) / 1e6) if since else 0.0,
            inserts_in_flight=delivery.shipper.in_flight,
            retries=dict(retry_loop.retries),
            trouble=retry_loop.trouble,
            doubted_hours=delivery.doubted_hours,
            counts=dict(delivery.outlet.counts),
            faults=delivery.shipper.faults.summary,
            **counted,
        )

    def _count(self) -> None:
        try:
            free = self._files.free_bytes()
        except OSError:
            free = 0  # as for a writer
        self._counted = {**counters(self._spool), "disk_free_bytes": free}
        self._by_store = store_counters(self._spool)

    def _why_not_ready(self, stopping: bool) -> str:
        """Return why no records are accepted at this moment; empty while they are."""
        if self._committer.broken:
            return self._committer.broken
        if self._admission.spool_full:
            return FULL
        return "stopping" if stopping else ""
