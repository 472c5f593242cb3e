"""Status model of the daemon: the counters' identity and the current gauges. Pure.

Invariant: ``received = stored + dead_letters + lost + control_lines + in_spool`` for each store, at every
moment and across restarts; all but ``in_spool`` only grow, so that a wait for a value always ends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from llmledgerd.spool import Progress, Spool


class StoreStatus(msgspec.Struct, kw_only=True):
    """Counters of one store, over the lines received since it was configured."""

    name: str
    received: int
    """Durable lines of any kind."""
    stored: int
    dead_letters: int
    lost: int
    in_spool: int
    control_lines: int
    """`begin`, `dropped` and `end` lines, the daemon's own lines, and duplicates."""
    waiting_since_us: int
    """Time of receipt of the oldest waiting line, in microseconds since 1970; 0 if no line waits."""
    stored_per_second: float = 0.0
    """Over the last minute, or since the start."""
    lag_seconds: float = 0.0
    """Age of the oldest waiting line."""
    inserts_in_flight: int
    retries: dict[str, int]
    trouble: str
    """Error of the store; empty while it accepts batches."""
    doubted_hours: int | None = None
    """Hours that may be wrong in the rollup; None before the first check and without a rollup."""
    counts: dict[str, int] = {}
    """Values that this kind of store changed or left out since the start; see docs/stores.md."""
    faults: str = ""
    """Internal faults during delivery to this store; empty if there were none."""

    def as_the_only_one(self) -> dict[str, Any]:
        """Return the top-level fields of Status, which repeat those of the first store."""
        fields = msgspec.structs.asdict(self)
        trouble, *_ = [fields.pop(name) for name in ("trouble", "name", "counts", "faults")]
        return {**fields, "store": trouble}


class OtlpPuzzle(msgspec.Struct, kw_only=True):
    """What was not understood of a sender, with one example: names of attributes, never their values."""

    what: str
    count: int
    example: str


class OtlpSender(msgspec.Struct, kw_only=True):
    """What one service's emitter sent over OTLP since the start."""

    service: str
    emitter: str
    """Name of the instrumentation scope."""
    version: str
    convention: str = ""
    """How it was read; empty: it says nothing of models."""
    spans: int = 0
    log_records: int = 0
    rows: int = 0
    """Lines made of these; a repeat is one more line and no further row of the table."""
    covered: int = 0
    """Calls that are no rows, because a span below or above tells of the same call."""
    puzzles: list[OtlpPuzzle] = []


class Status(msgspec.Struct, kw_only=True):
    """Counters since the spool was created, and current gauges.

    ``stores`` has them for each store; the top-level fields are those of the first store, which serves queries.
    """

    version: str
    ready: bool
    received: int
    """Durable lines of any kind."""
    stored: int
    dead_letters: int
    lost: int
    in_spool: int
    control_lines: int
    """`begin`, `dropped` and `end` lines, the daemon's own lines, and duplicates."""
    spool_bytes: int
    spool_segments: int
    waiting_since_us: int
    """Time of receipt of the oldest waiting line, in microseconds since 1970; 0 if no line waits."""
    sessions: int
    begun_calls: int
    received_per_second: float = 0.0
    stored_per_second: float = 0.0
    """Over the last minute, or since the start."""
    lag_seconds: float = 0.0
    """Age of the oldest waiting line."""
    connections: int
    connections_accepted: int = 0
    connections_refused: dict[str, int] = {}
    """Refused connections by reason, since the start."""
    connections_stalled: int = 0
    """Connections closed because an unfinished line made no progress."""
    events: dict[str, int] = {}
    """Events of the record socket by name, since the start; ``telemetry.definitions`` describes them."""
    inserts_in_flight: int
    queries_in_flight: int = 0
    """Running and queued queries under ``/v1``."""
    retries: dict[str, int]
    redacted: dict[str, int] = {}
    """Number of redactions by rule, since the start."""
    system_errors: dict[str, int] = {}
    """Failed system operations that the daemon survived, since the start: `accept`, `prices` (reloads of
    price files), and the tasks that run once per second by name."""
    prices: str = ""
    """Error of a price file at the last reload, whose prices are not in force; empty otherwise."""
    store: str
    """Error of the first store; empty while it accepts batches."""
    spool: str
    """Error of the spool; empty while lines can be made durable."""
    stores: list[StoreStatus] = []
    spool_max_bytes: int = 0
    disk_free_bytes: int = 0
    inflight_bytes: int = 0
    """Bytes of records in memory, over all stages."""
    inflight_max_bytes: int = 0
    dead_letter_files: int = 0
    dead_letter_bytes: int = 0
    quarantined_files: int = 0
    clock_jumps: int = 0
    """Jumps of the system clock since the start, including those that were corrected."""
    clock_correction_seconds: float = 0.0
    """Offset added to the system clock for times of receipt; nonzero when the system clock is wrong."""
    doubted_hours: int | None = None
    """Hours that may be wrong in the rollup; None before the first check."""
    otlp: list[OtlpSender] = []
    """Senders over OTLP, since the start."""
    otlp_requests: dict[str, int] = {}
    """Requests over OTLP by signal and status, since the start: `traces 200`."""


class Rates:
    """Rates of the counters. Pure: the caller passes the time and calls ``note`` about once per second."""

    def __init__(self, span_seconds: float = 60.0) -> None:
        self._span = span_seconds
        self._seen: deque[tuple[float, int, int]] = deque()

    def note(self, now: float, received: int, stored: int) -> None:
        self._seen.append((now, received, stored))
        while self._seen[0][0] < now - self._span:
            self._seen.popleft()

    def per_second(self) -> tuple[float, float]:
        """Return received and stored records per second; 0 before the second ``note``."""
        if len(self._seen) < 2:
            return 0.0, 0.0
        (began, *before), (now, *after) = self._seen[0], self._seen[-1]
        received, stored = ((b - a) / (now - began) for a, b in zip(before, after, strict=True))
        return received, stored


def counters(spool: Spool) -> dict[str, Any]:
    """Return the counters shared by all stores. The spool must not change during the call."""
    snap = spool.state.snapshot
    return {
        "spool_bytes": spool.size(),
        "spool_segments": len(spool.segments),
        "sessions": len(snap.sessions),
        "begun_calls": len(snap.begun),
    }


def store_counters(spool: Spool) -> dict[str, dict[str, Any]]:
    """Return the counters of the identity for each store. The spool must not change during the call."""
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
    """Return the one-line summary for `systemctl status`."""
    said = (
        f"{status.stored:,} stored ({status.stored_per_second:,.0f}/s), {status.in_spool:,} in the spool,"
        f" {status.dead_letters:,} dead letters, {status.lost:,} lost"
    )
    of_stores = (text for store in status.stores for text in (store.trouble, store.faults))
    trouble = [text for text in (status.spool, status.prices, *of_stores) if text]
    return " ".join("; ".join([said, *trouble]).split())
