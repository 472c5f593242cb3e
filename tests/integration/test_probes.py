"""Probes are answered as the HTTP server answers them, and what is no probe is answered by it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from llmledgerd.admin import auth
from llmledgerd.admin.api import Api
from llmledgerd.admin.auth import Tokens
from llmledgerd.admin.endpoints import Endpoints
from llmledgerd.admin.first_request import Answering
from llmledgerd.admin.health import Health
from llmledgerd.admin.on_demand import Begin, OnDemand
from llmledgerd.telemetry.metrics import Metrics
from tests.helpers.config import config as configured
from tests.helpers.daemon import RunningDaemon
from tests.helpers.places import free_port
from tests.unit.admin.test_probes import KUBELET, NO_PROBES

CONNECTIONS = 20


class Ways:
    """The same endpoints twice: with answers to probes, and all of them by the HTTP server."""

    def __init__(self, folder: Path) -> None:
        self.operator, for_all = auth.new([])
        (folder / "tokens").write_text(for_all)
        self._settings = configured(socket_path=f"{folder}/s", spool_dir=f"{folder}/spool")
        self._tokens = Tokens(str(folder / "tokens"))
        self._health = Health(self._status, Metrics({}), self._tokens)
        self.loads = 0
        self.probed, self.served = folder / "probed", folder / "served"
        self._servers: list[OnDemand] = []

    async def start(self) -> None:
        answers: list[Answering | None] = [self._health.answer, None]
        for path, answer in zip((self.probed, self.served), answers, strict=True):
            server = OnDemand(self._load, self._fail, self._fail, answer)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.bind(str(path))
            server.start([sock], CONNECTIONS)
            self._servers.append(server)

    async def close(self) -> None:
        for server in self._servers:
            await server.close()

    def _load(self) -> Begin:
        self.loads += 1
        api = Api(self._settings, self._status, self._tokens, Metrics({}))
        return Endpoints(self._health, api).serve

    async def _status(self) -> Any:
        return SimpleNamespace(ready=False, spool="the spool is full", stores=[])

    def _fail(self, error: Exception) -> None:
        raise error


def with_ways(folder: Path, test: Callable[[Ways], Awaitable[None]]) -> None:
    """Run a test on the daemon's event loop."""

    async def run() -> None:
        ways = Ways(folder)
        await ways.start()
        try:
            await test(ways)
        finally:
            await ways.close()

    uvloop.run(run())


async def answered(path: Path, request: bytes, cuts: tuple[int, ...] = ()) -> bytes | None:
    """Return the answer to one request; None if the connection was reset before all of it was written or read."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        for begin, end in pairwise((0, *cuts, len(request))):
            writer.write(request[begin:end])
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            return await read_response(reader, is_head=request.startswith(b"HEAD"))
    except ConnectionError:
        return None
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def read_response(reader: asyncio.StreamReader, *, is_head: bool) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length is not None
    return head if is_head else head + await reader.readexactly(int(length[1]))


def essence(response: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Return what a client reads of an answer: status line, the fields that matter, and body."""
    head, _, body = response.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    fields = dict(line.decode().lower().split(": ", 1) for line in lines)
    matter = ("content-type", "content-length", "www-authenticate", "content-encoding", "transfer-encoding")
    assert "date" in fields
    return status, {name: fields[name] for name in matter if name in fields}, body


PROBES = [
    b"%s %s HTTP/1.%d\r\nHost: x\r\n%s\r\n" % (method, path, version, fields)
    for method in (b"GET", b"HEAD")
    for path in (b"/healthz", b"/readyz")
    for version in (0, 1)
    for fields in (b"", b"Accept-Encoding: gzip\r\nContent-Length: 0\r\n", b"Authorization: Bearer %s\r\n")
]


def test_a_probe_has_the_http_server_s_answer(tmp_path: Path) -> None:
    async def test(ways: Ways) -> None:
        for form in PROBES:
            request = form.replace(b"%s", ways.operator.encode())
            probed, served = [await answered(path, request) for path in (ways.probed, ways.served)]
            assert probed is not None
            assert served is not None
            assert essence(probed) == essence(served), request
            assert b"\r\nConnection: close\r\n" in probed
        assert ways.loads == 1, "that of the way without probes"

    with_ways(tmp_path, test)


