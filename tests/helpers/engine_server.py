"""The real engine behind ClickHouse's HTTP interface, in a process of its own.

Invariant: a statement answers here as a ClickHouse server would answer it, because the same engine
runs it; only the HTTP around it is ours. Faults happen where a test asked for them, are counted
when they bite, and nowhere else.

With ``--cluster NAME`` it is the only host of a cluster of that name: Distributed tables work, over this
one shard. The embedded engine has no Evictor, and no queue in which inserts could meet: so what needs
them is parsed by the engine, counted, and then done as one host alone would: ``ON CLUSTER`` here,
replicas as a plain MergeTree, ``SYSTEM SYNC REPLICA`` and ``SYSTEM FLUSH ASYNC INSERT QUEUE`` not at all;
and an insert with ``async_insert = 1``, which is counted too, is run at once.

Run as ``python engine_server.py --data FOLDER --port N``; the port is printed once it listens. The
process ends when its standard input does, so that a killed test leaves nothing running.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import re
import ssl
import sys
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import chdb
import lz4.frame  # type: ignore[import-untyped]  # ships no types
import zstandard
from aiohttp import web

TRANSPORT = {
    "query", "database", "default_format", "user", "password", "query_id", "session_id", "session_timeout",
    "session_check", "close_session", "compress", "decompress", "enable_http_compression", "wait_end_of_query",
    "buffer_size", "send_progress_in_http_headers", "http_headers_progress_interval_ms", "quota_key", "role",
    "client_protocol_version", "stacktrace", "cancel_http_readonly_queries_on_client_close",
}  # fmt: skip
"""URL parameters that a server's HTTP layer takes itself; everything else is a setting."""

UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.decompress,
    "gzip": gzip.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}

INSERT = re.compile(
    rb"\s*INSERT\s+INTO\s.{1,20000}?\sFORMAT\s+(?!Values)(\w+)[ \t;]*(?:\r?\n|$)", re.I | re.S
)
RESULT = re.compile(rb"\s*(?:\(|SELECT|WITH|SHOW|DESC|EXISTS|EXPLAIN|CHECK)", re.I)
FORMAT = re.compile(rb"\sFORMAT\s+(\w+)\s*;?\s*$", re.I)
CODE = re.compile(r"Code: (\d+)")
GREETING = re.compile(
    rb"SELECT (version\(\), timezone\(\)|name, value, readonly FROM system\.settings LIMIT \d+|1 AS check)"
    rb"(\s+FORMAT Native)?\s*"
)
"""What the driver asks of each new connection. The answer is the same for as long as an engine runs, and is
computed once for each set of options, since a daemon opens eight connections at its start."""

ON_CLUSTER = re.compile(rb" ON CLUSTER '[^']*'")
REPLICATED = re.compile(rb"\bReplicated(\w*MergeTree)\('[^']*', '[^']*'\)")
SYSTEM = re.compile(rb"\s*SYSTEM (SYNC REPLICA|FLUSH ASYNC INSERT QUEUE)\b")

CONFIG = """<clickhouse><tcp_port>9000</tcp_port><remote_servers><{name}><shard><internal_replication>true</internal_replication>
<replica><host>localhost</host><port>9000</port></replica></shard></{name}></remote_servers></clickhouse>"""
"""Nothing listens on that port: a shard on the server's own is used without a connection."""

FAULTS = {"error", "status", "stall", "cut", "commit_then_cut", "commit_then_status", "commit_then_stall"}


class Fault:
    """What goes wrong with the next ``times`` statements that contain ``only``."""

    def __init__(
        self, kind: str, times: int = 1, only: str = "INSERT", code: int = 0, status: int = 500
    ) -> None:
        if kind not in FAULTS:
            raise ValueError(f"no such fault: {kind}")
        self.kind, self.times, self.only, self.code, self.status = kind, times, only.encode(), code, status

    def bites(self, statement: bytes) -> bool:
        """Return whether it is this statement's turn, and count it off."""
        if self.times <= 0 or self.only not in statement:
            return False
        self.times -= 1
        return True


