"""Idle connections take every descriptor there is, and what lies aside cannot be looked at."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tests.chaos.hostile.stage import Stage
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.prefork import Process
from tests.helpers.session import Session
from tests.helpers.waiting import until

LIMIT = 1024
IDLE = 1015
HOUSEKEEPING_ROUNDS = 3
AWAY = "http://127.0.0.1:9/nowhere"
HOLD = """
import socket, sys
held = []
for _ in range(int(sys.argv[2])):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(sys.argv[1])
print("connected", flush=True)
sys.stdin.read()
"""


class Limited(RunningDaemon):
    """A daemon that may open so many files, and no more."""

    def _launch(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Process:
        limited = ["sh", "-c", f'ulimit -n {LIMIT} && exec "$@"', "sh", *command]
        return super()._launch(limited, environment, log)


@contextlib.contextmanager
def idle(path: Path, count: int) -> Iterator[None]:
    """Have another process connect so often, and say nothing."""
    command = [sys.executable, "-c", HOLD, str(path), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def looked(daemon: RunningDaemon) -> None:
    """Wait until housekeeping has had its turn some times, or the daemon has ended."""
    began = os.times().elapsed
    until(lambda: not daemon.alive or os.times().elapsed - began > HOUSEKEEPING_ROUNDS)
    assert daemon.alive, f"the daemon ended, with exit code {daemon.wait()}"


def stores(daemon: RunningDaemon, count: int) -> None:
    """Send some records in a session, and wait until they are durable."""
    with Session(daemon.socket) as session:
        session.hello()
        session.send(
            [b'{"protocol_version":4,"provider":"openai","model":"m","request":{}}\n' for _ in range(count)]
        )
        session.wait_durable(count)


def flooded(stage: Stage) -> str:
    daemon = stage.daemon(kind=Limited)
    daemon.start()
    with idle(daemon.socket, IDLE):
        looked(daemon)
        stores(daemon, 10)
        status = admin.status(daemon.folder / "admin.sock")
        assert status["ready"]
        until(lambda: admin.status(daemon.folder / "admin.sock")["stored"] == 10)
    until(lambda: admin.status(daemon.folder / "admin.sock")["connections"] == 0)
    assert daemon.terminate() == 0
    refused = sum(status["connections_refused"].values())
    return f"{IDLE} idle: {status['connections']} let in, {refused} turned away, 10 of 10 stored meanwhile"


def short_later(stage: Stage) -> str:
    """Take the descriptors away from a daemon that runs."""
    daemon = stage.daemon(name="e", url=AWAY, settings={"drain_timeout_seconds": 1})
    daemon.start()
    with Session(daemon.socket) as early:
        early.hello()
        subprocess.run(["prlimit", "--pid", str(daemon.pid), "--nofile=8:20000"], check=True)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for each in waiting:
            each.connect(str(daemon.socket))
        looked(daemon)
        subprocess.run(["prlimit", "--pid", str(daemon.pid), "--nofile=1024:20000"], check=True)
        stores(daemon, 10)
        for each in waiting:
            each.close()
    errors = admin.status(daemon.folder / "admin.sock")["system_errors"]
    assert {"accept", "dead_letters"} <= errors.keys(), errors
    assert daemon.terminate() == 0
    return f"short of descriptors for {HOUSEKEEPING_ROUNDS} s: {errors}, then 10 of 10 durable"


def aside(stage: Stage) -> str:
    """Start over dead letters that cannot be looked at, nor be deleted."""
    daemon = stage.daemon(
        name="f", url=AWAY, settings={"dead_letters_max_bytes": 1, "drain_timeout_seconds": 1}
    )
    letters = daemon.spool / "dead-letters"
    (letters / "folder.ndjson").mkdir(parents=True)
    (letters / "loop.ndjson").symlink_to("loop.ndjson")
    (letters / "old.ndjson").write_bytes(b"{}\n")
    daemon.start()
    looked(daemon)
    assert not (letters / "old.ndjson").exists()
    stores(daemon, 10)
    until(lambda: admin.status(daemon.folder / "admin.sock")["system_errors"]["dead_letters"] > 2)
    (letters / "folder.ndjson").rmdir()
    (letters / "loop.ndjson").unlink()
    letters.rmdir()
    letters.write_bytes(b"no folder")
    looked(daemon)
    stores(daemon, 10)
    assert daemon.terminate() == 0
    return "dead letters that cannot be looked at: counted"


def run(stage: Stage) -> str:
    return "; ".join(part(stage) for part in (flooded, aside, short_later))
