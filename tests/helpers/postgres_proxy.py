"""A wire to PostgreSQL that breaks when it is told to: after a COMMIT has been carried out.

Invariant: what is asked for happens once, and is counted; else every byte passes.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class PostgresProxy:
    """Listens on a port of its own, and passes on to the server's."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.to_cut = 0
        self.cuts = 0
        self.bytes_per_second = 0
        """To the server; 0 for no limit."""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after_commit(self) -> None:
        """Let the next COMMIT happen, and its answer be lost with the connection."""
        self.to_cut += 1

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._server_port)) as server:
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
