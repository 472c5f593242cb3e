"""One HTTP/1.1 request over a connection of its own. What the daemon's clients need, and nothing else.

Invariant: a body is returned whole or not at all: a response that ends early, is no HTTP, or is longer than
LARGEST_BYTES is an error. Redirects and compression are not followed, nor asked for.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

LARGEST_BYTES: Final = 1 << 31
LARGEST_HEAD: Final = 1 << 16
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |$)")

UNIX: Final = "unix:"


class NotHttp(OSError):
    """What answered does not speak HTTP, or ended in the middle of a response."""


async def request(
    address: str,
    method: str,
    path: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes | None,
) -> tuple[int, bytes]:
    """Return the status and body of a request to ``unix:/path``, ``host:port`` or ``http(s)://host:port``.

    Raises OSError: the system's own, or NotHttp.
    """
    target = f"{path}?{urlencode(parameters)}" if parameters else path
    sent = {"Host": _host(address), "Connection": "close", **headers}
    if body is not None:
        sent |= {"Content-Type": "application/octet-stream", "Content-Length": str(len(body))}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    if any(set(line) & {"\r", "\n", "\0"} for line in lines):
        raise ValueError("a header must not have a line break")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    reader, writer = await _opened(address)
    try:
        writer.write(head + (body or b""))
        return await answer(reader)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise NotHttp(f"invalid or incomplete response: {error}") from error
    finally:
        writer.transport.abort()  # nothing is to be said any more


def _host(address: str) -> str:
    if address.startswith(UNIX):
        return "daemon"
    return address.rpartition("://")[2].partition("/")[0].rpartition("@")[2]


async def _opened(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith(UNIX):
        return await asyncio.open_unix_connection(address.removeprefix(UNIX), limit=LARGEST_HEAD)
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        is_tls, host = parts.scheme == "https", parts.hostname or ""
        port = parts.port or (443 if is_tls else 80)
    except ValueError as error:
        raise OSError(f"invalid address: {error}") from None
    of_system: OSError | None = None
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, (ip, *_) in found:  # one by one: asyncio joins the errors of several to a text without a number
        try:
            return await asyncio.open_connection(
                str(ip),
                port,
                limit=LARGEST_HEAD,
                ssl=is_tls or None,
                server_hostname=host if is_tls else None,
            )
        except OSError as error:
            of_system = of_system or error
    raise of_system or OSError(f"{host} has no address")


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read a response, not to a HEAD. Raises ValueError, IncompleteReadError or LimitOverrunError."""
    status = 100
    while status // 100 == 1:  # interim responses
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        found = _STATUS.match(head[0])
        if not found:
            raise ValueError("no status line")
        status = int(found[1])
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:])
    }
    if status in (204, 304):
        return status, b""
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        return status, await _chunks(reader)
    length = headers.get(b"content-length")
    if length is None:
        return status, await reader.read()
    return status, await reader.readexactly(_size(length, 10))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    whole = bytearray()
    while True:
        size = _size((await reader.readuntil(b"\r\n")).partition(b";")[0].strip(), 16)
        if not size:
            return bytes(whole)
        if len(whole) + size > LARGEST_BYTES:
            raise ValueError("too long")
        whole += await reader.readexactly(size)
        await reader.readexactly(2)


def _size(text: bytes, base: int) -> int:
    if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", text):
        raise ValueError("no length")
    size = int(text, base)
    if size > LARGEST_BYTES:
        raise ValueError("too long")
    return size
