"""Every metric that the daemon exposes: its name, its type, its labels, and what it means. Pure.

Invariant: names, types and labels are a promise to dashboards and alert rules. What is not in ALL is
not exposed, and what is in it is never renamed; a test pins the list.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]

IN_SPOOL: Final = " Kept in the spool, so it goes on after a restart."
"""Ends the help of counters that are older than the process."""

FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: of a disk's sync, of the event loop, of a query."""
SLOW: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: of an insert, which may take as long as ``insert_timeout_seconds``."""
LAGS: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
"""Seconds: a batch's age at the least, a day's outage of the store at the most."""
ROWS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0)
SIZES: Final = tuple(float(1 << shift) for shift in range(10, 28, 2))
"""Bytes: 1 KiB to 64 MiB, by fours."""


class Described(msgspec.Struct, frozen=True):
    """One metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


RECEIVED = Described(
    "llmledgerd_received_lines_total",
    "counter",
    "Lines that are durable. For each store: received = stored + dead letters + lost + control + waiting."
    + IN_SPOOL,
)
STORED = Described(
    "llmledgerd_stored_lines_total", "counter", "Lines that became rows." + IN_SPOOL, ("store",)
)
DEAD = Described(
    "llmledgerd_dead_letter_lines_total", "counter", "Lines that became dead letters." + IN_SPOOL, ("store",)
)
LOST = Described(
    "llmledgerd_lost_lines_total",
    "counter",
    "Durable lines that were lost after all: damaged on the disk, or dropped from a full spool." + IN_SPOOL,
    ("store",),
)
CONTROL = Described(
    "llmledgerd_control_lines_total",
    "counter",
    "Lines that are no records: begin, dropped and end, the daemon's own, repeats left out." + IN_SPOOL,
    ("store",),
)
WAITING = Described("llmledgerd_waiting_lines", "gauge", "Lines in the spool.", ("store",))
RECEIVED_BYTES = Described("llmledgerd_received_bytes_total", "counter", "Bytes of lines that are durable.")
REJECTED = Described(
    "llmledgerd_rejected_lines_total",
    "counter",
    "Dead letters of this process, by reason.",
    ("store", "reason"),
)
LOSSES = Described(
    "llmledgerd_losses_total",
    "counter",
    "Records lost, as in llm_trace_losses: by the sender's own report (stage client), or by the daemon.",
    ("stage", "service", "reason"),
)
UNCOUNTED_LOSSES = Described(
    "llmledgerd_uncounted_losses_total",
    "counter",
    "Losses of which nobody knows how many records they were, such as a sender that died.",
    ("stage", "service", "reason"),
)
ABANDONED = Described(
    "llmledgerd_abandoned_calls_total", "counter", "Calls that began and whose record never came."
)
CHANGED = Described(
    "llmledgerd_changed_values_total",
    "counter",
    "Values that a row could not have as they were sent: `clamped:<column>`, `timestamp_replaced`;"
    " times of receipt that the table's TTL would have deleted (`receipt_replaced`);"
    " payloads of which nothing was read, their usage unknown: `unread:budget`, too much for one line, and"
    " `unread:error`;"
    " and what a store changed or left out: `postgres:nul_replaced`, `postgres:repeated`.",
    ("what",),
)
UNPRICED = Described(
    "llmledgerd_unpriced_calls_total",
    "counter",
    "Calls with known usage and a model without price.",
    ("model",),
)

SPOOL_BYTES = Described("llmledgerd_spool_bytes", "gauge", "Bytes in segments.")
SPOOL_MAX = Described("llmledgerd_spool_max_bytes", "gauge", "The bound, `spool_max_bytes`.")
SPOOL_SEGMENTS = Described("llmledgerd_spool_segments", "gauge", "Sealed segments that wait for their store.")
SPOOL_OLDEST = Described(
    "llmledgerd_spool_oldest_seconds", "gauge", "Age of the oldest line that waits; 0 where none does."
)
SPOOL_FREE = Described("llmledgerd_spool_disk_free_bytes", "gauge", "Free bytes of the spool's disk.")
ACCEPTING = Described(
    "llmledgerd_accepting", "gauge", "1 while records can be made durable, as /readyz says; else 0."
)
GROUP_COMMIT = Described(
    "llmledgerd_group_commit_seconds",
    "histogram",
    "From the closing of a group of lines to its sync, retries on a failing disk included.",
    (),
    FAST,
)
INFLIGHT = Described("llmledgerd_inflight_bytes", "gauge", "Bytes of records in memory, in all stages.")
INFLIGHT_MAX = Described("llmledgerd_inflight_max_bytes", "gauge", "The bound, `max_inflight_bytes`.")
LOOP_LAG = Described(
    "llmledgerd_event_loop_lag_seconds",
    "histogram",
    "How much later than due the event loop ran a timer.",
    (),
    FAST,
)

