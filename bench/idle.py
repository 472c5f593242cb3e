"""What a daemon takes that has nothing to do: from its start until it is ready, memory, and CPU.

``python -m bench.idle [--starts 5] [--seconds 30]`` prints a table, as the kernel counts. The store is the engine behind
HTTP in another process. Bytecode has to be on disk, as in an installed distribution: unset PYTHONDONTWRITEBYTECODE.
"""

from __future__ import annotations

import argparse
import http.client
import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import running_engine
from tests.helpers.prefork import Process

SETTLED_SECONDS = 4.0
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


def ask(path: Path) -> float:
    """Return the seconds until ``/healthz`` is answered."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(path))
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    connection.close()
    return time.monotonic() - began


def main() -> None:
    """Start daemons, and look at the last one while it is idle and after a request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the CPU is measured")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="llmledger-idle-") as name,
        running_engine(Path(name) / "engine") as engine,
    ):
        migrations.apply(Store(engine.url), migrations.Layout(ttl_days=90))
        daemon = Started(Path(name) / "d", url=engine.url)
        ready: list[float] = []
        for number in range(chosen.starts + 1):  # the first writes bytecode
            began = time.monotonic()
            with daemon:
                ready.append(time.monotonic() - began)
                if number == chosen.starts:
                    time.sleep(SETTLED_SECONDS)
                    resident, anonymous = memory_mib(daemon.pid)
                    before = cpu_seconds(daemon.pid)
                    time.sleep(chosen.seconds)
                    busy = (cpu_seconds(daemon.pid) - before) / chosen.seconds
                    answered = ask(daemon.folder / "admin.sock")
                    asked, _ = memory_mib(daemon.pid)
                daemon.terminate()
    print(f"exec to ready, s:                 {' '.join(f'{one:.2f}' for one in sorted(ready[1:]))}")
    print(f"resident (anonymous), MiB:        {resident:.1f} ({anonymous:.1f})")
    print(f"idle, of a core:                  {busy:.2%}")
    print(f"first answer of /healthz, s:      {answered:.2f}, resident then, MiB: {asked:.1f}")


if __name__ == "__main__":
    main()
