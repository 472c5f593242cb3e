"""Object storage to test against: a stand-in for S3 that can be killed, stopped and faulted, or a folder.

Invariant: what ``names`` lists is what was stored, seen past the code under test.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

SERVER = Path(__file__).with_name("object_server.py")
BUCKET = "bucket"


class Folder:
    """A folder, by its URL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def settings(self) -> dict[str, object]:
        """Return the daemon's settings that name it."""
        return {"payload_store": f"file://{self._folder}"}

    def objects(self) -> dict[str, bytes]:
        """Return every object by its name; half-written ones have none."""
        found = (path for path in self._folder.rglob("*") if path.is_file() and "#" not in path.name)
        return {str(path.relative_to(self._folder)): path.read_bytes() for path in found}

    def remove(self, name: str) -> None:
        """Delete one object."""
        (self._folder / name).unlink()

    def record(self, name: str) -> dict[str, Any]:
        """Return what an object says."""
        return read_record(self.objects()[name])


class S3:
    """The stand-in, on a folder and a port of its own that it keeps across restarts."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "s3"
        self._options = folder / "s3.toml"
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, and return when it listens."""
        self._data.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(SERVER), "--data", str(self._data), "--port", str(self._port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        _write_options(self._options, self._port)

    @property
    def port(self) -> int:
        return self._port

    def kill(self) -> None:
        """End it as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def stop(self) -> None:
        """Let it hang: connections stay open and nothing answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on after ``stop``."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def fault(self, kind: str, times: int = 1) -> None:
        """Let the next PUTs go wrong: ``status`` (503), ``cut`` (not stored), ``store_then_cut``,
        ``overwrite`` (whatever the request's conditions say).
        """
        self._control("POST", {"kind": kind, "times": times})

    def release(self) -> None:
        """Forget all faults."""
        self._control("DELETE")

    def counts(self) -> Counter[str]:
        """Return how often each method was asked and each fault has happened since the start."""
        return Counter(self._control("GET"))

    def settings(self) -> dict[str, object]:
        """Return the daemon's settings that name it."""
        return {"payload_store": f"s3://{BUCKET}/some/where", "payload_store_file": self._options}

    def settings_by(self, port: int) -> dict[str, object]:
        """Return the daemon's settings that name it by a wire with this port."""
        options = self._options.with_name(f"s3-{port}.toml")
        _write_options(options, port)
        return {**self.settings(), "payload_store_file": options}

    def objects(self) -> dict[str, bytes]:
        """Return every object by its name under the configured prefix."""
        found = (self._data / BUCKET).glob("*") if (self._data / BUCKET).exists() else ()
        return {unquote(path.name).removeprefix("some/where/"): path.read_bytes() for path in found}

    def remove(self, name: str) -> None:
        """Delete one object."""
        (self._data / BUCKET / quote(f"some/where/{name}", safe="")).unlink()

    def record(self, name: str) -> dict[str, Any]:
        """Return what an object says."""
        return read_record(self.objects()[name])

    def _control(self, method: str, body: dict[str, Any] | None = None) -> dict[str, int]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        address = f"http://127.0.0.1:{self._port}/_faults"
        with urllib.request.urlopen(
            urllib.request.Request(address, data, headers, method=method), timeout=10
        ) as answer:
            counts: dict[str, int] = json.load(answer)
            return counts


ObjectStorage = Folder | S3


@contextlib.contextmanager
def running_s3(folder: Path) -> Iterator[S3]:
    """Run a stand-in for the length of a block."""
    server = S3(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _write_options(path: Path, port: int) -> None:
    path.write_text(
        f'endpoint = "http://127.0.0.1:{port}"\nregion = "us-east-1"\naccess_key_id = "test"\n'
        'secret_access_key = "test"\n'
    )


def read_record(content: bytes) -> dict[str, Any]:
    """Return the record that an object is; it is one line."""
    text = gzip.decompress(content)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    record: dict[str, Any] = json.loads(text)
    return record
