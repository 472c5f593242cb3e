"""A session of the daemon's own tools, for lines that may have been sent before.

Invariant: a line that is sent twice is stored once. Such a session presents itself as one that the
daemon has forgotten, so that its lines are asked for by id before they are inserted; and while the
daemon remembers it, it says from which line to go on.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import msgspec

from llmledger.protocol import Answer, Hello, frame
from llmledgerd.errors import LlmledgerdError

FIRST: Final = 2
"""The number of the first line: a session whose first line is not its first is a forgotten one."""


class Resending:
    """One session on one connection. Raises LlmledgerdError where the daemon does not take its lines."""

    def __init__(
        self,
        socket_path: Path,
        session: str,
        *,
        client: str,
        service: str = "",
        lines: int | None = None,
        answer_seconds: float | None = None,
    ) -> None:
        """``lines`` is how many there may be, where that is known; ``answer_seconds`` None waits for ever."""
        self._path = socket_path
        last = None if lines is None else FIRST + lines - 1
        self._hello = Hello(session=session, first=FIRST, last=last, client=client, service=service, host="")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(answer_seconds)
        self._answers: BinaryIO = self._socket.makefile("rb")
        self.max_line_bytes: int | None = None
        self.known = 0
        """How many lines the daemon has already."""
        self.rejected = 0
        """Lines of which the daemon has said so far that they are dead letters."""
        self._sent = self._durable = 0

    def __enter__(self) -> Self:
        try:
            self._socket.connect(str(self._path))
            self._socket.sendall(frame("hello", self._hello))
            self._sent = self._durable = self.known = self._heard() - FIRST + 1
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                raise self._failed(error) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def send(self, lines: Iterable[bytes]) -> None:
        """Send further lines, and return when they are durable."""
        try:
            for line in lines:
                self._socket.sendall(line + b"\n")
                self._sent += 1
            self._until_durable()
        except OSError as error:
            raise self._failed(error) from error

    def end(self, taken: int) -> None:
        """Say that this was all; the daemon then forgets the session within minutes."""
        self.send([frame("end", {"taken": taken}).rstrip(b"\n")])

    def _until_durable(self) -> None:
        while self._durable < self._sent:
            self._durable = max(self._durable, self._heard() - FIRST + 1)

    def _heard(self) -> int:
        """Return the durable count of the next answer; 0 where it says something else."""
        line = self._answers.readline()
        if not line:
            raise LlmledgerdError(f"{self._path}: the daemon closed the connection")
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error:
            raise LlmledgerdError(f"the daemon refuses the session: {answer.error}")
        self.rejected += answer.rejected is not None
        self.max_line_bytes = answer.max_line_bytes or self.max_line_bytes
        return answer.durable or 0

    def _failed(self, error: OSError) -> LlmledgerdError:
        reason = (error.strerror or str(error)).lower()
        return LlmledgerdError(
            f"no daemon answers at {self._path} ({reason}); start llmledgerd, or name its socket by --socket or"
            " LLMLEDGER_SOCKET"
        )

    def _close(self) -> None:
        self._answers.close()
        self._socket.close()
