"""A ClickHouse server that throws away what it is sent, as far as the Collector's exporter asks one.

Invariant: every insert is read whole, its rows are counted by the head of its block, and nothing is kept. The answers
to the driver's two questions, who the server is and which columns the table has, are fixed.

``python -m bench.peers.sink`` prints ``ready`` and then its port; ``GET /rows`` returns the count.

Source: ClickHouse, "Native format" and "Native protocol: data blocks"; the driver, clickhouse-go 2.43, inserts blocks of
revision 0 and reads answers of the revision that it asks for.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from aiohttp import web

REVISION = 54_460
"""A revision whose blocks have block info and, for each column, a byte for its serialization."""
LOGS = {
    "Timestamp": "DateTime64(9)",
    "TraceId": "String",
    "SpanId": "String",
    "TraceFlags": "UInt8",
    "SeverityText": "LowCardinality(String)",
    "SeverityNumber": "UInt8",
    "ServiceName": "LowCardinality(String)",
    "Body": "String",
    "ResourceSchemaUrl": "LowCardinality(String)",
    "ResourceAttributes": "Map(LowCardinality(String), String)",
    "ScopeSchemaUrl": "LowCardinality(String)",
    "ScopeName": "String",
    "ScopeVersion": "LowCardinality(String)",
    "ScopeAttributes": "Map(LowCardinality(String), String)",
    "LogAttributes": "Map(LowCardinality(String), String)",
    "EventName": "String",
}
SPANS = {
    "Timestamp": "DateTime64(9)",
    "TraceId": "String",
    "SpanId": "String",
    "ParentSpanId": "String",
    "TraceState": "String",
    "SpanName": "LowCardinality(String)",
    "SpanKind": "LowCardinality(String)",
    "ServiceName": "LowCardinality(String)",
    "ResourceAttributes": "Map(LowCardinality(String), String)",
    "ScopeName": "String",
    "ScopeVersion": "String",
    "SpanAttributes": "Map(LowCardinality(String), String)",
    "Duration": "UInt64",
    "StatusCode": "LowCardinality(String)",
    "StatusMessage": "String",
    "Events.Timestamp": "Array(DateTime64(9))",
    "Events.Name": "Array(LowCardinality(String))",
    "Events.Attributes": "Array(Map(LowCardinality(String), String))",
    "Links.TraceId": "Array(String)",
    "Links.SpanId": "Array(String)",
    "Links.TraceState": "Array(String)",
    "Links.Attributes": "Array(Map(LowCardinality(String), String))",
}
"""Columns of the exporter's own tables."""
TABLES = {"otel_logs": LOGS, "otel_traces": SPANS}


def varint(number: int) -> bytes:
    """Return an unsigned number in LEB128."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def text(found: str) -> bytes:
    """Return a text with its length in front."""
    return varint(len(found.encode())) + found.encode()


def block(columns: Sequence[tuple[str, str, Sequence[bytes]]]) -> bytes:
    """Return a block of columns: name, type and encoded values."""
    info = b"\x01\x00\x02\xff\xff\xff\xff\x00"  # no overflow rows, no bucket, the end
    head = info + varint(len(columns)) + varint(len(columns[0][2]))
    return head + b"".join(
        text(name) + text(kind) + b"\x00" + b"".join(values) for name, kind, values in columns
    )


def hello() -> bytes:
    """Return who the server is."""
    return block(
        [
            ("displayName()", "String", [text("sink")]),
            ("version()", "String", [text("26.1.1.1")]),
            ("revision()", "UInt32", [REVISION.to_bytes(4, "little")]),
            ("timezone()", "String", [text("UTC")]),
        ]
    )


def description(columns: dict[str, str]) -> bytes:
    """Return the columns of a table."""
    names = ("name", "type", "default_type", "default_expression", "comment", "codec_expression", "ttl_expression")  # fmt: skip
    empty = [text("")] * len(columns)
    values = [[text(name) for name in columns], [text(kind) for kind in columns.values()], *[empty] * 5]
    return block([(name, "String", found) for name, found in zip(names, values, strict=True)])


def rows_of(head: bytes) -> int:
    """Return the number of rows of a block of revision 0: the second number of its head."""
    numbers, number, shift = [], 0, 0
    for byte in head:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
        if len(numbers) == 2:
            return numbers[1]
    return 0


class Sink:
    """Counts rows."""

    def __init__(self) -> None:
        self.rows = 0

    async def statement(self, request: web.Request) -> web.Response:
        """Answer a statement, which is in the URL for an insert and in the body otherwise."""
        if "INSERT" in request.query.get("query", ""):
            head = await request.content.read(20)
            async for _ in request.content.iter_any():
                pass
            self.rows += rows_of(head)
            return web.Response()
        statement = (await request.read()).decode()
        if "displayName()" in statement:
            return web.Response(body=hello())
        for name, columns in TABLES.items():
            if name in statement:
                return web.Response(body=description(columns))
        return web.Response(status=500, text=f"not expected: {statement[:200]}")

    async def count(self, _: web.Request) -> web.Response:
        """Answer with the number of rows so far."""
        return web.Response(text=str(self.rows))


async def serve() -> None:
    """Listen until the process is ended."""
    sink = Sink()
    application = web.Application(client_max_size=1 << 31)
    application.router.add_get("/rows", sink.count)
    application.router.add_post("/", sink.statement)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"ready\n{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)  # it ends with the benchmark


if __name__ == "__main__":
    asyncio.run(serve())
