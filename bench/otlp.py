"""CPU for each span over OTLP, the daemon beside the OpenTelemetry Collector: ``python -m bench.otlp [--rounds 3]``.

The same requests of 100 spans, whose attributes are the messages of a call, are posted to the daemon and to a Collector
with a queue on disk, in turns, and the daemon is sent its own lines of the same size. The engine behind the daemon and
the sink behind the Collector run in processes of their own and are not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.pipeline import exporter, peers, ways
from bench.pipeline.peers import BATCH, COLLECTOR, CONNECTIONS
from bench.pipeline.processes import Cost, Watch
from bench.pipeline.ways import Bench, go, ready, wait_for_rows
from bench.pipeline.workload import Workload
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.collector import HOW, free_port, program
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import running_engine
from tests.helpers.otlp import as_protobuf, span, traces

SIZES = ((2_000, 20_000), (20_000, 5_000))
"""Bytes of a call's messages, and the number of calls."""
SPANS, LINES = "llmledgerd, spans", "llmledgerd, its own lines"


def attributes(size: int) -> dict[str, object]:
    said = "word " * (size // 10)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-1234567890",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": said}]}]),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": said}], "finish_reason": "stop"}]
        ),
    }


def line(size: int, number: int) -> bytes:
    said = "word " * (size // 10)
    record = {
        "protocol_version": 4,
        "provider": "openai",
        "provider_trace_id": f"{size}-{number}",
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": said}]},
        "response": {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        },
    }
    return json.dumps(record).encode() + b"\n"


def request(size: int, start: int) -> bytes:
    """Return a batch of spans, each a trace of its own."""
    spans = [span(1, attributes(size), trace=f"{size:016x}{start + n + 1:016x}") for n in range(BATCH)]
    return as_protobuf(traces(spans))


def prepared(folder: Path, size: int, count: int) -> Workload:
    """Write the calls as lines and as requests."""
    work = Workload(size, count, folder / f"{size}.ndjson", 0, [])
    work.lines.write_bytes(b"".join(line(size, number) for number in range(count)))
    exporter.write(peers.requests_of(work), (request(size, start) for start in range(0, count, BATCH)))
    return work


def spans_through_daemon(bench: Bench, work: Workload) -> Cost:
    """Post the requests to a daemon, until the engine has a row for each span."""
    folder, port = bench.fresh("daemon"), free_port()
    settings = {"batch_max_age_seconds": 0.5, "otlp": f"127.0.0.1:{port}"}
    with (
        RunningDaemon(folder, url=bench.engine.url, settings=settings) as daemon,
        ready("exporter", port, "traces", peers.requests_of(work), CONNECTIONS) as sender,
        Watch(daemon.pid, daemon.spool) as watch,
    ):
        go(sender)
        wait_for_rows(bench.engine, work.count)
    return watch.cost


def spans_through_collector(bench: Bench, work: Workload) -> Cost:
    """Post them to a Collector, until the sink has read each span."""
    return peers.measured(bench.folder / "collector", "traces", peers.requests_of(work), work.count)[1]


def lines_through_daemon(bench: Bench, work: Workload) -> Cost:
    """Send the daemon's own lines."""
    return ways.through_daemon(bench, work).receiver


def measured(bench: Bench, work: Workload, rounds: int) -> None:
    """Run every way once a round, and print the medians."""
    found: dict[str, Callable[[Bench, Workload], Cost]] = {SPANS: spans_through_daemon}
    if program() is not None:
        found[COLLECTOR] = spans_through_collector
    found[LINES] = lines_through_daemon
    costs: dict[str, list[Cost]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, way in found.items():
            costs[name].append(way(bench, work))
    sys.stdout.write(f"{work.size:,} bytes, {work.count:,} calls\n")
    for name, of_rounds in costs.items():
        cpu = statistics.median(cost.cpu_seconds for cost in of_rounds) / work.count * 1e6
        peak = max(cost.peak_mib for cost in of_rounds)
        sys.stdout.write(f"  {name:28}{cpu:7.0f} us of CPU each, peak {peak:4.0f} MiB\n")


def main() -> None:
    """Measure both sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the calls")
    chosen = parser.parse_args()
    if program() is None:
        sys.stdout.write(f"Without {COLLECTOR}: {HOW}\n")
    with (
        tempfile.TemporaryDirectory(prefix="llmledger-bench-") as name,
        running_engine(Path(name) / "engine") as engine,
    ):
        migrations.apply(Store(engine.url), migrations.Layout())
        for size, count in SIZES:
            measured(
                Bench(engine, Path(name)),
                prepared(Path(name), size, max(BATCH, int(count * chosen.share) // BATCH * BATCH)),
                chosen.rounds,
            )


if __name__ == "__main__":
    main()
