"""What is compared with what, and how it is said.

Invariant: a scene measures by ``ways``, prints by ``report``, and decides nothing by an absolute time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from bench import generated_rows
from bench.pipeline import latency as latencies
from bench.pipeline import report, ways
from bench.pipeline.report import Runs, console
from bench.pipeline.ways import POLL_SECONDS, Bench, Way
from bench.pipeline.workload import Workload, prepare
from llmledgerd.stores.clickhouse.client import Store

COUNTS = {2_000: 150_000, 20_000: 30_000, 200_000: 3_000}
"""Records in one run, by size: enough that the last batch, which waits for its age, hardly counts."""
ALONE_COUNT = 100
"""Records of the ways that insert one at a time, which would take minutes."""
REDACTION = {"redact": "api_keys,bearer_tokens,private_keys,emails,phones,cards"}
MERGING_SECONDS = 600.0
OURS, BODIES, REDACTED = "llmledgerd", "ready-made bodies", "llmledgerd, redaction on"


class Run(msgspec.Struct, frozen=True):
    """One call of the benchmark."""

    bench: Bench
    store: Store
    rounds: int
    share: float
    sizes: list[int]
    out: Path

    def count(self, size: int) -> int:
        return max(200, int(COUNTS.get(size, 40_000_000 // size) * self.share))


def throughput(run: Run) -> None:
    """End to end beside every baseline, for each size."""
    bars: dict[str, dict[str, float]] = {}
    for size in run.sizes:
        with workload(run, size, run.count(size)) as work, workload(run, size, ALONE_COUNT, "alone") as few:
            runs = in_turns(run, _ways(run.bench.folder), work)
            runs |= in_turns(
                run,
                {
                    "naive receiver, one insert each": partial(ways.through_naive, batch=1),
                    "from within the application, threads": ways.from_within,
                },
                few,
            )
        report.print_ways(f"{size:,} bytes, {work.count:,} records, median of {run.rounds}", runs)
        _judge(size, runs)
        report.write(
            run.out, f"throughput-{size}", {way: report.summary(figures) for way, figures in runs.items()}
        )
        bars[f"{size // 1000} KB"] = {
            way: report.summary(figures).records_per_second for way, figures in runs.items()
        }
    report.draw_bars(
        run.out, "throughput", "Records a second, from the socket to the table", "records/s", bars
    )


def _ways(folder: Path) -> dict[str, Way]:
    found: dict[str, Way] = {
        OURS: ways.through_daemon,
        REDACTED: partial(ways.through_daemon, settings=REDACTION),
        BODIES: ways.as_bodies,
        "engine's floor": ways.as_floor,
        "naive receiver, 1,000 an insert": partial(ways.through_naive, batch=1_000),
    }
    if why := ways.why_no_syslog_ng(folder):
        console.print(f"without syslog-ng: {why}")
    else:
        found["syslog-ng"] = ways.through_syslog_ng
    return found


def _judge(size: int, runs: Runs) -> None:
    report.print_ratio(
        "speed by ready-made bodies'", report.ratio(runs, OURS, BODIES), "0.65 at 2 KB, else 0.90"
    )
    report.print_ratio(
        "floor by ready-made bodies", report.ratio(runs, "engine's floor", BODIES), "some 1.3 to 1.7"
    )
    report.print_ratio("speed with redaction by without", report.ratio(runs, REDACTED, OURS), "printed")
    report.print_ratio("CPU with redaction by without", report.cpu_ratio(runs, REDACTED, OURS), "printed")
    if "syslog-ng" in runs:
        report.print_ratio("CPU by syslog-ng's", report.cpu_ratio(runs, OURS, "syslog-ng"), "at most 2.0")
    peak = max(figures.receiver.peak_mib for figures in runs[OURS])
    report.print_ratio("peak MiB", peak, "100; 150 at 200 KB")


def latency(run: Run) -> None:
    """From ``record()`` to durable and to stored, at 2,000 a second."""
    found = {}
    for size in (2_000, 20_000):
        seconds = max(1.0, latencies.SECONDS * run.share)
        rounds = [latencies.measure(run.bench, size, seconds=seconds) for _ in range(run.rounds)]
        middle = sorted(rounds, key=lambda figures: figures.durable_p99)[len(rounds) // 2]
        found[size] = middle
        console.print(
            f"{size:,} bytes at {latencies.RATE:,.0f}/s: durable p50 {middle.durable_p50:.1f} ms, p99 {middle.durable_p99:.1f}"
            f" (wanted: 5 and {25 if size < 20_000 else 40}); stored p50 {middle.stored_p50:.0f},"
            f" p99 {middle.stored_p99:.0f} (wanted: 1,100)"
        )
    report.write(run.out, "latency", found)


def senders(run: Run) -> None:
    """Many connections, and a connection for each record as versions 1 to 3 make them."""
    size = 2_000
    with workload(run, size, run.count(size)) as work, workload(run, size, run.count(size), version=3) as old:
        runs = in_turns(
            run, {f"{n} connections": partial(ways.through_daemon, connections=n) for n in (1, 20, 200)}, work
        )
        one_each = partial(ways.through_daemon, manner="one_each", connections=8)
        runs |= in_turns(run, {"version 3, one connection each": one_each}, old)
        runs |= in_turns(
            run, {"version 3, one connection": partial(ways.through_daemon, manner="lines")}, old
        )
    report.print_ways(f"Senders, {size:,} bytes", runs)
    report.print_ratio(
        "200 connections by one", report.ratio(runs, "200 connections", "1 connections"), "0.9"
    )
    report.print_ratio(
        "one connection each by one connection",
        report.ratio(runs, "version 3, one connection each", "1 connections"),
        "0.5",
    )
    report.write(run.out, "senders", {way: report.summary(figures) for way, figures in runs.items()})


def large(run: Run) -> None:
    """Records of 5 and 100 MB."""
    runs: Runs = {}
    for size, count in ((5_000_000, 60), (100_000_000, 3)):
        with workload(run, size, max(1, int(count * run.share)), bodies=False) as work:
            runs |= in_turns(run, {f"{size // 1_000_000} MB": ways.through_daemon}, work)
    report.print_ways("Large records", runs)
    report.write(run.out, "large", {way: report.summary(figures) for way, figures in runs.items()})


def busy(run: Run) -> None:
    """Beside an application that keeps both cores busy."""
    size = 20_000
    with workload(run, size, run.count(size)) as work, application(2):
        runs = in_turns(run, {OURS: ways.through_daemon, BODIES: ways.as_bodies}, work)
    report.print_ways(f"Beside two busy processes, {size:,} bytes", runs)
    report.print_ratio("speed by ready-made bodies'", report.ratio(runs, OURS, BODIES), "printed")
    report.write(run.out, "busy", {way: report.summary(figures) for way, figures in runs.items()})


def growth(run: Run) -> None:
    """With 1, 10 and 50 million rows without payloads in the table already."""
    size, runs, have = 2_000, Runs(), 0
    run.bench.fresh("growth")
    with workload(run, size, run.count(size), bodies=False) as work:
        for millions in (1, 10, 50):
            rows = int(millions * 1e6 * run.share)
            fill(run.store, rows - have, seed=millions)
            have = rows
            on_top = partial(ways.through_daemon, keeps_rows=True)
            runs |= in_turns(run, {f"{rows / 1e6:g} million rows": on_top}, work)
    run.bench.fresh("growth")
    report.print_ways(f"Growth, {size:,} bytes", runs)
    first, *_, last = runs
    report.print_ratio(f"{last} by {first}", report.ratio(runs, last, first), "0.9")
    report.write(run.out, "growth", {way: report.summary(figures) for way, figures in runs.items()})


def fill(store: Store, rows: int, seed: int) -> None:
    """Add generated rows, and wait until the engine has merged what it wants to merge at once."""
    traffic = generated_rows.Traffic(rows=rows, days=30, end_us=time.time_ns() // 1000, seed=seed)
    for _ in generated_rows.fill(store, traffic):
        pass
    deadline = time.monotonic() + MERGING_SECONDS
    while store.query("SELECT count() AS merges FROM system.merges")[0]["merges"]:
        if time.monotonic() > deadline:
            raise SystemExit("the engine does not come to rest")
        time.sleep(POLL_SECONDS)


def in_turns(run: Run, wanted: Mapping[str, Way], work: Workload) -> Runs:
    """Run every way once a round."""
    runs: Runs = {name: [] for name in wanted}
    for number in range(run.rounds):
        for name, way in wanted.items():
            with console.status(f"round {number + 1} of {run.rounds}: {name}"):
                runs[name].append(way(run.bench, work))
    return runs


@contextmanager
def workload(
    run: Run, size: int, count: int, name: str = "work", *, version: int = 4, bodies: bool = True
) -> Iterator[Workload]:
    """Make a workload, and remove it."""
    folder = run.bench.folder / f"{name}-{size}-{version}"
    folder.mkdir()
    try:
        yield prepare(folder, size, count, run.store if bodies and version == 4 else None, version=version)
    finally:
        shutil.rmtree(folder)


@contextmanager
def application(processes: int) -> Iterator[None]:
    """Keep cores busy with what an application does: reading and writing JSON."""
    work = "import json\ntext = json.dumps([{'a': i} for i in range(1000)])\nwhile True: json.dumps(json.loads(text))"
    started = [subprocess.Popen([sys.executable, "-c", work]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
