"""Measurements of the daemon.

Invariants:
- The cost of measuring is per group, batch or scrape, never per record; histograms of records are
  updated once per batch.
- A label whose values come from outside has a bounded number of values.

``exposition`` makes of them what Prometheus scrapes. Counters that components keep anyway are read from ``Status`` at a scrape; the rest is counted here.
Metrics of one store have its name as a label, so that a further store adds values and no metric names.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from typing import Final

import msgspec

from llmledgerd.records.schema import LOSS_COLUMNS
from llmledgerd.telemetry import definitions
from llmledgerd.telemetry.definitions import Described
from llmledgerd.telemetry.status import Status, StoreStatus

MOST_VALUES: Final = 100
"""Limit of values per label; further values become OTHER."""
MOST_REASONS: Final = 20
"""Limit for reasons of senders, which multiply with their services. Our client has five."""
OTHER: Final = "other"
VALUE_CHARACTERS: Final = 128
LOOKED_AT_CHARACTERS: Final = 1024
"""Limit of a label's length, enough to tell values apart."""
Clean = Callable[[str], str]

LOOP_SECONDS: Final = 0.5
"""Interval of the event loop measurement."""

UNPRICED: Final = "unpriced:"
"""Prefix in ``RowBuilder.counts`` of a model without a price."""

_SERVICE, _STAGE, _REASON, _COUNT = map(LOSS_COLUMNS.index, ("service", "stage", "reason", "count"))


class Capped:
    """Bounded values of one label: the first ``most`` keep their (cleaned) names; all others become OTHER."""

    def __init__(self, most: int = MOST_VALUES, clean: Clean = str) -> None:
        """``clean`` masks the parts of a value that must not be shown."""
        self._most = most
        self._clean = clean
        self._known: dict[str, str] = {}

    def __call__(self, value: str) -> str:
        """Return the label for a value, which may be any string, even with a lone surrogate."""
        value = value[:LOOKED_AT_CHARACTERS].encode(errors="replace").decode()
        if value not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known[value] = self._clean(value)[:VALUE_CHARACTERS]  # cut after: half a key is no key
        return self._known[value]


class Histogram:
    """Counts of values by upper bound, as of Prometheus: a value that equals a bound is within it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def counted(self) -> Iterator[tuple[float, int]]:
        """Yield each bound, infinity at last, with the number of values between it and the one before."""
        return zip((*self._bounds, inf), self._counts, strict=True)


class Ages(Histogram):
    """Histogram of ages in seconds that adds a whole batch at once."""

    def __init__(self, bounds: Sequence[float]) -> None:
        super().__init__(bounds)
        self._sum_us = 0

    def add(self, moments_us: Sequence[int], now_us: int) -> None:
        """Add the age of each moment. Moments are sorted; one in the future has the age 0."""
        past = bisect_right(moments_us, now_us)
        older = len(moments_us)
        for index, bound in enumerate(self._bounds):
            within = bisect_left(moments_us, now_us - int(bound * 1e6))
            self._counts[index] += older - within
            older = within
        self._counts[-1] += older
        self._sum_us += past * now_us - sum(moments_us[:past])
        self.sum = self._sum_us / 1e6


class Reading(msgspec.Struct, frozen=True):
    """Value of one metric at a scrape."""

    metric: Described
    value: float
    labels: tuple[str, ...] = ()


class StoreMetrics:
    """Metrics of one store."""

    def __init__(self, metrics: Metrics, name: str, *, is_first: bool) -> None:
        self.name = name
        self._metrics = metrics
        self._is_first = is_first
        self._seconds = metrics.histogram(definitions.INSERT_SECONDS, name)
        self._rows = metrics.histogram(definitions.INSERT_ROWS, name)
        self._bytes = metrics.histogram(definitions.INSERT_BYTES, name)
        self._reason = Capped()
        self.lag = Ages(definitions.LAG.buckets)
        metrics.histograms.setdefault(definitions.LAG, {})[name,] = self.lag
        self.rejected: Counter[str] = Counter()

    def inserted(self, seconds: float, rows: int, size: int) -> None:
        """Count a successful insert."""
        self._seconds.observe(seconds)
        self._rows.observe(rows)
        self._bytes.observe(size)

    def landed(self, started_us: Sequence[int], now_us: int) -> None:
        """Count the lag of a stored segment's rows, given the sorted start times of their calls."""
        self.lag.add(started_us, now_us)

    def settled(self, losses: Iterable[Sequence[object]], reasons: Iterable[str]) -> None:
        """Count a settled segment's rows of ``llm_trace_losses`` and the reasons of its dead letters.

        The losses of a segment are the same in every store, so only those of the first store count.
        """
        self.rejected.update(map(self._reason, reasons))
        if self._is_first:
            self._metrics.lost(losses)


