"""A process that asks too much of the daemon in one way, until it is told to stop.

Invariant: it is bounded by itself, in what it sends and in how long it lives, and ends with whoever
started it. It prints how often it did what it does.

Run as ``python -m tests.chaos.flooding KIND SOCKET NUMBER SEED``; records have ids ``flood-N``, with N from
NUMBER x ``APART`` on.
"""

from __future__ import annotations

import contextlib
import random
import resource
import select
import socket
import sys
import time
import uuid
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec

from tests.chaos.senders import Stop, fields
from tests.helpers.unix_connection import connected

APART = 10_000_000
"""Ids of one process; nobody sends as many."""
LIFE_SECONDS = 90.0
HELLOS = 20_000
BEGINS = 10_000
BEGINS_AT_ONCE = 100
LARGE_BEGINS = 10
LARGE_BYTES = 4 << 20
CONNECTIONS = 1000
SLOW_CONNECTIONS = 100
SLOW_BEGINNING_BYTES = 32 << 10
TINY_CONNECTIONS = 20
TINY_BYTES = 3
LONG_SERVICE = "x" * 7000
"""A hello may have 8 KiB."""
ANSWER_BYTES = 64 << 10
PATIENCE_SECONDS = 5.0
REST_SECONDS = 0.05

Flood = Callable[["Flooder"], None]


class Flooder:
    """One process of a flood."""

    def __init__(self, path: Path, number: int, dice: random.Random) -> None:
        self.path = path
        self.dice = dice
        self.done = 0
        self.held: list[socket.socket] = []
        self._numbers = count(number * APART)
        self._stop = Stop()
        self._until = time.monotonic() + LIFE_SECONDS

    def goes_on(self) -> bool:
        return not self._stop.asked and time.monotonic() < self._until

    def rest(self) -> None:
        """Do nothing until it is over."""
        while self.goes_on():
            time.sleep(REST_SECONDS)

    def connection(self) -> socket.socket:
        return connected(self.path, PATIENCE_SECONDS)

    def session(self, session: str = "", service: str = "flood") -> socket.socket:
        """Return a connection whose hello was answered. Raises OSError."""
        hello = {"session": session or str(uuid.UUID(int=self.dice.getrandbits(128), version=4)), "first": 1}
        sock = self.connection()
        try:
            line = {"protocol_version": 4, "hello": {**hello, "service": service}}
            sock.sendall(msgspec.json.encode(line) + b"\n")
            if not sock.recv(ANSWER_BYTES):
                raise ConnectionResetError("the daemon is gone")
        except OSError:
            sock.close()
            raise
        return sock

    def call(self) -> str:
        return f"flood-{next(self._numbers)}"

    def again(self, action: Callable[[], None], most: int) -> None:
        """Do it so often, whatever the daemon makes of it."""
        while self.goes_on() and self.done < most:
            try:
                action()
            except OSError:
                time.sleep(REST_SECONDS)
            else:
                self.done += 1


def hellos(flooder: Flooder) -> None:
    """Sessions that say hello, with a long name, and nothing else ever."""
    flooder.again(lambda: flooder.session(service=LONG_SERVICE).close(), HELLOS)


def hellos_again(flooder: Flooder) -> None:
    """One session that connects again and again."""
    session = str(uuid.UUID(int=flooder.dice.getrandbits(128), version=4))
    flooder.again(lambda: flooder.session(session).close(), HELLOS)


def begins(flooder: Flooder) -> None:
    """Calls that begin and never end."""
    _begin(flooder, BEGINS, 0, at_once=BEGINS_AT_ONCE)


def large_begins(flooder: Flooder) -> None:
    """The same, each as long as a request."""
    _begin(flooder, LARGE_BEGINS, LARGE_BYTES, at_once=1)


def _begin(flooder: Flooder, most: int, size: int, *, at_once: int) -> None:
    sock = flooder.session()
    flooder.held.append(sock)
    pad = "x" * size

    def line() -> bytes:
        body = {"provider_trace_id": flooder.call(), "provider": "openai", "model": "gpt-4o", "pad": pad}
        return msgspec.json.encode({"protocol_version": 4, "begin": body}) + b"\n"

    def begin() -> None:
        sock.sendall(b"".join(line() for _ in range(at_once)))
        flooder.done += at_once - 1
        if select.select([sock], [], [], 0)[0]:
            sock.recv(ANSWER_BYTES)

    flooder.again(begin, most)


def silent(flooder: Flooder) -> None:
    """Connections that never say anything."""
    flooder.again(lambda: flooder.held.append(flooder.connection()), CONNECTIONS)


def tiny_writes(flooder: Flooder) -> None:
    """Records that come a few bytes at a time, on some connections in turn."""
    waiting = [(flooder.connection(), memoryview(b"")) for _ in range(TINY_CONNECTIONS)]
    while flooder.goes_on():
        for place, (sock, rest) in enumerate(waiting):
            with contextlib.suppress(OSError):
                text = rest or memoryview(_record(flooder))
                sock.sendall(text[:TINY_BYTES])
                waiting[place] = sock, text[TINY_BYTES:]
                flooder.done += 1


def _record(flooder: Flooder) -> bytes:
    call = flooder.call()
    record = fields(call, int(call.rpartition("-")[2]), 200)
    return msgspec.json.encode({"protocol_version": 4, **record}) + b"\n"


def one_byte_a_second(flooder: Flooder) -> None:
    """Lines that are begun, and go on by a byte a second."""
    beginning = b'{"protocol_version":4,"request":"' + b"x" * SLOW_BEGINNING_BYTES

    def begin() -> None:
        sock = flooder.connection()
        flooder.held.append(sock)
        sock.sendall(beginning)

    flooder.again(begin, SLOW_CONNECTIONS)
    while flooder.goes_on():
        time.sleep(1)
        for sock in flooder.held:
            with contextlib.suppress(OSError):
                sock.send(b"x", socket.MSG_DONTWAIT)
                flooder.done += 1


FLOODS: dict[str, Flood] = {
    flood.__name__: flood
    for flood in (
        hellos, hellos_again, begins, large_begins, silent, tiny_writes, one_byte_a_second,
    )
}  # fmt: skip


def main() -> None:
    kind, path, number, seed = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    flooder = Flooder(Path(path), int(number), random.Random(seed))
    FLOODS[kind](flooder)
    flooder.rest()
    print(flooder.done)


if __name__ == "__main__":
    main()
