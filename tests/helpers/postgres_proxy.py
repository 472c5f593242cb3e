"""A wire to PostgreSQL that breaks when it is told to: after a COMMIT has been carried out.

Invariant: what is asked for happens once, and is counted; else every byte passes.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.helpers.relay import Relay


class PostgresProxy(Relay):
    """Passes on to the server's port."""

    def __init__(self, port: int) -> None:
        self.to_cut = 0
        self.cuts = 0
        self.bytes_per_second = 0
        """To the server; 0 for no limit."""
        super().__init__(port, self._statements)

    def cut_after_commit(self) -> None:
        """Let the next COMMIT happen, and its answer be lost with the connection."""
        self.to_cut += 1

    def _statements(self, client: socket.socket, server: socket.socket) -> None:
        doomed = threading.Event()
        back = threading.Thread(target=self._answers, args=(server, client, doomed), daemon=True)
        back.start()
        while data := client.recv(1 << 16):
            if self.to_cut and b"COMMIT\0" in data:
                self.to_cut -= 1
                doomed.set()
            server.sendall(data)
            if self.bytes_per_second:
                time.sleep(len(data) / self.bytes_per_second)  # the speed is what is simulated
        server.shutdown(socket.SHUT_WR)
        back.join()

    def _answers(self, server: socket.socket, client: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if doomed.is_set():
                    self.cuts += 1
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def running_postgres_proxy(port: int) -> Iterator[PostgresProxy]:
    proxy = PostgresProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
