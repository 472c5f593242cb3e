"""A receiver of OTLP/HTTP traces that can be stopped, started again on its port, and told what to answer."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Sink:
    """Keeps every span that it has answered with 200."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: list[str] = []
        self.scopes: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.statuses: list[int] = []
        """Statuses of the next answers; 200 when there is none left. 0 keeps the spans and cuts the connection."""
        self.refuses: str = ""
        """Requests with a span of this name are answered with 400."""
        self.answer = b""
        self.answer_headers: dict[str, str] = {}
        self._server: ThreadingHTTPServer | None = None
        self._open: set[Any] = set()
        self.port = 0
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ids(self) -> Counter[str]:
        """How often each row's id has arrived."""
        return Counter(attributes(span)["llmledger.id"] for span in self.spans)

    def start(self) -> None:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                sink._open.add(self.connection)

            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                status = sink.taken(self.path, dict(self.headers), body)
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in sink.answer_headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(sink.answer)))
                self.end_headers()
                self.wfile.write(sink.answer)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._open.clear()
        self._server = None

    def taken(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Keep a request's spans; return the status of the answer."""
        self.headers.append(headers)
        self.bodies.append(body)
        request: Any = ExportTraceServiceRequest()
        request.ParseFromString(body)
        spans = [
            (group, scoped, span)
            for group in request.resource_spans
            for scoped in group.scope_spans
            for span in scoped.spans
        ]
        if path != "/v1/traces":
            return 404
        if self.refuses and any(span.name == self.refuses for *_, span in spans):
            return 400
        status = self.statuses.pop(0) if self.statuses else 200
        if status in (0, 200):
            for group, scoped, span in spans:
                self.services.append(attributes(group.resource)["service.name"])
                self.scopes.add(scoped.scope.name)
                self.spans.append(span)
        return status


def attributes(holder: Any) -> dict[str, Any]:
    """Return the attributes of a span or a resource."""
    found = {}
    for one in holder.attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found
