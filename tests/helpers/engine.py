"""A ClickHouse to test against: the real engine in a process that can be killed, stopped and faulted.

Invariant: an engine that was entered answers; its URL stays the same across restarts. Where
``LLMLEDGER_TEST_CLICKHOUSE_URL`` names a server, ``database_url`` gives a fresh database on that one
instead, and faults are not to be had.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

EXTERNAL = "LLMLEDGER_TEST_CLICKHOUSE_URL"
SERVER = Path(__file__).with_name("engine_server.py")


class Engine:
    """The engine behind HTTP on a folder and a port of its own."""

    def __init__(self, data: Path, *, cluster: str = "", certificate: Path | None = None) -> None:
        """``cluster``: it is the only host of one; ``certificate``: it speaks TLS, for ``localhost``."""
        self._data = data
        self._cluster = cluster
        self._certificate = certificate
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens, without a database."""
        return f"https://localhost:{self._port}" if self._certificate else f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens, by the number alone."""
        return self._port

    @property
    def url(self) -> str:
        """What a store is opened with."""
        return f"{self.address}/default"

    @property
    def pid(self) -> int:
        """The process of the engine that runs now."""
        assert self._process is not None, "the engine is not running"
        return self._process.pid

    def start(self) -> None:
        """Start the process, and return when it listens."""
        assert self._process is None, "the engine is running"
        command = [sys.executable, str(SERVER), "--data", str(self._data), "--port", str(self._port)]
        command += ["--cluster", self._cluster]
        command += ["--certificate", str(self._certificate)] if self._certificate else []
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine ended with {self._process.wait()} before it listened")
        self._port = int(line)

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, no goodbye."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def restart(self) -> None:
        """Kill it where it still runs, and start it again on the same port and data."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Let it hang: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on after ``stop``."""
        os.kill(self.pid, signal.SIGCONT)

    def fault(
        self, kind: str, *, times: int = 1, only: str = "INSERT", code: int = 0, status: int = 500
    ) -> None:
        """Make the next ``times`` statements that contain ``only`` go wrong.

        Before the engine has run the statement: ``error`` (answered with ClickHouse's error
        ``code``), ``status`` (a bare HTTP status, as a proxy would), ``cut`` (connection closed,
        no answer), ``stall`` (waits for ``release``, then runs). After it has: ``commit_then_cut``,
        ``commit_then_status``, ``commit_then_stall``.
        """
        self._control("POST", {"kind": kind, "times": times, "only": only, "code": code, "status": status})

    def release(self) -> None:
        """Forget all faults and let stalled statements go on."""
        self._control("DELETE")

    def bitten(self) -> Counter[str]:
        """Return how often each kind of fault has happened since the engine started.

        ``ran_late`` counts stalled statements that were released and have run.
        """
        bitten = Counter(self._control("GET"))
        del bitten["running"]
        return bitten

    def running(self) -> int:
        """Return how many statements run now, or are stalled, whether anybody waits for them or not."""
        return self._control("GET")["running"]

    def query(self, statement: str) -> str:
        """Run a statement past every driver, and return the text of its answer, TabSeparated."""
        request = urllib.request.Request(self.address, statement.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(answer.read().decode()).rstrip("\n")

    def _control(self, method: str, body: dict[str, Any] | None = None) -> dict[str, int]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/_faults", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
            return counts


@contextlib.contextmanager
def running_engine(data: Path, *, cluster: str = "", certificate: Path | None = None) -> Iterator[Engine]:
    """Run an engine on the folder for the length of a block."""
    engine = Engine(data, cluster=cluster, certificate=certificate)
    engine.start()
    try:
        yield engine
    finally:
        engine.kill()


@contextlib.contextmanager
def fresh_database(address: str) -> Iterator[str]:
    """Return the URL of a new, empty database on the server, and drop it after the block."""
    name = f"llmledger_test_{uuid.uuid4().hex}"
    _post(address, f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(address)._replace(path=f"/{name}"))
    finally:
        _post(address, f"DROP DATABASE {name}")


def external_server() -> str:
    """Return the address of the server that the environment names, or an empty text."""
    return os.environ.get(EXTERNAL, "")


def without_faults() -> None:
    """Skip a test that needs faults where the tests run against a server of somebody else."""
    if external_server():
        pytest.skip("a server of somebody else takes no faults")


def _post(url: str, statement: str) -> None:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare = urlunsplit((parts.scheme, host, "/", f"query={quote(statement)}", ""))
    headers = {"X-ClickHouse-User": parts.username or "default", "X-ClickHouse-Key": parts.password or ""}
    urllib.request.urlopen(urllib.request.Request(bare, b"", headers, method="POST"), timeout=30).close()
