"""The admin address keeps nobody's descriptors for nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from llmledgerd.admin.address import is_loopback
from llmledgerd.admin.http_server import HttpServer

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def served(path: Path, ask_seconds: float) -> AsyncIterator[None]:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    behind = await HttpServer(app, ask_seconds).started()
    server = await asyncio.get_running_loop().create_unix_server(behind.protocol, str(path))
    try:
        yield
    finally:
        server.close()
        await behind.close()


async def answer(path: Path, said: bytes) -> bytes:
    """Say something, and return what comes until the connection is closed or an answer is whole."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(said)
        return await asyncio.wait_for(reader.readuntil(b"hello"), 30)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        return getattr(error, "partial", b"")
    finally:
        await end_input(writer)


async def end_input(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("said", [b"", REQUEST[:-2], b"GET /" + b"x" * 100_000])
async def test_whoever_asks_nothing_is_shown_out(tmp_path: Path, said: bytes) -> None:
    async with served(tmp_path / "s", 0.05):
        assert b"hello" not in await answer(tmp_path / "s", said)
        assert b"hello" in await answer(tmp_path / "s", REQUEST)


async def test_whoever_has_asked_may_stay(tmp_path: Path) -> None:
    async with served(tmp_path / "s", 0.05):
        stays, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(REQUEST)
        await stays.readuntil(b"hello")
        assert await answer(tmp_path / "s", b"") == b"", "another was shown out meanwhile"
        writer.write(REQUEST)
        assert b"hello" in await stays.readuntil(b"hello")
        await end_input(writer)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("db", False),
    ],
)
def test_an_address_that_other_hosts_reach_is_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
