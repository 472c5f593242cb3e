"""A response is returned whole or not at all."""

from __future__ import annotations

import asyncio

import pytest

from llmledgerd.query import http_client

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


async def read(data: bytes) -> tuple[int, bytes]:
    reader = asyncio.StreamReader(limit=http_client.LARGEST_HEAD)
    reader.feed_data(data)
    reader.feed_eof()
    return await http_client.answer(reader)


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello, ignored", 200, b"hello"),
        (OK + b"content-length:5\r\n\r\nhello", 200, b"hello"),
        (OK + b"\r\nuntil the end", 200, b"until the end"),
        (CHUNKED + b"5\r\nhello\r\nA;x=y\r\n, my world\r\n0\r\n\r\n", 200, b"hello, my world"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.0 404\r\nContent-Length: 0\r\n\r\n", 404, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", 200, b"x"),
    ],
)
async def test_every_form_of_a_response_is_read(data: bytes, status: int, body: bytes) -> None:
    assert await read(data) == (status, body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        OK + b"Content-Length: 5\r\n\r\nhell",
        OK + b"Content-Length: -5\r\n\r\nhello",
        OK + b"Content-Length: 99999999999999999\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"five\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"FFFFFFFF\r\nhello",
        OK + b"X: " + b"x" * (1 << 17) + b"\r\n\r\n",
    ],
)
async def test_a_response_that_is_cut_or_none_is_an_error(data: bytes) -> None:
    with pytest.raises((ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)):
        await read(data)


async def test_a_header_with_a_line_break_is_never_sent() -> None:
    with pytest.raises(ValueError, match="line break"):
        await http_client.request("unix:/none", "GET", "/", {}, {"Authorization": "Bearer a\r\nX: y"}, None)


@pytest.mark.parametrize("address", ["http://h:port", "http://[::1", "unix:/none/such"])
async def test_an_address_where_nothing_can_be_is_an_error_of_the_system(address: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        await http_client.request(address, "GET", "/", {}, {}, None)
