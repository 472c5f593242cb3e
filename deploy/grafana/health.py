"""The dashboard of the daemons' health, from their ``/metrics``.

Invariant: every query is narrowed to the instances that are chosen.
"""

from __future__ import annotations

from typing import Final

from deploy.grafana.board import PROMETHEUS, Dashboard, Query, datasource, variable

CHOSEN: Final = '{instance=~"$instance"}'


def rate(metric: str, *labels: str) -> str:
    """Return how much a counter grows in a second, by some of its labels."""
    return f"sum by ({', '.join(labels)}) (rate({metric}{CHOSEN}[$__rate_interval]))"


def grown(metric: str, *labels: str) -> str:
    """Return how much a counter has grown, where it has."""
    return f"sum by ({', '.join(labels)}) (increase({metric}{CHOSEN}[$__rate_interval])) > 0"


def quantiles(metric: str) -> list[Query]:
    """Return median, 95th and 99th percentile of a histogram over all that are chosen."""
    buckets = f"sum by (le) (rate({metric}_bucket{CHOSEN}[$__rate_interval]))"
    return [(f"histogram_quantile({level}, {buckets})", f"{level:.0%}") for level in (0.5, 0.95, 0.99)]


def shown(metric: str, what: str = "") -> Query:
    """Return a gauge of each instance, with what it is called."""
    return f"{metric}{CHOSEN}", f"{what} {{{{instance}}}}".strip()


def health_dashboard() -> Dashboard:
    """Return what the daemons say: whether everything arrives, and how fast."""
    instances = {"query": "label_values(llmledgerd_build_info, instance)", "refId": "A"}
    board = Dashboard(
        "llmledgerd-health",
        "llmledgerd health",
        "Whether every record becomes a row, and how fast. From the daemons' /metrics.",
        PROMETHEUS,
        [datasource(PROMETHEUS), variable("instance", instances, PROMETHEUS)],
    )
    _totals(board)
    _arriving(board)
    _missing(board)
    _stores(board)
    _spool(board)
    _process(board)
    return board


def _totals(board: Dashboard) -> None:
    fullest = f"max(llmledgerd_spool_bytes{CHOSEN} / llmledgerd_spool_max_bytes)"
    board.stat("Daemons", "short", f"count(llmledgerd_build_info{CHOSEN})")
    board.stat("Taking records", "short", f"sum(llmledgerd_accepting{CHOSEN})")
    board.stat("Oldest waiting record", "s", f"max(llmledgerd_spool_oldest_seconds{CHOSEN})")
    board.stat("Fullest spool", "percentunit", fullest)
    for title, metric in (
        ("Lost in this range", "llmledgerd_lost_lines_total"),
        ("Dead letters in this range", "llmledgerd_dead_letter_lines_total"),
    ):
        board.stat(title, "short", f"sum(increase({metric}{CHOSEN}[$__range]))")


def _arriving(board: Dashboard) -> None:
    board.row("Arriving and landing")
    board.chart(
        "Lines a second",
        "cps",
        (rate("llmledgerd_received_lines_total", "job"), "received"),
        (rate("llmledgerd_stored_lines_total", "store"), "stored in {{store}}"),
    )
    board.chart("From a call's start to its row", "s", *quantiles("llmledgerd_store_lag_seconds"))
    board.chart("Waiting lines", "short", shown("llmledgerd_waiting_lines", "{{store}}"))
    board.chart("Age of the oldest waiting line", "s", shown("llmledgerd_spool_oldest_seconds"))


def _missing(board: Dashboard) -> None:
    board.row("What is missing")
    board.chart(
        "Lost by the daemon or its disk, and dead letters",
        "short",
        (grown("llmledgerd_lost_lines_total", "instance"), "lost, {{instance}}"),
        (grown("llmledgerd_rejected_lines_total", "reason"), "dead letter, {{reason}}"),
    )
    labels = ("stage", "service", "reason")
    board.chart(
        "Losses that were reported",
        "short",
        (grown("llmledgerd_losses_total", *labels), "{{stage}} {{service}} {{reason}}"),
        (
            grown("llmledgerd_uncounted_losses_total", *labels),
            "{{stage}} {{service}} {{reason}}, unknown how many",
        ),
    )
    board.chart(
        "Calls whose record never came", "short", (grown("llmledgerd_abandoned_calls_total", "instance"), "")
    )
    board.chart(
        "Values that were changed, calls without a cost",
        "short",
        (grown("llmledgerd_changed_values_total", "what"), "{{what}}"),
        (grown("llmledgerd_unpriced_calls_total", "reason", "model"), "{{reason}}: {{model}}"),
    )


def _stores(board: Dashboard) -> None:
    board.row("Stores")
    retries = rate("llmledgerd_store_retries_total", "store", "kind")
    board.chart("Taking batches", "bool_on_off", shown("llmledgerd_store_taking", "{{store}}"), min=0, max=1)
    board.chart("Failed attempts a second", "ops", (retries, "{{store}} {{kind}}"))
    board.chart("Time of an insert", "s", *quantiles("llmledgerd_store_insert_seconds"))
    board.chart("Rows per insert", "short", *quantiles("llmledgerd_store_insert_rows"))
    board.chart("Bytes of an insert", "bytes", *quantiles("llmledgerd_store_insert_bytes"))
    board.chart(
        "Inserts under way, hours of the rollup in doubt",
        "short",
        shown("llmledgerd_store_inserts_in_flight", "inserts, {{store}}"),
        shown("llmledgerd_rollup_doubted_hours", "hours in doubt, {{store}}"),
    )


def _spool(board: Dashboard) -> None:
    board.row("Spool and disk")
    board.chart(
        "Spool",
        "bytes",
        shown("llmledgerd_spool_bytes", "spool"),
        shown("llmledgerd_spool_max_bytes", "its bound"),
        shown("llmledgerd_spool_disk_free_bytes", "free on the disk"),
    )
    board.chart("Time to make a group durable", "s", *quantiles("llmledgerd_group_commit_seconds"))
    board.chart("Dead letters on the disk", "bytes", shown("llmledgerd_dead_letter_bytes"))
    board.chart(
        "Segments, files in quarantine",
        "short",
        shown("llmledgerd_spool_segments", "segments"),
        shown("llmledgerd_quarantined_files", "in quarantine"),
    )


def _process(board: Dashboard) -> None:
    board.row("Senders and process")
    refused = grown("llmledgerd_refused_connections_total", "reason")
    ours = "and on (job, instance) llmledgerd_build_info"
    board.chart(
        "Senders",
        "short",
        shown("llmledgerd_open_connections", "connections"),
        shown("llmledgerd_sessions", "sessions"),
        (refused, "refused, {{reason}}"),
    )
    board.chart("Event loop held up", "s", *quantiles("llmledgerd_event_loop_lag_seconds"))
    board.chart(
        "Memory",
        "bytes",
        (f"process_resident_memory_bytes{CHOSEN} {ours}", "resident, {{instance}}"),
        shown("llmledgerd_inflight_bytes", "records,"),
    )
    board.chart(
        "Processor", "percentunit", f"rate(process_cpu_seconds_total{CHOSEN}[$__rate_interval]) {ours}"
    )
    queries = rate("llmledgerd_queries_total", "path", "status")
    board.chart("Questions a second", "reqps", (queries, "{{path}} {{status}}"))
    board.chart("Time of a question", "s", *quantiles("llmledgerd_query_seconds"))
