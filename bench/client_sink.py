"""What the senders of ``bench/client.py`` write to: a socket and an HTTP port, in a process of their own.

Invariant: it reads as fast as it can and keeps nothing, so that what is measured is the sender. The
first line of standard input is awaited for the end; the HTTP port is printed when both listen.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from llmledger.protocol import Durable, answer


class Swallow(BaseHTTPRequestHandler):
    """Answers every POST with an empty 200, as an OTLP or Langfuse server would."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(connection: socket.socket, *, stalls: bool) -> None:
    """Answer a hello and then count lines; a connection without one is a sender of version 1."""
    buffer = bytearray(1 << 20)
    lines = -1
    with connection, suppress(OSError):
        while count := connection.recv_into(buffer):
            if lines < 0 and b'"hello"' not in buffer[:200]:
                while connection.recv_into(buffer):
                    pass
                return
            fresh = buffer.count(b"\n", 0, count)
            lines += fresh
            if fresh:
                first = lines == 0
                connection.sendall(answer(Durable(lines, protocol_version=4 if first else None)))
            if stalls:
                threading.Event().wait()


def main() -> None:
    """Serve ``argv[1]``; with a second argument ``stalls``, read no further than the hello."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(4096)
    stalls = sys.argv[2:] == ["stalls"]
    http = ThreadingHTTPServer(("127.0.0.1", 0), Swallow)
    threading.Thread(target=http.serve_forever, daemon=True).start()

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), kwargs={"stalls": stalls}, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(http.server_port, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
