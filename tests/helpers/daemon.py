"""A real daemon in a process of its own, ready when the context is entered."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from tests.helpers import prefork
from tests.helpers.migrated_databases import copy_migrated
from tests.helpers.prefork import Process

ROOT = Path(__file__).parents[2]
PLAIN = [sys.executable, "-m", "llmledgerd"]
READY_SECONDS = 60.0  # the embedded engine takes about one; a busy machine, many


class DaemonDied(AssertionError):
    """The daemon ended before it was ready, or when it should not have."""


class RunningDaemon:
    """``llmledgerd serve`` over one folder, which outlives the process."""

    def __init__(
        self,
        folder: Path,
        *,
        url: str = "",
        settings: Mapping[str, object] | None = None,
        config: Path | None = None,
        mutant: str = "",
    ) -> None:
        """``mutant`` names a way of ``tests.chaos.mutants`` in which the daemon is broken."""
        self._config = config
        self.folder = folder
        self._mutant = mutant
        self._own_store = folder / "clickhouse"
        self._own_url = f"chdb://{self._own_store}"
        self.url = url or self._own_url
        self.socket = folder / "s"  # short, since a Unix socket's path has 107 bytes
        self.spool = folder / "spool"
        self.log_path = folder / "daemon.log"
        self.settings = dict(settings or {})
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        stores = str(self.settings.get("stores", "clickhouse")).split(",")
        if self.url == self._own_url and "clickhouse" in stores and not self._own_store.exists():
            copy_migrated(self._own_store)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LLMLEDGER_", "CLICKHOUSE_"))}
        module = ["tests.chaos.mutants", self._mutant] if self._mutant else ["llmledgerd"]
        command = [sys.executable, "-m", *module, "serve", *self._options()]
        if self._config is not None:
            command += ["--config", str(self._config)]
        with self.log_path.open("ab") as log:
            mark = log.tell()
            self._process = self._launch(command, environment, log)
        if wait:
            self._wait_ready(mark)

    def _launch(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Process:
        if command[:3] == PLAIN:
            return prefork.start(
                "llmledgerd", command[3:], environment=environment, out=log.fileno(), err=log.fileno()
            )
        return subprocess.Popen(command, stderr=log, stdout=log, env=environment, cwd=ROOT)

    def _options(self) -> list[str]:
        options = []
        for name, value in self._all_settings().items():
            options += ["--set", f"{name}={value}"]
        return options

    def _all_settings(self) -> dict[str, object]:
        return {
            "socket_path": self.socket,
            "spool_dir": self.spool,
            "clickhouse_url": self.url,
            "batch_max_age_seconds": 0.2,
            "retry_cap_seconds": 0.5,
            "spool_reserve_bytes": 0,
            **self.settings,
        }

    def _wait_ready(self, mark: int) -> None:
        ready = threading.Event()
        waited = 0.0
        while not self._said("ready", mark):
            if self._process is None or self._process.poll() is not None:
                raise DaemonDied(self.log_path.read_text())
            if waited > READY_SECONDS:
                raise DaemonDied(f"not ready: {self.log_path.read_text()}")
            ready.wait(0.02)
            waited += 0.02

    def _said(self, event: str, mark: int) -> bool:
        return any(entry.get("event") == event for entry in self.log(mark))

    def log(self, mark: int = 0) -> list[dict[str, Any]]:
        """What the daemon has logged, beyond a byte of its log."""
        with self.log_path.open("rb") as log:
            log.seek(mark)
            lines = log.read().split(b"\n")
        return [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as the kernel's out-of-memory killer would."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> int:
        """SIGTERM; return the exit code once it has drained."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(timeout=120)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def peak_memory_bytes(self) -> int:
        """The kernel's high-water mark of the process's resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def segments(self) -> list[Path]:
        """Segment files that hold lines; an open one without any is smaller than its header."""
        return sorted(self.spool.glob("*.seg"))

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(str(self.socket))
            yield sock

    def send_one_way(self, data: bytes) -> None:
        """Connect, write, close, as senders of versions 1 to 3 do."""
        with self.connection() as sock:
            sock.sendall(data)