class Refused(Exception):
    """A statement that the engine, or a fault, answered with an error."""

    def __init__(self, code: int, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


class Cut(Exception):
    """The connection was closed instead of answered."""


class Server:
    """One engine on one folder, its faults, and what they did."""

    def __init__(self, data: str, cluster: str) -> None:
        self.data = f"{data}?config-file={_config(data, cluster)}" if cluster else data
        self.main = connect(self.data)  # keeps the engine up between statements
        self.workers = ThreadPoolExecutor(16)
        self.faults: list[Fault] = []
        self.bitten: Counter[str] = Counter()
        self.released = asyncio.Event()
        self.running = 0
        self.greetings: dict[tuple[bytes, frozenset[tuple[str, str]]], tuple[bytes, dict[str, str]]] = {}

    async def control(self, request: web.Request) -> web.Response:
        """POST adds a fault, DELETE forgets all and lets stalled statements go; both say what has bitten."""
        if request.method == "POST":
            self.faults.append(Fault(**await request.json()))
            self.released.clear()
        elif request.method == "DELETE":
            self.faults.clear()
            self.released.set()
        return web.json_response({**self.bitten, "running": self.running})

    async def statement(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, and count it while that lasts."""
        self.running += 1
        try:
            return await self._answer(request)
        finally:
            self.running -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request as ClickHouse does."""
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        headers = {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Timezone": "UTC"}
        try:
            text, data, options = await self._read(request)
            fault = next((f for f in self.faults if f.bites(text)), None)
            if fault:
                self.bitten[fault.kind] += 1
                await self._before(fault, request)
            work = asyncio.get_running_loop().run_in_executor(self.workers, self._run, text, data, options)
            body, more = await work
            if fault:
                await self._after(fault, request)
        except Refused as refused:
            headers["X-ClickHouse-Exception-Code"] = str(refused.code)
            return web.Response(
                status=refused.status, body=refused.text.encode(), headers=headers if refused.code else None
            )
        except (Cut, ConnectionResetError):  # by a fault, or by whom was sending the statement
            return web.Response()
        return web.Response(body=body, headers=headers | more)

    async def _read(self, request: web.Request) -> tuple[bytes, bytes, dict[str, str]]:
        options = dict(request.query)
        if request.content_type == "multipart/form-data":
            options.update({name: str(value) for name, value in (await request.post()).items()})
            body = b""
        else:
            body = await request.read()
        encoding = request.headers.get("Content-Encoding", "")
        if encoding in UNPACK:
            body = await asyncio.to_thread(UNPACK[encoding], body)
        query = options.pop("query", "").encode()
        whole = query + b"\n" + body if query and body else query or body
        head = INSERT.match(whole)
        return (head[0], whole[head.end() :], options) if head else (whole, b"", options)

    async def _before(self, fault: Fault, request: web.Request) -> None:
        if fault.kind == "error":
            raise Refused(fault.code, f"Code: {fault.code}. DB::Exception: asked for by a test. (FAULT)")
        if fault.kind == "status":
            raise Refused(0, "asked for by a test", fault.status)
        if fault.kind == "stall":
            await self.released.wait()
        if fault.kind == "cut":
            _cut(request)

    async def _after(self, fault: Fault, request: web.Request) -> None:
        if fault.kind == "stall":
            self.bitten["ran_late"] += 1
        if fault.kind == "commit_then_cut":
            _cut(request)
        if fault.kind == "commit_then_status":
            raise Refused(0, "asked for by a test", fault.status)
        if fault.kind == "commit_then_stall":
            await self.released.wait()

    def _run(self, text: bytes, data: bytes, options: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """Run one statement, or give the answer that it had before where it is a greeting."""
        if not GREETING.fullmatch(text):
            return self._run_anew(text, data, options)
        own = {name: value for name, value in options.items() if name != "query_id"}
        key = (text, frozenset(own.items()))
        if key not in self.greetings:
            self.greetings[key] = self._run_anew(text, data, options)
        return self.greetings[key]

    def _run_anew(self, text: bytes, data: bytes, options: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """Run one statement on a connection of its own, as settings last for the connection (0.2 ms)."""
        connection = connect(self.data)
        try:
            return _execute(connection, self._as_one_host(connection, text, options), data, options)
        except (RuntimeError, chdb.ChdbError) as error:
            found = CODE.search(str(error))
            code = int(found[1]) if found else 1002
            raise Refused(
                code, f"{error} (version 26.0)", 403 if code == 516 else 404 if code in (60, 81) else 500
            ) from None
        finally:
            connection.close()

    def _as_one_host(self, connection: Any, text: bytes, options: dict[str, str]) -> bytes:
        """Return what is left to do of a statement for a host that is alone."""
        if INSERT.fullmatch(text) and options.get("async_insert") == "1" == options.get(
            "wait_for_async_insert"
        ):
            self.bitten["async_insert"] += 1
        system = SYSTEM.match(text)
        alone = b"SELECT 1" if system else REPLICATED.sub(rb"\1", ON_CLUSTER.sub(b"", text))
        if alone != text:
            connection.query("EXPLAIN AST " + text.decode(), params=_parameters(options))
            self.bitten[system[1].decode() if system else "ON CLUSTER"] += 1
        return alone


def _config(data: str, cluster: str) -> str:
    path = Path(f"{data}.xml")
    path.write_text(CONFIG.format(name=cluster))
    return str(path)


def connect(data: str) -> Any:
    """Return a handle of the engine on the folder."""
    return chdb.connect(data)  # type: ignore[no-untyped-call]  # chdb is typed in part


def _execute(
    connection: Any, text: bytes, data: bytes, options: dict[str, str]
) -> tuple[bytes, dict[str, str]]:
    if options.get("database"):
        connection.query(f"USE `{options['database']}`")
    settings = {k: v for k, v in options.items() if k not in TRANSPORT and not k.startswith("param_")}
    # `readonly` comes last: after it the engine refuses every other SET.
    for last in (False, True):
        chosen = {name: value for name, value in settings.items() if (name == "readonly") is last}
        if chosen:
            connection.query(f"SET {', '.join(f'`{k}` = {_quoted(v)}' for k, v in chosen.items())}")
    if INSERT.fullmatch(text) and data:
        return b"", _summary(_insert(connection, text, data))
    found = FORMAT.search(text)
    default = options.get("default_format", "TabSeparated")
    result = connection.query(text.decode("utf-8", "surrogateescape"), default, params=_parameters(options))
    headers = _summary(result)
    if RESULT.match(text):
        headers["X-ClickHouse-Format"] = found[1].decode() if found else default
    return result.bytes() or b"", headers


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _parameters(options: dict[str, str]) -> dict[str, str]:
    return {name[6:]: value for name, value in options.items() if name.startswith("param_")}


def _insert(connection: Any, text: bytes, data: bytes) -> Any:
    """Insert inline data by way of a file, the one door for binary data that the embedded engine has."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        statement = text.decode().rstrip().rstrip(";")
        cut = re.search(r"\s(?:SETTINGS\s.*\s)?FORMAT\s+\w+$", statement, re.I | re.S)
        assert cut is not None  # INSERT has matched
        return connection.query(
            f"{statement[: cut.start()]} FROM INFILE '{file.name}'{statement[cut.start() :]}"
        )


def _summary(result: Any) -> dict[str, str]:
    numbers = {
        "read_rows": result.rows_read(),
        "read_bytes": result.bytes_read(),
        "written_rows": result.rows_read(),
    }
    return {"X-ClickHouse-Summary": json.dumps({name: str(number) for name, number in numbers.items()})}


def _cut(request: web.Request) -> None:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    raise Cut


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


async def serve(data: str, port: int, cluster: str, certificate: str) -> None:
    server = Server(data, cluster)
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    application = web.Application(client_max_size=1 << 31)
    application.router.add_route("*", "/_faults", server.control)
    application.router.add_get("/ping", lambda _: _ok())
    application.router.add_route("*", "/", server.statement)
    runner = web.AppRunner(application, access_log=None, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True, ssl_context=tls)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def _ok() -> web.Response:
    return web.Response(text="Ok.\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cluster", default="")
    parser.add_argument("--certificate", default="", help="PEM file of certificate and key, for TLS")
    arguments = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(serve(arguments.data, arguments.port, arguments.cluster, arguments.certificate))
