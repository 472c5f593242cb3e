"""Sending dead letters round again.

Invariant: a letter is deleted only when the daemon has called its line durable, and a line that is
sent twice is stored once: a replay presents itself as a session that the daemon has forgotten, and
the lines of such a session are asked for by id before they are inserted.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterable
from pathlib import Path

import msgspec

from llmtrace.protocol import Answer, Hello, frame
from llmtraced.dead_letters import DeadLetter, line_of
from llmtraced.errors import LlmtracedError

ANSWER_SECONDS = 60.0


class Replayed(msgspec.Struct):
    """What became of the letters: ``sent`` ids are durable, ``cut`` ones were kept only in part."""

    sent: list[str]
    cut: list[str]


def replay(socket_path: Path, letters: Iterable[DeadLetter]) -> Replayed:
    """Send the letters to a running daemon. Raises LlmtracedError where it does not take them."""
    replayed = Replayed([], [])
    by_service: dict[str, list[tuple[str, bytes]]] = {}
    for letter in letters:
        line = line_of(letter)
        if line is None:
            replayed.cut.append(letter.id)
        else:
            by_service.setdefault(letter.service, []).append((letter.id, line))
    for service, lines in by_service.items():
        try:
            _send(socket_path, service, [line for _, line in lines])
        except OSError as error:
            raise LlmtracedError(f"{socket_path}: {error.strerror or error}") from error
        replayed.sent += [name for name, _ in lines]
    return replayed


def _send(socket_path: Path, service: str, lines: list[bytes]) -> None:
    # Numbers begin at 2, since a session whose first line is not its first is a forgotten one.
    last = len(lines) + 1
    hello = Hello(
        session=str(uuid.uuid4()), first=2, last=last, client="llmtrace-replay", service=service, host=""
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, sock.makefile("rb") as answers:
        sock.settimeout(ANSWER_SECONDS)
        sock.connect(str(socket_path))
        sock.sendall(frame("hello", hello))
        _await(answers.readline(), 1)
        for line in lines:
            sock.sendall(line + b"\n")
        while not _await(answers.readline(), last):
            pass
        sock.sendall(frame("end", {"taken": len(lines)}))
        while not _await(answers.readline(), last + 1):
            pass


def _await(line: bytes, durable: int) -> bool:
    """Return whether the daemon's answer says that so many lines are durable."""
    if not line:
        raise LlmtracedError("the daemon closed the connection")
    answer = msgspec.json.decode(line, type=Answer)
    if answer.error:
        raise LlmtracedError(f"the daemon refuses: {answer.error}")
    return (answer.durable or 0) >= durable