OPEN_CONNECTIONS = Described("llmledgerd_open_connections", "gauge", "Senders that are connected.")
CONNECTIONS = Described("llmledgerd_connections_total", "counter", "Connections that were accepted.")
REFUSED = Described(
    "llmledgerd_refused_connections_total", "counter", "Connections that were closed at once.", ("reason",)
)
STALLED = Described(
    "llmledgerd_stalled_connections_total", "counter", "Connections closed since their line did not go on."
)
TORN = Described(
    "llmledgerd_torn_lines_total",
    "counter",
    "Last lines of one-way senders that were cut off, and not stored.",
)
SESSIONS = Described("llmledgerd_sessions", "gauge", "Sessions that are remembered.")
BEGUN = Described("llmledgerd_begun_calls", "gauge", "Calls that were announced and are under way.")
SYSTEM_ERRORS = Described(
    "llmledgerd_system_errors_total",
    "counter",
    "What the operating system refused and the daemon lived with: `accept`, and what is done once a second.",
    ("what",),
)

TAKING = Described(
    "llmledgerd_store_taking", "gauge", "1 while the store takes batches; 0 after a failure.", ("store",)
)
IN_FLIGHT = Described(
    "llmledgerd_store_inserts_in_flight", "gauge", "Segments on their way into the store.", ("store",)
)
INSERT_SECONDS = Described(
    "llmledgerd_store_insert_seconds", "histogram", "How long inserts took that worked.", ("store",), SLOW
)
INSERT_ROWS = Described("llmledgerd_store_insert_rows", "histogram", "Rows of an insert.", ("store",), ROWS)
INSERT_BYTES = Described(
    "llmledgerd_store_insert_bytes", "histogram", "Bytes of an insert, encoded.", ("store",), SIZES
)
RETRIES = Described(
    "llmledgerd_store_retries_total",
    "counter",
    "Attempts that failed and are made again, by what went wrong; `rejected` is a batch that was halved,"
    " `internal_error` a segment that met a fault of the daemon's own.",
    ("store", "kind"),
)
LAG = Described(
    "llmledgerd_store_lag_seconds",
    "histogram",
    "From the start of a call (created_at) to its row; a backfill's are as long as it is old.",
    ("store",),
    LAGS,
)
DOUBTED = Described(
    "llmledgerd_rollup_doubted_hours",
    "gauge",
    "Hours that usage is read from the rows for, until the rollup is rebuilt.",
    ("store",),
)

LETTER_FILES = Described("llmledgerd_dead_letter_files", "gauge", "Files of dead letters on the disk.")
LETTER_BYTES = Described("llmledgerd_dead_letter_bytes", "gauge", "Bytes of dead letters on the disk.")
PRUNED = Described(
    "llmledgerd_dead_letters_pruned_total",
    "counter",
    "Dead letters that were deleted, being over their bounds.",
)
QUARANTINED = Described("llmledgerd_quarantined_files", "gauge", "Damaged segments that were put aside.")
QUERIES = Described("llmledgerd_queries_total", "counter", "Requests under /v1.", ("path", "status"))
QUERY_SECONDS = Described(
    "llmledgerd_query_seconds", "histogram", "How long requests under /v1 took.", ("path",), SLOW
)
QUERIES_IN_FLIGHT = Described("llmledgerd_queries_in_flight", "gauge", "Queries that run or wait.")
CLOCK_JUMPS = Described(
    "llmledgerd_clock_jumps_total", "counter", "How often the time has jumped, or was kept from jumping back."
)
CLOCK_CORRECTION = Described(
    "llmledgerd_clock_correction_seconds",
    "gauge",
    "By how much the time of receipt is ahead of the machine's clock; not 0 where that is wrong.",
)
BUILD = Described("llmledgerd_build_info", "gauge", "1; the label says which version runs.", ("version",))

ALL: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Described))


def reference() -> str:
    """Return every metric as a Markdown table."""
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in ALL:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"
