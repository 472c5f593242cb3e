"""What a daemon takes that has nothing to do: from its start until it is ready, memory, and CPU.

``python -m bench.idle [--starts 5] [--seconds 30]`` prints a table, as the kernel counts: of a daemon that nobody asks,
of one that is probed as by a kubelet (liveness and readiness, each PROBE_SECONDS), of one that is scraped as well
(each SCRAPE_SECONDS), and of one that was asked a question over HTTP. The store is the engine behind HTTP in another
process. Bytecode has to be on disk, as in an installed distribution: unset PYTHONDONTWRITEBYTECODE.
"""

from __future__ import annotations

import argparse
import http.client
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import running_engine
from tests.helpers.prefork import Process

SETTLED_SECONDS: Final = 4.0
PROBE_SECONDS: Final = 10.0
"""The interval of the manifests in deploy/kubernetes, and kubelet's own."""
SCRAPE_SECONDS: Final = 30.0
PROBES: Final = {"/healthz": PROBE_SECONDS, "/readyz": PROBE_SECONDS}
SCRAPES: Final = {"/metrics": SCRAPE_SECONDS}
MIB = 1024


class Started(RunningDaemon):
    """A daemon that was not forked from a process which has imported everything."""

    def _launch(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Process:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def memory_mib(pid: int) -> tuple[float, float]:
    """Return the resident and the anonymous memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = dict(re.findall(r"(VmRSS|RssAnon):\s+(\d+)", status))
    return int(found["VmRSS"]) / MIB, int(found["RssAnon"]) / MIB


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def ask(path: Path, target: str) -> float:
    """Return the seconds until a request is answered."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(path))
    connection.request("GET", target)
    connection.getresponse().read()
    connection.close()
    return time.monotonic() - began


def moments(intervals: dict[str, float], seconds: float) -> Iterator[tuple[float, str]]:
    """Yield when to ask what, in order, from the start on: each target at least once."""
    due = dict.fromkeys(intervals, 0.0)
    while due and min(due.values()) < seconds:
        target = min(due, key=due.__getitem__)
        yield due[target], target
        due[target] += intervals[target]


def observed(daemon: Started, intervals: dict[str, float], seconds: float) -> tuple[float, float, float]:
    """Return the share of a core, and the resident and the anonymous memory afterwards, with requests at intervals.

    The first request of each kind, and what it imports, come before.
    """
    path = daemon.folder / "admin.sock"
    for target in intervals:
        ask(path, target)
    began, before = time.monotonic(), cpu_seconds(daemon.pid)
    for moment, target in moments(intervals, seconds):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        ask(path, target)
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    busy = (cpu_seconds(daemon.pid) - before) / (time.monotonic() - began)
    return busy, *memory_mib(daemon.pid)


def main() -> None:
    """Start daemons, and look at the last one: while nobody asks it, while it is probed and scraped, after a question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the CPU is measured, each time")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="llmledger-idle-") as name,
        running_engine(Path(name) / "engine") as engine,
    ):
        migrations.apply(Store(engine.url), migrations.Layout(ttl_days=90))
        daemon = Started(Path(name) / "d", url=engine.url)
        ready: list[float] = []
        rows: list[str] = []
        for number in range(chosen.starts + 1):  # the first writes bytecode
            began = time.monotonic()
            with daemon:
                ready.append(time.monotonic() - began)
                if number == chosen.starts:
                    time.sleep(SETTLED_SECONDS)
                    for asked, intervals in (
                        ("nobody asks", {}),
                        ("probed", PROBES),
                        ("probed and scraped", PROBES | SCRAPES),
                    ):
                        found = observed(daemon, intervals, chosen.seconds)
                        rows.append(f"| {asked} | {found[1]:.1f} | {found[2]:.1f} | {found[0]:.2%} |")
                    answered = ask(daemon.folder / "admin.sock", "/v1/openapi.json")
                    resident, anonymous = memory_mib(daemon.pid)
                    rows.append(f"| after a question | {resident:.1f} | {anonymous:.1f} | |")
                daemon.terminate()
    print("| idle daemon | resident MiB | anonymous MiB | of a core |\n|---|---|---|---|")
    print(*rows, sep="\n")
    print(f"exec to ready, s: {' '.join(f'{one:.2f}' for one in sorted(ready[1:]))}")
    print(f"first answer of the HTTP server, s: {answered:.2f}")


if __name__ == "__main__":
    main()
