"""The OpenTelemetry Collector beside llmledgerd: the same records, in turns.

Invariant: what the Collector accepts is synced in its queue before it answers, as it is in the daemon's spool, and a run
ends when the last record has left: for the daemon, when it is a row of the engine; for the Collector, when the sink that
its ClickHouse exporter writes to has read it. The sink keeps nothing, which is in the Collector's favor.
"""

from __future__ import annotations

import shutil
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bench.pipeline import exporter, report
from bench.pipeline.processes import Cost, Watch
from bench.pipeline.report import console
from bench.pipeline.scenes import OURS, Run, in_turns, workload
from bench.pipeline.ways import (
    LONGEST_SECONDS,
    POLL_SECONDS,
    Bench,
    Figures,
    Way,
    go,
    read,
    ready,
    through_daemon,
)
from bench.pipeline.workload import NOW_US, Workload
from tests.helpers.collector import HOW, RunningCollector, program

COLLECTOR = "OpenTelemetry Collector"
BATCH = 100
"""Records of a request, and with four connections 400 that wait for the disk at a time."""
CONNECTIONS = 4
QUEUE = {
    "queue_size": 1_000_000,
    "sizer": "items",
    "batch": {"flush_timeout": "500ms", "min_size": 5_000, "max_size": 10_000},
}
"""Of the exporter: inserts as large as the daemon's, of requests that are in the queue on disk."""
CLICKHOUSE = {"create_schema": False, "compress": "none", "timeout": "60s"}
"""Its inserts are not compressed on one host, as the daemon's are not."""


def peers(run: Run) -> None:
    """CPU, memory and throughput beside a Collector with a queue on disk."""
    ways: dict[str, Way] = {OURS: through_daemon}
    if program() is not None:
        ways[COLLECTOR] = through_collector
    else:
        console.print(f"Without {COLLECTOR}: {HOW}")
    for size in (size for size in run.sizes if size <= 20_000):
        with workload(run, size, run.count(size), bodies=False) as work:
            exporter.write(requests_of(work), log_requests(work.lines))
            runs = in_turns(run, ways, work)
        report.print_ways(f"Peers, {size:,} bytes, {work.count:,} records, median of {run.rounds}", runs)
        if COLLECTOR in runs:
            report.print_ratio("CPU by the Collector's", report.cpu_ratio(runs, OURS, COLLECTOR), "below 1")
        report.write(
            run.out, f"peers-{size}", {way: report.summary(figures) for way, figures in runs.items()}
        )


def requests_of(work: Workload) -> Path:
    """Return where the records of a workload lie as requests of OTLP."""
    return work.lines.with_suffix(".otlp")


def log_requests(lines: Path) -> Iterator[bytes]:
    """Yield requests whose log records have the lines as their bodies."""
    with lines.open("rb") as file:
        while batch := [line for _, line in zip(range(BATCH), file, strict=False)]:
            yield log_request(batch)


def log_request(lines: Iterable[bytes]) -> bytes:
    """Return one request of log records."""
    request: Any = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    service = group.resource.attributes.add()
    service.key, service.value.string_value = "service.name", "bench"
    records = group.scope_logs.add().log_records
    for line in lines:
        record = records.add()
        record.time_unix_nano = NOW_US * 1000
        record.body.string_value = line.rstrip(b"\n").decode()
    return bytes(request.SerializeToString())


def through_collector(bench: Bench, work: Workload) -> Figures:
    """Log records over OTLP, by way of a queue on disk, to a sink."""
    seconds, cost = measured(bench.folder / "collector", "logs", requests_of(work), work.count)
    return Figures(work.count, work.line_bytes, seconds, cost)


def measured(folder: Path, signal: str, requests: Path, count: int) -> tuple[float, Cost]:
    """Send requests to a new Collector; return the time until the sink has as many rows, and the Collector's cost."""
    shutil.rmtree(folder, ignore_errors=True)
    with (
        sink() as port,
        RunningCollector(
            folder, "clickhouse", {**CLICKHOUSE, "endpoint": f"http://127.0.0.1:{port}"}, queue=QUEUE
        ) as collector,
        ready("exporter", collector.port, signal, requests, CONNECTIONS) as sender,
        Watch(collector.pid, folder) as watch,
    ):
        began = time.perf_counter()
        go(sender)
        wait_for_sink(port, count)
        seconds = time.perf_counter() - began
    return seconds, watch.cost


@contextmanager
def sink() -> Iterator[int]:
    """Run a sink; give its port."""
    with ready("sink", package="bench.peers") as process:
        yield int(read(process))


def wait_for_sink(port: int, count: int) -> None:
    """Return when the sink has read so many rows."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/rows", timeout=60) as answer:
            have = int(answer.read())
        if have >= count:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"{have:,} of {count:,} rows after {LONGEST_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
