"""Names that dashboards rely on, labels that stay few, histograms that count right."""

from __future__ import annotations

import asyncio
from math import inf
from pathlib import Path
from random import Random

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from llmledgerd.records.schema import LOSS_COLUMNS
from llmledgerd.telemetry import definitions
from llmledgerd.telemetry.exposition import buckets, exposition
from llmledgerd.telemetry.metrics import OTHER, Ages, Capped, Histogram, Metrics, of_status, watch_loop
from llmledgerd.telemetry.status import Status, StoreStatus

ROOT = Path(__file__).resolve().parents[3]
SECOND_US = 1_000_000

# name, type, labels: a promise to whoever has a dashboard. Lines may be added, never changed.
PINNED = """
llmledgerd_abandoned_calls_total counter
llmledgerd_accepting gauge
llmledgerd_begun_calls gauge
llmledgerd_build_info gauge version
llmledgerd_changed_values_total counter what
llmledgerd_clock_correction_seconds gauge
llmledgerd_clock_jumps_total counter
llmledgerd_connections_total counter
llmledgerd_control_lines_total counter store
llmledgerd_dead_letter_bytes gauge
llmledgerd_dead_letter_files gauge
llmledgerd_dead_letter_lines_total counter store
llmledgerd_dead_letters_pruned_total counter
llmledgerd_event_loop_lag_seconds histogram
llmledgerd_group_commit_seconds histogram
llmledgerd_inflight_bytes gauge
llmledgerd_inflight_max_bytes gauge
llmledgerd_losses_total counter stage service reason
llmledgerd_lost_lines_total counter store
llmledgerd_open_connections gauge
llmledgerd_quarantined_files gauge
llmledgerd_queries_in_flight gauge
llmledgerd_queries_total counter path status
llmledgerd_query_seconds histogram path
llmledgerd_received_bytes_total counter
llmledgerd_received_lines_total counter
llmledgerd_refused_connections_total counter reason
llmledgerd_rejected_lines_total counter store reason
llmledgerd_rollup_doubted_hours gauge store
llmledgerd_sessions gauge
llmledgerd_spool_bytes gauge
llmledgerd_spool_disk_free_bytes gauge
llmledgerd_spool_max_bytes gauge
llmledgerd_spool_oldest_seconds gauge
llmledgerd_spool_segments gauge
llmledgerd_stalled_connections_total counter
llmledgerd_store_insert_bytes histogram store
llmledgerd_store_insert_rows histogram store
llmledgerd_store_insert_seconds histogram store
llmledgerd_store_inserts_in_flight gauge store
llmledgerd_store_lag_seconds histogram store
llmledgerd_store_retries_total counter store kind
llmledgerd_store_taking gauge store
llmledgerd_stored_lines_total counter store
llmledgerd_system_errors_total counter what
llmledgerd_torn_lines_total counter
llmledgerd_uncounted_losses_total counter stage service reason
llmledgerd_unpriced_calls_total counter reason model
llmledgerd_waiting_lines gauge store
"""


def a_status(**fields: object) -> Status:
    given: dict[str, object] = {
        "version": "1.2.3", "ready": True, "received": 10, "stored": 4, "dead_letters": 1, "lost": 0, "in_spool": 2,
        "control_lines": 3, "spool_bytes": 900, "spool_segments": 1, "waiting_since_us": 5, "sessions": 1,
        "begun_calls": 0, "connections": 2, "connections_refused": {"max_connections": 6}, "system_errors": {"accept": 1}, "inserts_in_flight": 1,
        "retries": {"unreachable": 8}, "store": "unreachable: no", "spool": "", "doubted_hours": 24,
    }  # fmt: skip
    known = {**given, **fields}
    own = {name: known[name] for name in StoreStatus.__struct_fields__ if name in known}
    store = StoreStatus(name="clickhouse", trouble=str(known["store"]), **own)  # type: ignore[arg-type]  # as below
    return Status(stores=[store], **known)  # type: ignore[arg-type]  # a test's fields are right or it fails


def measured() -> Metrics:
    """Metrics in which everything that can be measured has been."""
    metrics = Metrics({"clamped:latency_ms": 2, "unpriced:no_price|m": 3})
    store = metrics.store("clickhouse")
    store.inserted(0.02, 500, 100_000)
    store.landed([SECOND_US, 2 * SECOND_US], 3 * SECOND_US)
    store.settled([a_loss("api", "buffer_full", 5), a_loss("api", "sender_died", None)], ["not_json"])
    metrics.committed(0.003, 700)
    metrics.loop_lag.observe(0.0)
    metrics.queried("/v1/usage", 200, 0.1)
    metrics.abandoned_calls = metrics.letters_pruned = 1
    return metrics


