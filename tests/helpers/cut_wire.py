"""A wire over TCP that is cut after any number of bytes, in either direction.

Invariant: while it is whole, every byte passes unchanged; while it is not, each connection ends after a
number of bytes that the dice choose, and each cut is counted.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

READ_BYTES = 4096


class CutWire:
    """Listens on a port of its own, and passes on to another port of this machine."""

    def __init__(self, target: int, seed: int) -> None:
        self._target = target
        self._dice = Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_whole = False
        self.cuts = 0
        self.most_bytes = 60_000
        """Largest number of bytes that a connection passes before it is cut."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            left = [self._dice.randrange(100, self.most_bytes)]
            back = threading.Thread(target=self._pass, args=(server, client, left), daemon=True)
            back.start()
            self._pass(client, server, left)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket, left: list[int]) -> None:
        with suppress(OSError):
            while data := source.recv(READ_BYTES):
                left[0] -= len(data)
                if left[0] < 0 and not self.is_whole:
                    target.sendall(data[: left[0]])
                    self.cuts += 1
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):  # the other direction has ended it
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def running_cut_wire(target: int, seed: int) -> Iterator[CutWire]:
    """Run a wire for the length of a block."""
    wire = CutWire(target, seed)
    try:
        yield wire
    finally:
        wire.close()
