"""What the daemon says of itself: the identity, and how it is doing. Pure.

Invariant: ``received = stored + dead_letters + lost + control_lines + in_spool`` for each store, at every
moment and across restarts; and all but the last only grow, so that whoever waits for one is not left waiting.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from llmledgerd.spool import Progress, Spool


class StoreStatus(msgspec.Struct, kw_only=True):
    """What one store has of the lines that were received since it is named."""

    name: str
    received: int
    """Lines that reached the disk, whatever they turn out to be."""
    stored: int
    dead_letters: int
    lost: int
    in_spool: int
    control_lines: int
    """begin, dropped and end lines, the daemon's own, and repeats that were left out."""
    waiting_since_us: int
    """When the oldest line that waits was received, in microseconds since 1970; 0 while none waits."""
    stored_per_second: float = 0.0
    """Over the last minute, or since the start."""
    lag_seconds: float = 0.0
    """The age of the oldest line that waits."""
    inserts_in_flight: int
    retries: dict[str, int]
    trouble: str
    """Empty while the store takes batches; else what is wrong."""
    doubted_hours: int | None = None
    """Hours that its rollup may have wrong; None before it was asked, and where there is no rollup."""
    counts: dict[str, int] = {}
    """What this kind of store had to change or leave out since the start, as docs/stores.md says."""
    faults: str = ""
    """Faults of ours that lines and segments have met on their way to it; empty while there were none."""

    def as_the_only_one(self) -> dict[str, Any]:
        """Return the fields of Status that say the same of the first store."""
        fields = msgspec.structs.asdict(self)
        trouble, *_ = [fields.pop(name) for name in ("trouble", "name", "counts", "faults")]
        return {**fields, "store": trouble}


class Status(msgspec.Struct, kw_only=True):
    """Counters since the spool was made, and gauges of this moment.

    ``stores`` has them for each store; the fields without are those of the first, which is read from.
    """

    version: str
    ready: bool
    received: int
    """Lines that reached the disk, whatever they turn out to be."""
    stored: int
    dead_letters: int
    lost: int
    in_spool: int
    control_lines: int
    """begin, dropped and end lines, the daemon's own, and repeats that were left out."""
    spool_bytes: int
    spool_segments: int
    waiting_since_us: int
    """When the oldest line that waits was received, in microseconds since 1970; 0 while none waits."""
    sessions: int
    begun_calls: int
    received_per_second: float = 0.0
    stored_per_second: float = 0.0
    """Over the last minute, or since the start."""
    lag_seconds: float = 0.0
    """The age of the oldest line that waits."""
    connections: int
    connections_accepted: int = 0
    connections_refused: dict[str, int] = {}
    """By reason, since the start, as is what was accepted."""
    connections_stalled: int = 0
    """Closed since their line did not go on."""
    torn_lines: int = 0
    """Last lines of one-way senders that were cut off."""
    inserts_in_flight: int
    queries_in_flight: int = 0
    """Of readers, under ``/v1``."""
    retries: dict[str, int]
    redacted: dict[str, int] = {}
    """How often each rule has hidden or cut something since the start."""
    system_errors: dict[str, int] = {}
    """What the operating system refused and the daemon lived with, since the start: `accept`, and what is
    done once a second by its name."""
    store: str
    """Empty while the first store takes batches; else what is wrong."""
    spool: str
    """Empty while lines can be made durable; else what is wrong."""
    stores: list[StoreStatus] = []
    spool_max_bytes: int = 0
    disk_free_bytes: int = 0
    inflight_bytes: int = 0
    """Of records in memory, in all stages."""
    inflight_max_bytes: int = 0
    dead_letter_files: int = 0
    dead_letter_bytes: int = 0
    quarantined_files: int = 0
    clock_jumps: int = 0
    """How often the time has jumped, or was kept from it, since the start."""
    clock_correction_seconds: float = 0.0
    """By how much the time of receipt is ahead of the machine's clock, which is wrong then."""
    doubted_hours: int | None = None
    """Hours that the rollup may have wrong; None before the store was asked."""


class Rates:
    """How fast counters grow. Pure: the caller brings the clock and calls ``note`` about once a second."""

    def __init__(self, span_seconds: float = 60.0) -> None:
        self._span = span_seconds
        self._seen: deque[tuple[float, int, int]] = deque()

    def note(self, now: float, received: int, stored: int) -> None:
        self._seen.append((now, received, stored))
        while self._seen[0][0] < now - self._span:
            self._seen.popleft()

    def per_second(self) -> tuple[float, float]:
        """Return records received and stored each second; 0 before two notes."""
        if len(self._seen) < 2:
            return 0.0, 0.0
        (began, *before), (now, *after) = self._seen[0], self._seen[-1]
        received, stored = ((b - a) / (now - began) for a, b in zip(before, after, strict=True))
        return received, stored


def counters(spool: Spool) -> dict[str, Any]:
    """Return what does not differ by store; to be called where the spool does not change meanwhile."""
    snap = spool.state.snapshot
    return {
        "spool_bytes": spool.size(),
        "spool_segments": len(spool.segments),
        "sessions": len(snap.sessions),
        "begun_calls": len(snap.begun),
    }


def store_counters(spool: Spool) -> dict[str, dict[str, Any]]:
    """Return the identity's six numbers of each store; to be called as above."""
    return {name: _identity(spool, name, store) for name, store in spool.state.snapshot.stores.items()}


def _identity(spool: Spool, name: str, store: Progress) -> dict[str, Any]:
    oldest = next(iter(spool.queue(name).values()), None)
    return {
        "received": store.received,
        "stored": store.stored,
        "dead_letters": store.dead,
        "lost": store.lost,
        "in_spool": spool.waiting(name),
        "control_lines": store.control,
        "waiting_since_us": oldest.first_us if oldest else 0,
    }


def in_one_line(status: Status) -> str:
    """Return what `systemctl status` shows."""
    said = (
        f"{status.stored:,} stored ({status.stored_per_second:,.0f}/s), {status.in_spool:,} in the spool,"
        f" {status.dead_letters:,} dead letters, {status.lost:,} lost"
    )
    of_stores = (text for store in status.stores for text in (store.trouble, store.faults))
    trouble = [text for text in (status.spool, *of_stores) if text]
    return " ".join("; ".join([said, *trouble]).split())
