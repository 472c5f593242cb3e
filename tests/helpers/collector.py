"""The OpenTelemetry Collector in a process of its own.

The program is the one that ``LLMLEDGER_TEST_COLLECTOR`` names, which ``python -m bench.peers.build FOLDER`` builds.
What it accepts is in a queue on disk, synced, before it answers: no batch processor stands in front of the queue.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.helpers.waiting import until

VARIABLE = "LLMLEDGER_TEST_COLLECTOR"
HOW = f"{VARIABLE} names no Collector; `python -m bench.peers.build FOLDER` builds one"
LARGEST_BODY = 128 << 20


def program() -> Path | None:
    """Return the Collector's program, if one is named."""
    found = os.environ.get(VARIABLE, "")
    return Path(found) if found else None


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class RunningCollector:
    """A Collector that receives OTLP over HTTP and hands everything to one exporter, by way of its queue."""

    def __init__(
        self,
        folder: Path,
        exporter: str,
        options: dict[str, Any],
        *,
        queue: dict[str, Any] | None = None,
    ) -> None:
        """``options`` and ``queue`` are the exporter's and its queue's, beside the storage and the repeating."""
        self.port = free_port()
        self._folder = folder
        self._path = folder / "collector.json"  # the Collector reads YAML, of which JSON is a part
        self._log = folder / "collector.log"
        self._configuration = self._configured(exporter, options, queue or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self._folder / "queue").mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._configuration, indent=1))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process, and return when it listens."""
        found = program()
        assert found is not None, HOW
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(found), f"--config=file:{self._path}"], stdout=log, stderr=log
            )
        until(self._listens, what="the Collector")

    def kill(self) -> None:
        """SIGKILL; the queue on disk stays."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(self._log.read_text())
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def _configured(self, exporter: str, options: dict[str, Any], queue: dict[str, Any]) -> dict[str, Any]:
        repeating = {"initial_interval": "200ms", "max_interval": "1s", "max_elapsed_time": "0s"}
        sending = {"storage": "file_storage", "block_on_overflow": True, **queue}
        pipeline = {"receivers": ["otlp"], "exporters": [exporter]}
        http = {"endpoint": f"127.0.0.1:{self.port}", "max_request_body_size": LARGEST_BODY}
        return {
            "extensions": {"file_storage": {"directory": str(self._folder / "queue"), "fsync": True}},
            "receivers": {"otlp": {"protocols": {"http": http}}},
            "exporters": {exporter: {"retry_on_failure": repeating, "sending_queue": sending, **options}},
            "service": {
                "extensions": ["file_storage"],
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
                "pipelines": {"logs": pipeline, "traces": pipeline},
            },
        }
