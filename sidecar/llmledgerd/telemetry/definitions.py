"""Catalog of the daemon's metrics: name, type, labels and meaning. Pure.

Invariant: names, types and labels are a promise to dashboards and alert rules. What is not in ALL is
not exposed, and a metric in it is never renamed; a test pins the list.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]

IN_SPOOL: Final = " Persisted in the spool: it continues after a restart."
"""Suffix of the help of counters that survive a restart."""

FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets in seconds for disk syncs, event loop delays and queries."""
SLOW: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Buckets in seconds for inserts, which can take up to ``insert_timeout_seconds``."""
LAGS: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
"""Buckets in seconds for delivery lag: from one batch's age to a store outage of one day."""
ROWS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0)
SIZES: Final = tuple(float(1 << shift) for shift in range(10, 28, 2))
"""Buckets in bytes: 1 KiB to 64 MiB, each four times the one before."""


class Described(msgspec.Struct, frozen=True):
    """Definition of one metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    event: str = ""
    """Key of ``Status.events``: a component counts the event, and nothing else has to know of it."""


RECEIVED = Described(
    "llmledgerd_received_lines_total",
    "counter",
    "Durable lines. For each store: received = stored + dead letters + lost + control + waiting." + IN_SPOOL,
)
STORED = Described("llmledgerd_stored_lines_total", "counter", "Lines stored as rows." + IN_SPOOL, ("store",))
DEAD = Described(
    "llmledgerd_dead_letter_lines_total", "counter", "Lines that became dead letters." + IN_SPOOL, ("store",)
)
LOST = Described(
    "llmledgerd_lost_lines_total",
    "counter",
    "Durable lines lost afterwards: damaged on disk, or evicted from a full spool." + IN_SPOOL,
    ("store",),
)
CONTROL = Described(
    "llmledgerd_control_lines_total",
    "counter",
    "Lines that are not records: `begin`, `dropped` and `end` lines, the daemon's own lines, and duplicates."
    + IN_SPOOL,
    ("store",),
)
WAITING = Described(
    "llmledgerd_waiting_lines", "gauge", "Lines in the spool that wait for the store.", ("store",)
)
RECEIVED_BYTES = Described("llmledgerd_received_bytes_total", "counter", "Bytes of durable lines.")
REJECTED = Described(
    "llmledgerd_rejected_lines_total",
    "counter",
    "Dead letters since the start, by reason.",
    ("store", "reason"),
)
LOSSES = Described(
    "llmledgerd_losses_total",
    "counter",
    "Lost records, as in llm_trace_losses: reported by the sender (stage `client`) or detected by the daemon.",
    ("stage", "service", "reason"),
)
UNCOUNTED_LOSSES = Described(
    "llmledgerd_uncounted_losses_total",
    "counter",
    "Losses of an unknown number of records, such as a crashed sender.",
    ("stage", "service", "reason"),
)
ABANDONED = Described(
    "llmledgerd_abandoned_calls_total", "counter", "Calls that began and for which no record arrived."
)
CHANGED = Described(
    "llmledgerd_changed_values_total",
    "counter",
    "Values changed to fit a row: `clamped:<column>`, `timestamp_replaced`;"
    " times of receipt that the table's TTL would have deleted (`receipt_replaced`);"
    " payloads not parsed, so that their usage is unknown: `unread:budget` (over the limit of one line),"
    " `unread:error`; the same of columns about conversations, prompts and tools: `unread:conversation`;"
    " and values that a store changed or left out: `postgres:nul_replaced`, `postgres:repeated`.",
    ("what",),
)
UNPRICED = Described(
    "llmledgerd_unpriced_calls_total",
    "counter",
    "Calls without a cost, by the reason (`cost_reason`) and the model that has no price.",
    ("reason", "model"),
)

SPOOL_BYTES = Described("llmledgerd_spool_bytes", "gauge", "Bytes of all segments.")
SPOOL_MAX = Described("llmledgerd_spool_max_bytes", "gauge", "Limit of the spool's size, `spool_max_bytes`.")
SPOOL_SEGMENTS = Described("llmledgerd_spool_segments", "gauge", "Sealed segments that wait for delivery.")
SPOOL_OLDEST = Described(
    "llmledgerd_spool_oldest_seconds", "gauge", "Age of the oldest waiting line; 0 if no line waits."
)
SPOOL_FREE = Described("llmledgerd_spool_disk_free_bytes", "gauge", "Free bytes on the spool's file system.")
ACCEPTING = Described(
    "llmledgerd_accepting", "gauge", "1 while the daemon accepts records, as in /readyz; else 0."
)
GROUP_COMMIT = Described(
    "llmledgerd_group_commit_seconds",
    "histogram",
    "Duration of a group commit: from closing the group to the end of its sync, with retries on a failing disk.",
    (),
    FAST,
)
INFLIGHT = Described("llmledgerd_inflight_bytes", "gauge", "Bytes of records in memory, over all stages.")
INFLIGHT_MAX = Described(
    "llmledgerd_inflight_max_bytes", "gauge", "Limit of records in memory, `max_inflight_bytes`."
)
LOOP_LAG = Described(
    "llmledgerd_event_loop_lag_seconds",
    "histogram",
    "Delay of a timer on the event loop.",
    (),
    FAST,
)

OPEN_CONNECTIONS = Described("llmledgerd_open_connections", "gauge", "Open connections of senders.")
CONNECTIONS = Described("llmledgerd_connections_total", "counter", "Accepted connections.")
REFUSED = Described(
    "llmledgerd_refused_connections_total", "counter", "Connections refused, by reason.", ("reason",)
)
STALLED = Described(
    "llmledgerd_stalled_connections_total",
    "counter",
    "Connections closed because an unfinished line made no progress.",
)
TORN = Described(
    "llmledgerd_torn_lines_total",
    "counter",
    "Truncated last lines of one-way senders, which were not stored.",
    event="torn_lines",
)
SESSIONS = Described("llmledgerd_sessions", "gauge", "Sender sessions in the spool's state.")
BEGUN = Described(
    "llmledgerd_begun_calls", "gauge", "Calls in progress that were announced by a `begin` line."
)
SYSTEM_ERRORS = Described(
    "llmledgerd_system_errors_total",
    "counter",
    "Failed system operations that the daemon survived: `accept`, `admin` and `otlp` (starts of their HTTP servers),"
    " `prices` (reloads of price files), and the tasks that run once per second.",
    ("what",),
)

TAKING = Described(
    "llmledgerd_store_taking", "gauge", "1 while the store accepts batches; 0 after a failure.", ("store",)
)
IN_FLIGHT = Described(
    "llmledgerd_store_inserts_in_flight", "gauge", "Segments that are being inserted.", ("store",)
)
INSERT_SECONDS = Described(
    "llmledgerd_store_insert_seconds", "histogram", "Duration of successful inserts.", ("store",), SLOW
)
INSERT_ROWS = Described("llmledgerd_store_insert_rows", "histogram", "Rows per insert.", ("store",), ROWS)
INSERT_BYTES = Described(
    "llmledgerd_store_insert_bytes", "histogram", "Encoded bytes per insert.", ("store",), SIZES
)
RETRIES = Described(
    "llmledgerd_store_retries_total",
    "counter",
    "Failed attempts that are retried, by error; `rejected`: a batch was split in two,"
    " `internal_error`: a fault of the daemon while it delivered a segment.",
    ("store", "kind"),
)
LAG = Described(
    "llmledgerd_store_lag_seconds",
    "histogram",
    "Time from the start of a call (created_at) to its row; imported records have the lag of their age.",
    ("store",),
    LAGS,
)
DOUBTED = Described(
    "llmledgerd_rollup_doubted_hours",
    "gauge",
    "Hours for which usage is computed from the rows until the rollup is rebuilt.",
    ("store",),
)

LETTER_FILES = Described("llmledgerd_dead_letter_files", "gauge", "Dead-letter files on disk.")
LETTER_BYTES = Described("llmledgerd_dead_letter_bytes", "gauge", "Bytes of dead letters on disk.")
PRUNED = Described(
    "llmledgerd_dead_letters_pruned_total",
    "counter",
    "Dead letters deleted because they exceeded their limits.",
)
QUARANTINED = Described("llmledgerd_quarantined_files", "gauge", "Damaged segments in quarantine.")
QUERIES = Described("llmledgerd_queries_total", "counter", "Requests under /v1.", ("path", "status"))
QUERY_SECONDS = Described(
    "llmledgerd_query_seconds", "histogram", "Duration of requests under /v1.", ("path",), SLOW
)
QUERIES_IN_FLIGHT = Described("llmledgerd_queries_in_flight", "gauge", "Running and queued queries.")
CLOCK_JUMPS = Described(
    "llmledgerd_clock_jumps_total",
    "counter",
    "Jumps of the system clock, including backward jumps that were corrected.",
)
CLOCK_CORRECTION = Described(
    "llmledgerd_clock_correction_seconds",
    "gauge",
    "Offset added to the system clock for times of receipt; nonzero when the system clock is wrong.",
)
BUILD = Described(
    "llmledgerd_build_info", "gauge", "Always 1; the label is the daemon's version.", ("version",)
)

ALL: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Described))


def reference() -> str:
    """Return every metric as a Markdown table."""
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in ALL:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"
