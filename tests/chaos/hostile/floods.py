"""Floods of senders, by hand and many at a time; nothing of our client is in it."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import uvloop

from tests.helpers.daemon import RunningDaemon
from tests.helpers.unix_connection import connected

AT_ONCE = 200
LIMIT_SECONDS = 60.0


def hello(session: str, **more: Any) -> bytes:
    """Return a session's first line."""
    said = {"session": session, "first": 1, **more}
    return json.dumps({"protocol_version": 4, "hello": said}).encode() + b"\n"


def begin(call: str, **more: Any) -> bytes:
    """Return a line that announces a call."""
    said = {"provider_trace_id": call, "timestamp": "2026-01-01T00:00:00Z", **more}
    return json.dumps({"protocol_version": 4, "begin": said}).encode() + b"\n"


def at_once(count: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Run ``one`` with every number below ``count``, some at a time."""

    async def many() -> None:
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                await one(number)

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    uvloop.run(many())


def say_hello_and_go(path: Path, lines: Iterable[bytes]) -> None:
    """Connect, say hello and leave, before or after the answer, one after the other."""
    for line in lines:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(str(path))
            sock.sendall(line)


def greeted(path: Path, line: bytes) -> dict[str, Any]:
    """Connect, say hello, and return the answer."""
    with connected(path, LIMIT_SECONDS) as sock:
        sock.sendall(line)
        answer: dict[str, Any] = json.loads(sock.makefile("rb").readline())
        return answer


async def one_line(path: Path, line: bytes) -> None:
    """Open a session, send one line, and leave when it is durable."""
    sock = await asyncio.to_thread(connected, path, LIMIT_SECONDS)
    sock.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    writer.write(hello(str(uuid.uuid4()), service="flood"))
    answers = [await reader.readline()]
    writer.write(line)
    answers.append(await reader.readline())
    writer.close()
    assert b'"durable":1}' in answers[-1], answers


def spool_bytes(daemon: RunningDaemon) -> int:
    """Return how much the segments have on the disk."""
    total = 0
    for segment in daemon.segments():
        try:
            total += segment.stat().st_size
        except FileNotFoundError:  # written off meanwhile
            continue
    return total


def resident_bytes(daemon: RunningDaemon) -> int:
    """Return how much memory the daemon has now."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
