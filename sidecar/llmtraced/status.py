"""What the daemon says of itself: the identity, and how it is doing. Pure.

Invariant: ``received = stored + dead_letters + lost + in_spool``, at every moment and across
restarts, in records and other lines that may still turn out to be records.
"""

from __future__ import annotations

import msgspec

from llmtraced.spool import Spool


class Status(msgspec.Struct, kw_only=True):
    """Counters since the spool was made, and gauges of this moment."""

    version: str
    ready: bool
    received: int
    """Lines that reached the disk, without those that turned out to be no records."""
    stored: int
    dead_letters: int
    lost: int
    in_spool: int
    control_lines: int
    """begin, dropped and end lines, the daemon's own, and repeats that were left out."""
    spool_bytes: int
    spool_segments: int
    sessions: int
    begun_calls: int
    connections: int
    inserts_in_flight: int
    retries: dict[str, int]
    store: str
    """Empty while the store takes batches; else what is wrong."""
    spool: str
    """Empty while lines can be made durable; else what is wrong."""


def counters(spool: Spool) -> dict[str, int]:
    """Return the identity's five numbers; to be called where the spool does not change meanwhile."""
    snap = spool.state.snapshot
    return {
        "received": snap.received - snap.control,
        "stored": snap.stored,
        "dead_letters": snap.dead,
        "lost": snap.lost,
        "in_spool": spool.waiting(),
        "control_lines": snap.control,
        "spool_bytes": spool.size(),
        "spool_segments": len(spool.segments),
        "sessions": len(snap.sessions),
        "begun_calls": len(snap.begun),
    }
