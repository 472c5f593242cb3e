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

from tests.helpers.relay import Relay

READ_BYTES = 4096


class CutWire(Relay):
    """Passes on to another port of this machine."""

    def __init__(self, target: int, seed: int) -> None:
        self._dice = Random(seed)
        self.is_whole = False
        self.cuts = 0
        self.most_bytes = 60_000
        """Largest number of bytes that a connection passes before it is cut."""
        super().__init__(target, self._both_ways)

    def _both_ways(self, client: socket.socket, server: socket.socket) -> None:
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
