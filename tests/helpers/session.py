"""A session of version 4 written by hand, from SPEC alone: nothing of our client is in it.

Invariant: it believes only what it was told. ``durable`` never goes back, and a daemon that answers a
hello with less than it has promised before fails the test.
"""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from tests.helpers.unix_connection import connected


class WentBack(AssertionError):
    """The daemon forgot what it had called durable."""


class Session:
    """One life of a sender, over as many connections as it takes."""

    def __init__(self, path: Path, *, service: str = "by-hand", timeout_seconds: float = 30.0) -> None:
        self.path = path
        self.id = str(uuid.uuid4())
        self.durable = 0
        self.written = 0
        """The newest line that was ever written, wholly or in part."""
        self._service = service
        self._timeout = timeout_seconds
        self._socket: socket.socket | None = None
        self._answers: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_input()

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    def hello(self) -> int:
        """Connect, say hello, and return from which line on the daemon wants more. Raises OSError."""
        self.end_input()
        self._socket = connected(self.path, self._timeout)
        self._answers = self._socket.makefile("rb")
        hello = {
            "session": self.id,
            "first": self.durable + 1,
            "last": self.written or None,
            "service": self._service,
        }
        self._socket.sendall(json.dumps({"protocol_version": 4, "hello": hello}).encode() + b"\n")
        known = self.durable
        durable = self._heed(self.hear())
        if durable is None or durable < known:
            raise WentBack(f"session {self.id}: {known} lines were durable, now {durable}")
        return durable

    def send(self, lines: Sequence[bytes], first: int = 0) -> None:
        """Write lines; ``first`` is the number of the first, by default the next. Raises OSError."""
        assert self._socket is not None
        first = first or self.written + 1
        self.written = max(self.written, first + len(lines) - 1)
        self._socket.sendall(b"".join(lines))

    def hear(self) -> dict[str, Any]:
        """Return the next answer. Raises OSError where the connection ends."""
        assert self._answers is not None
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the daemon is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def wait_durable(self, number: int) -> None:
        """Read answers until so many lines are durable. Raises OSError."""
        while self.durable < number:
            self._heed(self.hear())

    def end_input(self) -> None:
        """Close the connection; the session goes on at the next ``hello``."""
        for end in (self._answers, self._socket):
            if end is not None:
                end.close()
        self._answers = self._socket = None

    def _heed(self, answer: dict[str, Any]) -> int | None:
        durable = answer.get("durable")
        if durable is not None:
            self.durable = max(self.durable, int(durable))
        return durable
