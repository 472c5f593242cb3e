"""A daemon that speaks version 4 exactly, keeps its lines in memory, and misbehaves on demand.

Invariant: ``sessions[id]`` holds the lines of a session that are "on disk", by their numbers, and
the hello is answered with how many. Whatever it is told to do, it never stores a line twice under
one number: a line that comes again after it was answered shows up as an error in ``faults``.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from llmledger.protocol import Durable, Hello, Refused, Unsupported, answer

WAIT_SECONDS = 20.0
_first_line = msgspec.json.Decoder(dict[str, msgspec.Raw])


class FakeDaemon:
    """Listens on ``path`` while it is entered."""

    def __init__(self, path: Path, *, max_line_bytes: int = 128 << 20) -> None:
        self.path = path
        self.max_line_bytes = max_line_bytes
        self.sessions: dict[str, list[bytes]] = {}
        self.hellos: list[Hello] = []
        self.faults: list[str] = []
        self.holds_answers = False
        self.is_silent = False
        """Accepts and never reads."""
        self.is_unsupported = False
        self.says_first = b""
        """Said once, in place of an answer to the hello."""
        self.cut_after_lines = 0
        self.loses_before_cut = 0
        """So many of the lines read before a cut were not on disk yet."""
        self.rejects: Callable[[bytes], str] = lambda _: ""
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> FakeDaemon:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()
        assert self.faults == []

    def start(self) -> None:
        """Listen, in place of whatever is at the path."""
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._spawn(self._accept, self._listener)

    def stop(self) -> None:
        """Die: the path is gone and every connection is cut. What is stored stays."""
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink(missing_ok=True)
        self.cut()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)
        self._threads.clear()

    def cut(self) -> None:
        """End every connection, whatever was under way."""
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def release_answers(self) -> None:
        """Say now what was held back."""
        self.holds_answers = False
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; asked after every line and connection."""
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_SECONDS), "the daemon never saw it"

    @property
    def is_connected(self) -> bool:
        """Whether any connection is open."""
        return bool(self._connections)

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines of all sessions, decoded."""
        return [msgspec.json.decode(line) for lines in self.sessions.values() for line in lines]

    def records(self) -> list[dict[str, Any]]:
        """Return the lines that are records."""
        return [line for line in self.lines() if not {"begin", "dropped", "end"} & line.keys()]

    def controls(self, kind: str) -> list[Any]:
        """Return the bodies of the lines of that kind."""
        return [line[kind] for line in self.lines() if kind in line]

    def _spawn(self, target: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(argument,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                self._converse(connection)
        finally:
            self._connections.discard(connection)
            self._notify()

    def _converse(self, connection: socket.socket) -> None:
        if self.is_silent:
            self._notify()
            with self._changed:
                self._changed.wait_for(lambda: not self.is_silent, WAIT_SECONDS)
            return
        with connection.makefile("rb") as stream:
            line = stream.readline()
            if not line:
                return  # it did not trust this socket
            first = _first_line.decode(line)
            if "hello" not in first:
                self.faults.append("the first line is no hello")
                return
            hello = msgspec.json.decode(first["hello"], type=Hello)
            self.hellos.append(hello)
            if self.is_unsupported:
                connection.sendall(answer(Unsupported("unsupported_protocol_version")))
                return
            if self.says_first:
                nonsense, self.says_first = self.says_first, b""
                connection.sendall(nonsense)
                return
            stored = self.sessions.setdefault(hello.session, [])
            self._answer_hello(connection, hello, stored)
            self._read(connection, stream, stored)

    def _answer_hello(self, connection: socket.socket, hello: Hello, stored: list[bytes]) -> None:
        if hello.first > len(stored) + 1:
            self.faults.append(f"line {len(stored) + 1} was forgotten before it was durable")
        connection.sendall(
            answer(Durable(len(stored), protocol_version=4, max_line_bytes=self.max_line_bytes))
        )
        self._notify()

    def _read(self, connection: socket.socket, stream: Any, stored: list[bytes]) -> None:
        answered = 0
        for count, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return  # half a line is no line
            stored.append(line)
            reason = self.rejects(line)
            if reason:
                connection.sendall(answer(Refused(len(stored), reason)))
            self._notify()
            if self.cut_after_lines and count >= self.cut_after_lines:
                unanswered = len(stored) - answered
                del stored[len(stored) - min(self.loses_before_cut, unanswered) :]
                return
            if self.holds_answers:
                with self._changed:
                    self._changed.wait_for(lambda: not self.holds_answers, WAIT_SECONDS)
            answered = len(stored)
            connection.sendall(answer(Durable(answered)))

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
