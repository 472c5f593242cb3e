"""PageQueries a running daemon about itself, over its admin socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)  # a daemon that is stopped accepts nobody and answers nothing
        self.sock.connect(str(self._path))


def get(path: Path, target: str) -> tuple[int, str]:
    """Return status and text of one GET."""
    return _request(path, "GET", target)


def post(path: Path, target: str, body: str) -> tuple[int, str]:
    """Return status and text of one POST."""
    return _request(path, "POST", target, body)


def _request(path: Path, method: str, target: str, body: str | None = None) -> tuple[int, str]:
    connection = _UnixConnection(path)
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def status(path: Path) -> dict[str, Any]:
    """Return the daemon's counters; their identity is checked on the way."""
    code, text = get(path, "/v1/status")
    assert code == 200, text
    seen: dict[str, Any] = json.loads(text)
    assert_identity(seen)
    return seen


PARTS = ("stored", "dead_letters", "lost", "control_lines", "in_spool")


def assert_identity(seen: dict[str, Any]) -> None:
    """Check that each line which one store was given is somewhere."""
    assert seen["received"] == sum(seen[part] for part in PARTS), seen


def records(seen: dict[str, Any]) -> int:
    """Return how many of the lines were records; exact once none waits any more."""
    return int(seen["received"] - seen["control_lines"])
