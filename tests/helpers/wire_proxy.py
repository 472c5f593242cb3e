"""A wire between clients and the daemon that can be held, and cut anywhere.

Invariant: bytes come out in order and unchanged, or the connection ends; nothing is made up, and
what was held when a connection was cut is gone. Each direction of a connection holds one read of
memory, and beyond that fills the kernel's buffers, as a slow network would.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

READ_BYTES = 64 << 10


class Wire:
    """One connection: the client's end and the daemon's."""

    def __init__(self, client: socket.socket, daemon: socket.socket) -> None:
        self.client = client
        self.daemon = daemon
        self.held = 0
        """Bytes of answers that the client has not been given."""
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True
        for end in (self.client, self.daemon):
            with contextlib.suppress(OSError):  # it has ended by itself
                end.shutdown(socket.SHUT_RDWR)


class WireProxy:
    """Listens at ``path`` and connects each client to the daemon at ``target``."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._target = target
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._changed = threading.Condition()
        self._wires: set[Wire] = set()
        self._holds_lines = False
        self._holds_answers = False
        self._passes_first = False
        self._bytes_left: int | None = None
        self.counts: Counter[str] = Counter()
        """How many wires were cut, and how many of those while the client waited for an answer that was held."""

    def __enter__(self) -> Self:
        self._listening.bind(str(self.path))
        self._listening.listen(128)
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # macOS refuses it for a listening socket, and wakes all the same
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        self.release()

    def hold_answers(self, *, but_hellos: bool = False) -> None:
        """From now on the clients hear nothing, ``but_hellos``: or only the first answer on a connection.

        What they write passes.
        """
        with self._changed:
            self._holds_answers, self._passes_first = True, but_hellos

    def hold_lines(self) -> None:
        """From now on the daemon reads nothing; its answers pass."""
        with self._changed:
            self._holds_lines = True

    def release(self) -> None:
        """Let everything pass again, and what is held too."""
        with self._changed:
            self._holds_lines = self._holds_answers = self._passes_first = False
            self._bytes_left = None
            self._changed.notify_all()

    def cut(self) -> int:
        """End every connection, with all that is held; return how many there were."""
        with self._changed:
            wires = list(self._wires)
            self._cut(wires)
        return len(wires)

    def cut_after(self, count: int) -> None:
        """Let so many more bytes pass to the daemon, then end every connection: most likely mid-line."""
        with self._changed:
            self._bytes_left = count

    @property
    def held_answers(self) -> int:
        """Bytes of answers that are held now."""
        with self._changed:
            return sum(wire.held for wire in self._wires)

    @property
    def connections(self) -> int:
        with self._changed:
            return len(self._wires)

    def _cut(self, wires: list[Wire]) -> None:
        """Inside the lock."""
        for wire in wires:
            self.counts["cut"] += 1
            self.counts["cut_with_answers_held"] += wire.held > 0
            wire.cut()
            self._wires.discard(wire)
        self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return  # closed
            daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                daemon.connect(str(self._target))
            except OSError:
                daemon.close()
                client.close()
                continue
            wire = Wire(client, daemon)
            with self._changed:
                self._wires.add(wire)
            self._start(self._serve, wire)

    def _serve(self, wire: Wire) -> None:
        """Pass answers here and lines in a thread of their own, until both have ended."""
        lines = self._start(self._pass_lines, wire)
        with contextlib.suppress(OSError):  # the client is gone, or the wire was cut
            self._pass_answers(wire)
        with self._changed:
            self._wires.discard(wire)
        wire.cut()
        lines.join()
        wire.client.close()
        wire.daemon.close()

    def _pass_answers(self, wire: Wire) -> None:
        is_first = True
        while data := wire.daemon.recv(READ_BYTES):
            with self._changed:
                wire.held = len(data)
                if not (is_first and self._passes_first):
                    self._changed.wait_for(lambda: wire.is_cut or not self._holds_answers)
                is_first = False
                wire.held = 0
            wire.client.sendall(data)

    def _pass_lines(self, wire: Wire) -> None:
        with contextlib.suppress(OSError):
            while data := wire.client.recv(READ_BYTES):
                with self._changed:
                    self._changed.wait_for(lambda: wire.is_cut or not self._holds_lines)
                wire.daemon.sendall(self._allowed(data))
                self._cut_if_used_up()
            wire.daemon.shutdown(socket.SHUT_WR)

    def _allowed(self, data: bytes) -> bytes:
        with self._changed:
            if self._bytes_left is None:
                return data
            data = data[: self._bytes_left]
            self._bytes_left -= len(data)
            return data

    def _cut_if_used_up(self) -> None:
        with self._changed:
            if self._bytes_left == 0:
                self._bytes_left = None
                self.counts["cut_mid_line"] += 1
                self._cut(list(self._wires))

    def _start(self, target: object, *arguments: object) -> threading.Thread:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, name="wire", daemon=True)
        thread.start()
        return thread
