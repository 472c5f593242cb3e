"""OTLP requests, as an exporter writes them, and how they are sent."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

T0_NS = 1_780_000_000_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}
PROTOBUF = {"Content-Type": "application/x-protobuf"}

Json = dict[str, Any]


def value(found: Any) -> Json:
    """Return an attribute's value in OTLP's JSON."""
    if isinstance(found, bool):
        return {"boolValue": found}
    if isinstance(found, int):
        return {"intValue": str(found)}
    if isinstance(found, float):
        return {"doubleValue": found}
    if isinstance(found, list):
        return {"arrayValue": {"values": [value(one) for one in found]}}
    if isinstance(found, dict):
        return {"kvlistValue": {"values": pairs(found)}}
    return {"stringValue": found}


def pairs(found: Mapping[str, Any]) -> list[Json]:
    """Return attributes in OTLP's JSON."""
    return [{"key": name, "value": value(one)} for name, one in found.items()]


def span(
    number: int,
    attributes: Mapping[str, Any],
    *,
    parent: int = 0,
    name: str = "chat",
    trace: str = TRACE,
    **more: Any,
) -> Json:
    """Return a span; spans and parents are numbered from 1."""
    return {
        "traceId": trace,
        "spanId": f"{number:016x}",
        **({"parentSpanId": f"{parent:016x}"} if parent else {}),
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(T0_NS + number * 1_000_000_000),
        "endTimeUnixNano": str(T0_NS + number * 1_000_000_000 + 250_000_000),
        "attributes": pairs(attributes),
        **more,
    }


def traces(
    spans: Sequence[Json],
    *,
    scope: str = "my.scope",
    version: str = "1.0",
    resource: Mapping[str, Any] | None = None,
) -> Json:
    """Return a request of one scope."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": pairs(resource or {"service.name": "shop"})},
                "scopeSpans": [{"scope": {"name": scope, "version": version}, "spans": list(spans)}],
            }
        ]
    }


def log_record(name: str, attributes: Mapping[str, Any], *, at: int = 0, **more: Any) -> Json:
    """Return a log record whose event has a name."""
    return {
        "timeUnixNano": str(T0_NS + at * 1_000_000_000),
        "body": {"stringValue": name},
        "attributes": pairs(attributes),
        **more,
    }


def logs(records: Sequence[Json], *, scope: str = "", resource: Mapping[str, Any] | None = None) -> Json:
    """Return a request of one scope."""
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": pairs(resource or {"service.name": "shop"})},
                "scopeLogs": [{"scope": {"name": scope}, "logRecords": list(records)}],
            }
        ]
    }


def as_protobuf(request: Json) -> bytes:
    """Return a request in protobuf's encoding."""
    from google.protobuf import json_format
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    kind: Any = ExportLogsServiceRequest if "resourceLogs" in request else ExportTraceServiceRequest
    found = kind()
    parse: Any = json_format.ParseDict
    parse(_with_bytes(request), found)
    return bytes(found.SerializeToString())


def _with_bytes(found: Any) -> Any:
    """Return JSON with ids in base64, as protobuf's own JSON has them and OTLP's has not."""
    import base64

    if isinstance(found, list):
        return [_with_bytes(one) for one in found]
    if isinstance(found, dict):
        return {
            name: base64.b64encode(bytes.fromhex(one)).decode()
            if name in ("traceId", "spanId", "parentSpanId")
            else _with_bytes(one)
            for name, one in found.items()
        }
    return found


def field(number: int, body: bytes) -> bytes:
    """Return a field of protobuf that is a message, text or bytes."""
    size, left = bytearray(), len(body)
    while left > 0x7F:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([number << 3 | 2, *size, left]) + body


class Exporter:
    """One connection to the receiver."""

    def __init__(self, address: str | Path | int) -> None:
        """``address`` is a port on the loopback or the path of a Unix socket."""
        self._address = address

    def post(
        self, signal: str, body: bytes, headers: Mapping[str, str] | None = None, *, timeout: float = 60.0
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send a body as it is; return status, body and headers of the answer."""
        connection = self._connection(timeout)
        try:
            connection.request("POST", f"/v1/{signal}", body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read(), dict(response.headers)
        finally:
            connection.close()

    def cut(self, signal: str, body: bytes, headers: Mapping[str, str], at: int) -> None:
        """Begin to send a body, and close the connection before a byte of it."""
        connection = self._connection(60.0)
        try:
            connection.putrequest("POST", f"/v1/{signal}")
            for name, one in {**headers, "Content-Length": str(len(body))}.items():
                connection.putheader(name, one)
            connection.endheaders(body[:at])
        finally:
            connection.close()

    def send(
        self,
        request: Json,
        *,
        protobuf: bool = True,
        gzipped: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Export a request; return the status."""
        body = as_protobuf(request) if protobuf else json.dumps(request).encode()
        found = {
            "Content-Type": "application/x-protobuf" if protobuf else "application/json",
            **(headers or {}),
        }
        if gzipped:
            body, found["Content-Encoding"] = gzip.compress(body), "gzip"
        return self.post("logs" if "resourceLogs" in request else "traces", body, found)[0]

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if isinstance(self._address, int):
            return http.client.HTTPConnection("127.0.0.1", self._address, timeout=timeout)
        connection = http.client.HTTPConnection("localhost", timeout=timeout)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(timeout)
        connection.sock.connect(str(self._address))
        return connection


def encoded(found: Any) -> bytes:
    """Return JSON as the daemon stores it."""
    return json.dumps(found).encode()
