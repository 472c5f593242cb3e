"""Prometheus exposition of the daemon's metrics. Imported for the first scrape, with Prometheus's library.

Invariant: a scrape never blocks; it reads numbers that are in memory, and this process's own of ``/proc``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from llmledgerd.telemetry import definitions
from llmledgerd.telemetry.definitions import Described
from llmledgerd.telemetry.metrics import Histogram, Metrics, Reading, of_status
from llmledgerd.telemetry.status import Status


def exposition(metrics: Metrics, status: Status, accept: str) -> tuple[bytes, str]:
    """Return the Prometheus text and its content type, negotiated by the scraper's Accept header."""
    registry = CollectorRegistry()
    registry.register(
        _Collected([*_families((*of_status(status), *metrics.readings())), *_histograms(metrics)])
    )
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return upper bounds with cumulative counts, in Prometheus's format."""
    total, out = 0, []
    for bound, count in histogram.counted():
        total += count
        out.append((floatToGoString(bound), float(total)))  # type: ignore[no-untyped-call]  # the library's
    return out


class _Collected(Collector):
    """Collector of families that are there."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _families(readings: Iterable[Reading]) -> Iterator[Metric]:
    values: dict[Described, list[Reading]] = {metric: [] for metric in definitions.ALL}
    for reading in readings:
        values[reading.metric].append(reading)
    for metric, found in values.items():
        if metric.kind == "histogram":
            continue
        family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        made = family(metric.name, metric.help, labels=metric.labels)
        for reading in found:
            made.add_metric(reading.labels, reading.value)
        yield made


def _histograms(metrics: Metrics) -> Iterator[Metric]:
    for metric, series in metrics.histograms.items():
        made = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, histogram in series.items():
            made.add_metric(labels, buckets(histogram), histogram.sum)
        yield made