@pytest.mark.parametrize("in_bytes", [False, True])
def test_what_is_no_probe_has_the_http_server_s_answer(tmp_path: Path, *, in_bytes: bool) -> None:
    async def test(ways: Ways) -> None:
        for request in (request for request in NO_PROBES if b"\n" in request.strip()):
            cuts = tuple(range(1, min(len(request), 40))) if in_bytes else ()
            probed, served = [await answered(path, request, cuts) for path in (ways.probed, ways.served)]
            if not in_bytes:
                assert probed == served == b"" or essence(probed or b"") == essence(served or b""), request
            elif probed and served:  # a message about an error quotes what was read at once
                assert essence(probed)[0] == essence(served)[0], request
        assert ways.loads == 2

    with_ways(tmp_path, test)


def test_connections_over_the_limit_are_closed(tmp_path: Path) -> None:
    async def test(ways: Ways) -> None:
        over = CONNECTIONS + 20
        silent = [await asyncio.open_unix_connection(str(ways.probed)) for _ in range(over)]
        reads = [asyncio.create_task(reader.read()) for reader, _ in silent]
        done, _ = await asyncio.wait(reads, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        for _, writer in silent:
            writer.close()
        await asyncio.gather(*reads)
        assert done, "and not only after the time to ask"

    with_ways(tmp_path, test)


def test_two_requests_at_once_have_two_answers(tmp_path: Path) -> None:
    async def test(ways: Ways) -> None:
        reader, writer = await asyncio.open_unix_connection(str(ways.probed))
        writer.write(KUBELET.replace(b"close", b"keep-alive") + KUBELET)
        async with asyncio.timeout(30):
            assert (await reader.read()).count(b"HTTP/1.1 200 OK") == 2
        writer.close()

    with_ways(tmp_path, test)


def test_a_client_that_has_ended_its_side_is_answered(tmp_path: Path) -> None:
    async def test(ways: Ways) -> None:
        for _ in range(20):
            reader, writer = await asyncio.open_unix_connection(str(ways.probed))
            writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
            writer.write_eof()
            async with asyncio.timeout(30):
                assert (await reader.read()).endswith(b"\r\n\r\nnot ready\n")
            writer.close()

    with_ways(tmp_path, test)


# A daemon.


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A daemon on TCP whose metrics need a token, and a token of each kind."""
    folder = tmp_path_factory.mktemp("p")
    address = f"127.0.0.1:{free_port()}"
    made = {"operator": auth.new([]), "acme": auth.new(["acme"]), "metrics": auth.new([], metrics=True)}
    (folder / "tokens").write_text("\n".join(entry for _, entry in made.values()))
    settings = {
        "admin": address,
        "admin_tokens_file": folder / "tokens",
        "metrics_need_token": "true",
    }
    with RunningDaemon(folder / "d", url="http://127.0.0.1:9/none", settings=settings):
        yield address, {name: token for name, (token, _) in made.items()} | {"none": "", "wrong": "x"}


def fetch(address: str, target: str, token: str, accept: str) -> bytes:
    host, _, port = address.partition(":")
    fields = f"Host: x\r\nAccept: {accept}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
    with socket.create_connection((host, int(port)), 30) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\n{fields}\r\n".encode())
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


@pytest.mark.parametrize("who", ["operator", "acme", "metrics", "none", "wrong"])
@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text; version=1.0.0"])
def test_metrics_and_readiness_are_the_same_for_everybody_both_ways(
    exposed: tuple[str, dict[str, str]], who: str, accept: str
) -> None:
    address, tokens = exposed
    for path in ("/metrics", "/readyz", "/healthz"):
        probed = fetch(address, path, tokens[who], accept)
        served = fetch(address, f"{path}?", tokens[who], accept)
        assert (b"aiohttp" in probed, b"aiohttp" in served) == (False, True)
        (code, fields, body), (expected, expected_fields, expected_body) = map(essence, (probed, served))
        assert code == expected
        if b"llmledgerd_accepting" in expected_body:  # whose values change
            fields["content-length"] = expected_fields["content-length"]
            body, expected_body = (re.sub(rb"(?m) [\d.e+-]+$", b"", one) for one in (body, expected_body))
        assert (fields, body) == (expected_fields, expected_body)
