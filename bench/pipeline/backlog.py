"""A store that is away while records come, and what they cost when it is back.

Invariant: nothing is stored before the whole backlog is durable, so what is timed is the draining alone.
"""

from __future__ import annotations

import time
from functools import partial

from bench.pipeline import report
from bench.pipeline.processes import Watch, cpu_seconds
from bench.pipeline.scenes import Run, in_turns, workload
from bench.pipeline.ways import Bench, Figures, go, read, ready, wait_for_rows
from bench.pipeline.workload import Workload
from tests.helpers.daemon import RunningDaemon

TOO_MANY_PARTS = 252
"""The code by which ClickHouse says that it cannot take more now."""
TIMES = (1, 5)


def drained(bench: Bench, work: Workload, *, times: int) -> Figures:
    """Send the workload so many times to a daemon whose store refuses, let it, and time the draining."""
    folder = bench.fresh("backlog")
    settings = {"spool_reserve_bytes": 256 << 20, "retry_cap_seconds": 0.5}
    bench.engine.fault("error", times=1_000_000, code=TOO_MANY_PARTS)
    try:
        with RunningDaemon(folder, url=bench.engine.url, settings=settings) as daemon:
            with Watch(daemon.pid, daemon.spool) as watch:
                for _ in range(times):
                    with ready("sender", daemon.socket, work.lines, "session", 1) as sender:
                        go(sender)
                        read(sender)
                engine_cpu = cpu_seconds(bench.engine.pid)
                bench.engine.release()
                began = time.perf_counter()
                wait_for_rows(bench.engine, times * work.count)
                seconds = time.perf_counter() - began
            engine_cpu = cpu_seconds(bench.engine.pid) - engine_cpu
            daemon.terminate()
    finally:
        bench.engine.release()
    return Figures(times * work.count, times * work.line_bytes, seconds, watch.cost, engine_cpu)


def backlog(run: Run) -> None:
    """Peak memory with a backlog and with five times of it, and how fast each is stored."""
    size = 20_000
    with workload(run, size, run.count(size), bodies=False) as work:
        names = {f"{times * work.line_bytes / 1e6:,.0f} MB behind": times for times in TIMES}
        runs = in_turns(run, {name: partial(drained, times=times) for name, times in names.items()}, work)
    report.print_ways("A backlog, stored when the store is back", runs)
    less, more = ([figures.receiver.peak_mib for figures in runs[name]] for name in names)
    report.print_ratio("peak memory at five times the backlog by once", max(more) / max(less), "1.0")
    report.write(run.out, "backlog", {way: report.summary(figures) for way, figures in runs.items()})