class Metrics:
    """Metrics of one daemon. For use on its event loop only."""

    def __init__(
        self, changes: Mapping[str, int], clean: Callable[[str, str], str] = lambda _, value: value
    ) -> None:
        """``changes`` are ``RowBuilder.counts``, which another thread updates.

        ``clean`` masks a column's value: labels from senders are shown as they are in rows.
        """
        self._changes = changes
        self.histograms: dict[Described, dict[tuple[str, ...], Histogram]] = {}
        """Histograms by definition and by the values of its labels."""
        self._stores: dict[str, StoreMetrics] = {}
        self._service = Capped(clean=partial(clean, "service"))
        self._loss_reason = Capped(MOST_REASONS, partial(clean, "error_type"))
        self._stage = Capped(MOST_REASONS, partial(clean, "error_type"))
        self._path, self._model = Capped(), Capped(clean=partial(clean, "model"))
        self._cost_reason = Capped(MOST_REASONS)
        self._losses: Counter[tuple[str, str, str]] = Counter()
        self._uncounted: Counter[tuple[str, str, str]] = Counter()
        self._queries: Counter[tuple[str, str]] = Counter()
        self.group_commit = self.histogram(definitions.GROUP_COMMIT)
        self.loop_lag = self.histogram(definitions.LOOP_LAG)
        self.histograms[definitions.QUERY_SECONDS] = {}
        self._received_bytes = 0
        self.abandoned_calls = 0
        self.letters_pruned = 0

    def store(self, name: str) -> StoreMetrics:
        """Return the metrics of the store with this name. The first name requested is the first store."""
        if name not in self._stores:
            self._stores[name] = StoreMetrics(self, name, is_first=not self._stores)
        return self._stores[name]

    def histogram(self, metric: Described, *labels: str) -> Histogram:
        """Return the histogram of this definition with these values of its labels."""
        series = self.histograms.setdefault(metric, {})
        if labels not in series:
            series[labels] = Histogram(metric.buckets)
        return series[labels]

    def committed(self, seconds: float, size: int) -> None:
        """Count a committed group of lines."""
        self.group_commit.observe(seconds)
        self._received_bytes += size

    def lost(self, losses: Iterable[Sequence[object]]) -> None:
        """Count rows of ``llm_trace_losses`` that were stored."""
        for row in losses:
            count = row[_COUNT]
            labels = (
                self._stage(str(row[_STAGE])),
                self._service(str(row[_SERVICE])),
                self._loss_reason(str(row[_REASON])),
            )
            if isinstance(count, int):
                self._losses[labels] += count
            else:
                self._uncounted[labels] += 1

    def queried(self, path: str, status: int, seconds: float) -> None:
        """Count a finished request under ``/v1``."""
        path = self._path(path)
        self._queries[path, str(status)] += 1
        self.histogram(definitions.QUERY_SECONDS, path).observe(seconds)

    def readings(self) -> Iterator[Reading]:
        """Yield what is counted here and is no histogram."""
        yield Reading(definitions.RECEIVED_BYTES, self._received_bytes)
        yield Reading(definitions.ABANDONED, self.abandoned_calls)
        yield Reading(definitions.PRUNED, self.letters_pruned)
        for store in self._stores.values():
            for reason, count in store.rejected.items():
                yield Reading(definitions.REJECTED, count, (store.name, reason))
        for metric, counter in (
            (definitions.LOSSES, self._losses),
            (definitions.UNCOUNTED_LOSSES, self._uncounted),
        ):
            for labels, count in counter.items():
                yield Reading(metric, count, labels)
        for request, count in self._queries.items():
            yield Reading(definitions.QUERIES, count, request)
        yield from self._changed()

    def _changed(self) -> Iterator[Reading]:
        unpriced: Counter[tuple[str, str]] = Counter()
        for what, count in dict(self._changes).items():  # a copy in one step, since another thread counts
            if what.startswith(UNPRICED):
                reason, _, model = what.removeprefix(UNPRICED).partition("|")
                unpriced[self._cost_reason(reason), self._model(model)] += count
            else:
                yield Reading(definitions.CHANGED, count, (what,))
        for labels, count in unpriced.items():
            yield Reading(definitions.UNPRICED, count, labels)


