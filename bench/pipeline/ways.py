"""Each way of getting records into the table, run once and measured.

Invariant: a way begins with empty tables and a line that says go, and ends when the table has every
row; its figures are of that time alone. The engine runs behind HTTP in a process of its own.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench.pipeline.processes import Cost, Watch, cpu_seconds
from bench.pipeline.workload import Workload
from llmledgerd.records.schema import COLUMNS
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine

ROOT = Path(__file__).parents[2]
TABLES = ("llm_traces", "llm_trace_losses", "llm_usage_hourly")
POLL_SECONDS = 0.02
LONGEST_SECONDS = 600.0
RAW_TABLE = (
    "CREATE TABLE IF NOT EXISTS raw_lines (line String CODEC(ZSTD(3))) ENGINE = MergeTree ORDER BY tuple()"
)


class Figures(msgspec.Struct, omit_defaults=True):
    """What one run gave."""

    records: int
    bytes: int
    seconds: float
    receiver: Cost = msgspec.field(default_factory=Cost)
    """Of the process between the sender and the engine."""
    engine_cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return self.records / self.seconds

    @property
    def receiver_cpu_us(self) -> float:
        return self.receiver.cpu_seconds / self.records * 1e6

    @property
    def engine_cpu_us(self) -> float:
        return self.engine_cpu_seconds / self.records * 1e6


class Bench(msgspec.Struct, frozen=True):
    """Where everything runs."""

    engine: Engine
    folder: Path

    def fresh(self, name: str, *, keeps_rows: bool = False) -> Path:
        """Return an empty folder, and empty the tables."""
        for table in () if keeps_rows else TABLES:
            self.engine.query(f"TRUNCATE TABLE IF EXISTS {table}")
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def rows_in(engine: Engine, table: str = "llm_traces") -> int:
    """Return how many rows the table has."""
    return int(engine.query(f"SELECT count() FROM {table}"))


def wait_for_rows(engine: Engine, count: int, table: str = "llm_traces") -> None:
    """Return when the table has so many rows."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while (have := rows_in(engine, table)) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{have:,} of {count:,} rows after {LONGEST_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)


