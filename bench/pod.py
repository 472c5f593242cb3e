"""What the sidecar takes of a pod, with the settings of deploy/kubernetes: CPU at a pace, memory at its peak.

``python -m bench.pod [--seconds 20]`` prints a table. Each load is sent to a daemon of its own, in front
of the engine behind HTTP in another process; figures are of the daemon's process, as the kernel counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import msgspec
import yaml
from rich.console import Console
from rich.table import Table

from bench.idle import Started
from bench.pipeline.processes import Cost, Watch
from bench.pipeline.workload import make_lines
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.engine import Engine, running_engine
from tests.helpers.waiting import until

ROOT = Path(__file__).parents[1]
OWN = {"CLICKHOUSE_URL", "CLICKHOUSE_PASSWORD_FILE", "ADMIN", "SOCKET_MODE"}
"""What the manifests say of the place, which is another here."""
DISTINCT = 20
LONGEST_SECONDS = 300.0


class Load(msgspec.Struct, frozen=True):
    """Records of a size, at a pace; 0 is as fast as they are taken."""

    name: str
    size: int
    per_second: float = 0.0
    count: int = 0
    store_is_away: bool = False
    """Until all has been sent."""


LOADS = (
    Load("idle", 2_000, per_second=0.2),
    Load("a pod", 20_000, per_second=5),
    Load("a busy pod", 20_000, per_second=50),
    Load("a node", 20_000, per_second=500),
    Load("ClickHouse comes back", 20_000, count=30_000, store_is_away=True),
    Load("large records", 5_000_000, count=100),
    Load("records of 32 MiB", 33_000_000, count=15),
    Load("the largest records", 134_000_000, count=4),
)


def settings() -> dict[str, str]:
    """Return the settings that the sidecar has in the manifests."""
    data = yaml.safe_load((ROOT / "deploy/kubernetes/base/settings.yaml").read_text())["data"]
    short = {name.removeprefix("LLMLEDGER_"): value for name, value in data.items()}
    return {name.lower(): value for name, value in short.items() if name not in OWN}


def paced(load: Load, seconds: float) -> Iterator[bytes]:
    """Yield the lines of a load, each at its time."""
    lines = list(make_lines(load.size, min(DISTINCT, max(1, 400_000_000 // load.size))))
    began = time.monotonic()
    count = load.count or max(1, round(seconds * load.per_second))
    for number, line in enumerate(islice(cycle(lines), count)):
        if load.per_second:
            time.sleep(max(0.0, began + number / load.per_second - time.monotonic()))
        yield line


def measure(load: Load, seconds: float, engine: Engine, folder: Path) -> tuple[int, float, Cost]:
    """Send a load and return how many records landed, in how long, and what that took."""
    with Started(folder, url=engine.url, settings=settings()) as daemon:
        before = int(engine.query("SELECT count() FROM default.llm_traces"))
        if load.store_is_away:
            engine.stop()
        began, sent = time.monotonic(), 0
        with Watch(daemon.pid) as watch:
            with daemon.connection() as sock:
                for line in paced(load, seconds):
                    sock.sendall(line)
                    sent += 1
            if load.store_is_away:
                engine.cont()
            until(
                lambda: int(engine.query("SELECT count() FROM default.llm_traces")) == before + sent,
                limit=LONGEST_SECONDS,
            )
            took = time.monotonic() - began
        daemon.terminate()
    return sent, took, watch.cost


def main() -> None:
    """Measure every load in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a pace is kept")
    parser.add_argument("--only", default="", help="the loads whose name has this")
    chosen = parser.parse_args()
    table = Table()
    for name in ("", "bytes each", "records", "seconds", "CPU, cores", "CPU ms a record", "peak MiB"):
        table.add_column(name, justify="right" if name else "left")
    with (
        tempfile.TemporaryDirectory(prefix="llmledger-pod-") as name,
        running_engine(Path(name) / "engine") as engine,
    ):
        migrations.apply(Store(engine.url), migrations.Layout(ttl_days=90))
        for number, load in enumerate(load for load in LOADS if chosen.only in load.name):
            sent, took, cost = measure(load, chosen.seconds, engine, Path(name) / f"{number}")
            table.add_row(
                load.name,
                f"{load.size:,}",
                f"{sent:,}",
                f"{took:.0f}",
                f"{cost.cpu_seconds / took:.3f}",
                f"{cost.cpu_seconds / sent * 1000:.2f}",
                f"{cost.peak_mib:.0f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
