"""What one sender suffers from another that floods.

`python -m bench.fairness [--seconds S] [--connections N] [--line-bytes B] [--store URL]` starts a daemon
and lets a quiet sender hand over 100 records of 2 KB a second, first alone, then beside a process
that writes as fast as it is read from on N connections, then beside one that holds as many bytes of
unfinished lines as fit in ``max_inflight_bytes``. It prints the time from a record's write to its
``durable`` answer, and what the other one got through. Without ``--store`` the rows go to the embedded
engine, whose work on the same cores is then part of what is measured.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.session import Session

PER_SECOND: Final = 100
QUIET_BYTES: Final = 2_000
INFLIGHT: Final = 64 << 20


def record(size: int) -> bytes:
    """Return a line of about so many bytes."""
    line = {"protocol_version": 3, "provider_trace_id": str(uuid.uuid4()), "request": {"text": "x" * size}}
    return json.dumps(line).encode() + b"\n"


def latencies(path: Path, seconds: float) -> list[float]:
    """Return for each record of the quiet sender how long it took to be durable, in milliseconds."""
    found = []
    line = record(QUIET_BYTES).replace(b'"protocol_version": 3', b'"protocol_version": 4')
    with Session(path, service="quiet") as session:
        session.hello()
        due = time.monotonic()
        for number in range(1, round(seconds * PER_SECOND) + 1):
            time.sleep(max(0.0, due - time.monotonic()))
            due += 1 / PER_SECOND
            began = time.perf_counter()
            session.send([line])
            session.wait_durable(number)
            found.append((time.perf_counter() - began) * 1000)
    return found


def pour(path: str, connections: int, data: bytes, *, again: bool) -> None:
    """Write the data on many connections as fast as it is read, once or for ever; say how much went."""
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(path)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_WRITE, memoryview(data))
    sent, said = 0, time.monotonic()
    while True:
        for key, _ in selector.select(0.1):
            assert isinstance(key.fileobj, socket.socket)
            wrote = key.fileobj.send(key.data)
            sent += wrote
            left = key.data[wrote:] or (memoryview(data) if again else b"")
            selector.modify(key.fileobj, selectors.EVENT_WRITE if left else selectors.EVENT_READ, left)
        if time.monotonic() - said > 0.1:
            said = time.monotonic()
            print(sent, flush=True)


def flood(path: str, connections: int, line_bytes: int) -> None:
    """Send whole lines for ever."""
    pour(path, connections, record(line_bytes) * max(1, (1 << 20) // line_bytes), again=True)


def hold(path: str, connections: int) -> None:
    """Begin a long line on each connection, and end none."""
    pour(path, connections, b"[" + b" " * INFLIGHT, again=False)


@contextmanager
def beside(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run the other sender until the context is left."""
    command = [sys.executable, "-m", "bench.fairness", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            yield other
        finally:
            other.kill()


def show(name: str, found: list[float], alone: list[float], other: str = "") -> None:
    p50, p99 = statistics.median(found), statistics.quantiles(found, n=100)[98]
    factors = f"{p50 / statistics.median(alone):6.1f} {p99 / statistics.quantiles(alone, n=100)[98]:6.1f}"
    print(f"{name:20} {p50:8.2f} {p99:8.2f} {max(found):8.2f} {factors}   {other}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--line-bytes", type=int, default=20_000)
    parser.add_argument("--store", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"max_inflight_bytes": INFLIGHT}
        with RunningDaemon(Path(folder), url=given.store, settings=settings) as daemon:
            print(f"{'':20} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'x p50':>6} {'x p99':>6}")
            alone = latencies(daemon.socket, given.seconds)
            show("alone", alone, alone)
            with beside("flood", daemon.socket, given.connections, given.line_bytes) as other:
                began = time.monotonic()
                found = latencies(daemon.socket, given.seconds)
                seconds = time.monotonic() - began
                other.kill()
                assert other.stdout is not None
                sent = int(other.stdout.read().split()[-1])
                show("beside a flood", found, alone, f"{sent / seconds / 1e6:.0f} MB/s flooded")
            with beside("hold", daemon.socket, given.connections):
                show("beside held lines", latencies(daemon.socket, given.seconds), alone)


if __name__ == "__main__":
    if sys.argv[1:2] == ["flood"]:
        flood(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1:2] == ["hold"]:
        hold(sys.argv[2], int(sys.argv[3]))
    else:
        main()