@contextmanager
def ready(
    module: str, *arguments: object, package: str = "bench.pipeline"
) -> Iterator[subprocess.Popen[str]]:
    """Start a part of the benchmark, and wait until it is ready to begin."""
    command = [sys.executable, "-m", f"{package}.{module}", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            if read(process) != "ready":
                raise SystemExit(f"{module} did not start")
            yield process
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close() if process.stdin else None
            process.kill()


def read(process: subprocess.Popen[str]) -> str:
    """Return the next line that it says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str], word: str = "go") -> None:
    """Let it begin."""
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def through_daemon(
    bench: Bench,
    work: Workload,
    *,
    connections: int = 1,
    manner: str = "session",
    settings: Mapping[str, object] | None = None,
    keeps_rows: bool = False,
) -> Figures:
    """Ours, from the socket to the table: spool, checksums, group commit and fsync on."""
    folder = bench.fresh("daemon", keeps_rows=keeps_rows)
    have = rows_in(bench.engine)
    # Under load a segment is full in a third of a second; half a second, and not the default of one, so
    # that the last segment, which is never full, does not count for more than the rest.
    defaults = {"batch_max_age_seconds": 0.5, "spool_reserve_bytes": 256 << 20, **(settings or {})}
    with (
        RunningDaemon(folder, url=bench.engine.url, settings=defaults) as daemon,
        ready("sender", daemon.socket, work.lines, manner, connections) as sender,
    ):
        engine_cpu = cpu_seconds(bench.engine.pid)
        with Watch(daemon.pid, daemon.spool) as watch:
            began = time.perf_counter()
            go(sender)
            wait_for_rows(bench.engine, have + work.count)
            seconds = time.perf_counter() - began
        engine_cpu = cpu_seconds(bench.engine.pid) - engine_cpu
        daemon.terminate()
    return Figures(work.count, work.line_bytes, seconds, watch.cost, engine_cpu)


def as_bodies(bench: Bench, work: Workload, *, in_flight: int = 2) -> Figures:
    """The same rows, ready-made, over the same HTTP with as many in flight."""
    bench.fresh("bodies")
    engine_cpu = cpu_seconds(bench.engine.pid)
    with ready("poster", bench.engine.address, in_flight, *work.bodies) as poster:
        go(poster, uuid.uuid4().hex)
        seconds = float(read(poster))
    wait_for_rows(bench.engine, work.count)
    return Figures(
        work.count, work.line_bytes, seconds, engine_cpu_seconds=cpu_seconds(bench.engine.pid) - engine_cpu
    )


def as_floor(bench: Bench, work: Workload) -> Figures:
    """The engine alone, which reads the same rows from files and inserts them."""
    bench.fresh("floor")
    names = ", ".join(COLUMNS)
    began, engine_cpu = time.perf_counter(), cpu_seconds(bench.engine.pid)
    for body in work.bodies:
        bench.engine.query(f"INSERT INTO llm_traces ({names}) SELECT {names} FROM file('{body}', Native)")
    seconds = time.perf_counter() - began
    return Figures(
        work.count, work.line_bytes, seconds, engine_cpu_seconds=cpu_seconds(bench.engine.pid) - engine_cpu
    )


def through_naive(bench: Bench, work: Workload, *, batch: int) -> Figures:
    """``StreamReader.readline``, ``json.loads``, and an insert for each so many records."""
    folder = bench.fresh("naive")
    with ExitStack() as stack:
        receiver = stack.enter_context(ready("naive", folder / "s", bench.engine.url, batch))
        sender = stack.enter_context(ready("sender", folder / "s", work.lines, "lines", 1))
        engine_cpu = cpu_seconds(bench.engine.pid)
        with Watch(receiver.pid) as watch:
            began = time.perf_counter()
            go(sender)
            wait_for_rows(bench.engine, work.count)
            seconds = time.perf_counter() - began
        engine_cpu = cpu_seconds(bench.engine.pid) - engine_cpu
    return Figures(work.count, work.line_bytes, seconds, watch.cost, engine_cpu)


def from_within(bench: Bench, work: Workload) -> Figures:
    """An insert for each record from within the application, each in a thread, 32 at a time."""
    bench.fresh("within")
    engine_cpu = cpu_seconds(bench.engine.pid)
    with ready("within", work.lines, bench.engine.url) as application, Watch(application.pid) as watch:
        go(application)
        seconds = float(read(application))
    engine_cpu = cpu_seconds(bench.engine.pid) - engine_cpu
    return Figures(work.count, work.line_bytes, seconds, watch.cost, engine_cpu)


SYSLOG_NG = """@version: 3.38
options {{ log-msg-size({message}); stats-freq(0); }};
source s {{ unix-stream("{socket}" flags(no-parse) log-iw-size(100000) log-fetch-limit(1000) max-connections(256)); }};
destination d {{ http(
    url("{url}/?query=INSERT%20INTO%20raw_lines%20FORMAT%20LineAsString")
    method("POST") body("${{MESSAGE}}") delimiter("\\n")
    batch-lines({lines}) batch-bytes(16384Kb) batch-timeout(1000) workers(2) timeout(120)
    disk-buffer(reliable(yes) mem-buf-size(67108864) disk-buf-size(4294967296) dir("{folder}"))
); }};
log {{ source(s); destination(d); flags(flow-control); }};
"""


def why_no_syslog_ng(folder: Path) -> str:
    """Return why syslog-ng cannot take part; "" if it can. Its HTTP destination is a package of its own."""
    if not shutil.which("syslog-ng"):
        return "not installed"
    config = _syslog_ng_config(folder, "http://127.0.0.1:1", 65_536)
    checked = subprocess.run(
        ["syslog-ng", "--syntax-only", f"--cfgfile={config}"], capture_output=True, text=True, check=False
    )
    if not checked.returncode:
        return ""
    return f"it refuses the configuration (syslog-ng-mod-http missing?): {checked.stderr.strip()[:200]}"


def _syslog_ng_config(folder: Path, url: str, message: int) -> Path:
    config = folder / "syslog-ng.conf"
    config.write_text(
        SYSLOG_NG.format(message=message, socket=folder / "s", url=url, lines=10_000, folder=folder)
    )
    return config


def through_syslog_ng(bench: Bench, work: Workload) -> Figures:
    """A log shipper with its reliable disk buffer, which copies lines and looks at none."""
    folder = bench.fresh("syslog")
    bench.engine.query(RAW_TABLE)
    bench.engine.query("TRUNCATE TABLE raw_lines")
    config = _syslog_ng_config(folder, bench.engine.address, max(65_536, 2 * work.size))
    files = [f"--cfgfile={config}", f"--persist-file={folder}/p", f"--pidfile={folder}/pid"]
    command = ["syslog-ng", "--foreground", "--no-caps", f"--control={folder}/c", *files]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as shipper:
        try:
            while not (folder / "s").exists():
                if shipper.poll() is not None:
                    raise SystemExit("syslog-ng did not start")
                time.sleep(POLL_SECONDS)
            return _shipped(bench, work, shipper.pid, folder)
        finally:
            shipper.kill()


def _shipped(bench: Bench, work: Workload, pid: int, folder: Path) -> Figures:
    with ready("sender", folder / "s", work.lines, "lines", 1) as sender:
        engine_cpu = cpu_seconds(bench.engine.pid)
        with Watch(pid, folder) as watch:
            began = time.perf_counter()
            go(sender)
            wait_for_rows(bench.engine, work.count, "raw_lines")
            seconds = time.perf_counter() - began
        engine_cpu = cpu_seconds(bench.engine.pid) - engine_cpu
    return Figures(work.count, work.line_bytes, seconds, watch.cost, engine_cpu)


Way = Callable[[Bench, Workload], Figures]