def of_status(status: Status) -> Iterator[Reading]:
    """Yield the readings of a daemon's status. Pure."""
    yield Reading(definitions.RECEIVED, status.received)
    for store in status.stores:
        yield from _of_store(store)
    yield Reading(definitions.SPOOL_BYTES, status.spool_bytes)
    yield Reading(definitions.SPOOL_MAX, status.spool_max_bytes)
    yield Reading(definitions.SPOOL_SEGMENTS, status.spool_segments)
    yield Reading(definitions.SPOOL_OLDEST, status.lag_seconds)
    yield Reading(definitions.SPOOL_FREE, status.disk_free_bytes)
    yield Reading(definitions.ACCEPTING, status.ready)
    yield Reading(definitions.INFLIGHT, status.inflight_bytes)
    yield Reading(definitions.INFLIGHT_MAX, status.inflight_max_bytes)
    yield Reading(definitions.OPEN_CONNECTIONS, status.connections)
    yield Reading(definitions.CONNECTIONS, status.connections_accepted)
    for reason, count in status.connections_refused.items():
        yield Reading(definitions.REFUSED, count, (reason,))
    yield Reading(definitions.STALLED, status.connections_stalled)
    for metric in definitions.ALL:
        if metric.event:
            yield Reading(metric, status.events.get(metric.event, 0))
    yield Reading(definitions.SESSIONS, status.sessions)
    for what, count in status.system_errors.items():
        yield Reading(definitions.SYSTEM_ERRORS, count, (what,))
    yield Reading(definitions.BEGUN, status.begun_calls)
    yield Reading(definitions.LETTER_FILES, status.dead_letter_files)
    yield Reading(definitions.LETTER_BYTES, status.dead_letter_bytes)
    yield Reading(definitions.QUARANTINED, status.quarantined_files)
    yield Reading(definitions.QUERIES_IN_FLIGHT, status.queries_in_flight)
    yield Reading(definitions.CLOCK_JUMPS, status.clock_jumps)
    yield Reading(definitions.CLOCK_CORRECTION, status.clock_correction_seconds)
    yield Reading(definitions.BUILD, 1, (status.version,))


def _of_store(store: StoreStatus) -> Iterator[Reading]:
    name = (store.name,)
    yield Reading(definitions.STORED, store.stored, name)
    yield Reading(definitions.DEAD, store.dead_letters, name)
    yield Reading(definitions.LOST, store.lost, name)
    yield Reading(definitions.CONTROL, store.control_lines, name)
    yield Reading(definitions.WAITING, store.in_spool, name)
    yield Reading(definitions.TAKING, not store.trouble, name)
    yield Reading(definitions.IN_FLIGHT, store.inserts_in_flight, name)
    for kind, count in store.retries.items():
        yield Reading(definitions.RETRIES, count, (*name, kind))
    for what, count in store.counts.items():
        yield Reading(definitions.CHANGED, count, (f"{store.name}:{what}",))
    if store.doubted_hours is not None:
        yield Reading(definitions.DOUBTED, store.doubted_hours, name)


async def watch_loop(lag: Histogram, monotonic: Callable[[], float]) -> None:
    """Measure the event loop's delay until cancelled."""
    while True:
        began = monotonic()
        await asyncio.sleep(LOOP_SECONDS)
        lag.observe(max(0.0, monotonic() - began - LOOP_SECONDS))