def a_loss(service: str, reason: str, count: int | None) -> list[object]:
    values = {"stage": "client", "service": service, "reason": reason, "count": count}
    return [values.get(name, "") for name in LOSS_COLUMNS]


def families(metrics: Metrics, status: Status | None = None) -> dict[str, Metric]:
    """Return what a scraper reads, by name; counters as they are called in queries."""
    text, _ = exposition(metrics, status or a_status(), "")
    found = text_string_to_metric_families(text.decode())
    return {f"{family.name}{'_total' if family.type == 'counter' else ''}": family for family in found}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    (sample,) = (s for s in found[name].samples if s.labels == labels)
    return float(sample.value)


def test_names_types_and_labels_are_the_promised_ones() -> None:
    told = sorted(" ".join((m.name, m.kind, *m.labels)) for m in definitions.ALL)
    assert told == PINNED.split("\n")[1:-1]


def test_every_metric_is_exposed_as_it_is_described_and_no_other_is() -> None:
    found = families(measured())
    ours = {name: family for name, family in found.items() if not name.startswith("process_")}
    assert set(ours) == {metric.name for metric in definitions.ALL}
    for metric in definitions.ALL:
        family = ours[metric.name]
        assert family.type == metric.kind
        assert family.documentation == metric.help
        assert family.samples, metric.name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), sample


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in definitions.ALL:
        assert metric.name.startswith("llmledgerd_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert metric.help.endswith(".")


def test_the_document_has_the_table_that_the_code_prints() -> None:
    assert definitions.reference() in (ROOT / "docs" / "metrics.md").read_text()


def test_the_identity_can_be_read_from_the_counters() -> None:
    found = families(measured())
    parts = (
        "stored_lines_total",
        "dead_letter_lines_total",
        "lost_lines_total",
        "control_lines_total",
        "waiting_lines",
    )
    sum_of_parts = sum(value(found, f"llmledgerd_{part}", store="clickhouse") for part in parts)
    assert value(found, "llmledgerd_received_lines_total") == sum_of_parts == 10


def test_no_counter_of_the_identity_goes_back_when_lines_turn_out_to_be_no_records() -> None:
    before = {reading.metric: reading.value for reading in of_status(a_status())}
    after = {r.metric: r.value for r in of_status(a_status(control_lines=4, in_spool=1))}
    assert all(after[m] >= before[m] for m in before if m.kind == "counter")


def test_an_event_is_exposed_by_its_definition_alone() -> None:
    events = {metric: metric.event for metric in definitions.ALL if metric.event}
    assert events
    status = a_status(events=dict.fromkeys(events.values(), 7))
    assert events.keys() <= {reading.metric for reading in of_status(status) if reading.value == 7}


def test_a_store_that_is_away_and_a_daemon_that_cannot_take_records_are_told_apart() -> None:
    away = families(measured())
    assert (
        value(away, "llmledgerd_store_taking", store="clickhouse"),
        value(away, "llmledgerd_accepting"),
    ) == (0, 1)
    full = families(measured(), a_status(store="", ready=False))
    assert (
        value(full, "llmledgerd_store_taking", store="clickhouse"),
        value(full, "llmledgerd_accepting"),
    ) == (1, 0)


def test_what_was_never_asked_is_not_told() -> None:
    assert not families(measured(), a_status(doubted_hours=None))["llmledgerd_rollup_doubted_hours"].samples


def test_losses_are_counted_by_service_and_reason_and_the_uncounted_apart() -> None:
    found = families(measured())
    assert value(found, "llmledgerd_losses_total", stage="client", service="api", reason="buffer_full") == 5
    died = {"stage": "client", "service": "api", "reason": "sender_died"}
    assert value(found, "llmledgerd_uncounted_losses_total", **died) == 1
    assert value(found, "llmledgerd_rejected_lines_total", store="clickhouse", reason="not_json") == 1


def test_a_second_store_adds_values_and_no_names_and_counts_no_loss_again() -> None:
    metrics = measured()
    names = set(families(metrics))
    second = metrics.store("postgres")
    second.inserted(0.5, 3, 300)
    second.settled([a_loss("api", "buffer_full", 5)], ["not_json"])
    found = families(metrics)
    assert set(found) == names
    assert value(found, "llmledgerd_rejected_lines_total", store="postgres", reason="not_json") == 1
    assert value(found, "llmledgerd_losses_total", stage="client", service="api", reason="buffer_full") == 5


def test_the_first_hundred_values_of_a_label_keep_their_names() -> None:
    capped = Capped()
    assert [capped(str(number)) for number in range(101)] == [*map(str, range(100)), OTHER]
    assert capped("7") == "7", "a value that is known goes on being told"
    assert capped("101") == OTHER


@pytest.mark.parametrize("value", ["", "\ud800", 'a\nb"c\\', "x" * 5000, "\x00"])
def test_any_text_can_be_a_label(value: str) -> None:
    metrics = Metrics({f"unpriced:no_price|{value}": 1})
    metrics.store("clickhouse").settled([a_loss(value, value, 1)], [])
    assert len(families(metrics)["llmledgerd_losses_total"].samples) == 1
    assert len(families(metrics)["llmledgerd_unpriced_calls_total"].samples) == 1


def test_values_that_are_cut_to_the_same_text_are_one_series() -> None:
    metrics = Metrics({f"unpriced:no_price|{'x' * 500}{number}": 1 for number in range(3)})
    (sample,) = families(metrics)["llmledgerd_unpriced_calls_total"].samples
    assert sample.value == 3


def test_senders_that_invent_services_and_reasons_make_a_bounded_number_of_series() -> None:
    metrics = Metrics({})
    store = metrics.store("clickhouse")
    for number in range(5000):
        store.settled([a_loss(f"s{number}", f"r{number % 997}", 1)], [])
    samples = families(metrics)["llmledgerd_losses_total"].samples
    assert len(samples) <= 21 * 101
    assert sum(sample.value for sample in samples) == 5000


@pytest.mark.parametrize("seed", range(20))
def test_histograms_count_as_those_of_the_library_do(seed: int) -> None:
    dice, bounds, now = Random(seed), (0.5, 1.0, 10.0), 100 * SECOND_US
    ages, own, registry = Ages(bounds), Histogram(bounds), CollectorRegistry()
    histogram = prometheus_client.Histogram("h", "h", buckets=bounds, registry=registry)
    for _ in range(3):
        # Whole halves meet the bounds exactly; some are still to come.
        moments = sorted(now - dice.randrange(-10, 60) * SECOND_US // 2 for _ in range(dice.randrange(30)))
        ages.add(moments, now)
        for moment in moments:
            age = max(0.0, (now - moment) / 1e6)
            own.observe(age)
            histogram.observe(age)
    (family,) = registry.collect()
    wanted = [(s.labels["le"], s.value) for s in family.samples if s.name == "h_bucket"]
    assert buckets(ages) == buckets(own) == wanted
    assert ages.sum == own.sum == next(s.value for s in family.samples if s.name == "h_sum")


def test_the_scraper_chooses_the_format() -> None:
    openmetrics = "application/openmetrics-text; version=1.0.0"
    text, content_type = exposition(measured(), a_status(), openmetrics)
    assert content_type.startswith("application/openmetrics-text")
    families = parse_openmetrics(text.decode())  # type: ignore[no-untyped-call]  # the library's
    assert {family.name for family in families} >= {"llmledgerd_received_lines"}
    assert exposition(measured(), a_status(), "*/*")[1].startswith("text/plain")


async def test_a_loop_that_was_held_up_is_seen() -> None:
    moments = iter([10.0, 10.5, 20.0, 23.5])  # began, ended; the second wait was 3 s too long
    histogram = Histogram((1.0,))

    def monotonic() -> float:
        try:
            return next(moments)
        except StopIteration:
            raise asyncio.CancelledError from None

    with pytest.raises(asyncio.CancelledError):
        await watch_loop(histogram, monotonic)
    assert list(histogram.counted()) == [(1.0, 1), (inf, 1)]


def test_a_label_is_shown_as_rows_show_it_and_cut_only_then() -> None:
    secret = "sk-" + "a" * 200
    capped = Capped(2, lambda value: value.replace(secret, "[hidden]"))

    assert capped(f"model {secret}") == "model [hidden]"
    assert capped(f"model {secret}") == "model [hidden]"
    assert len(capped("x" * 5000)) == 128
    assert capped("another") == OTHER
