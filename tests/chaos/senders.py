"""Senders in processes of their own: our client, sessions written by hand, one-way senders.

Invariant: a sender writes into its ledger what it knows, when it knows it, and nothing else; being
killed at any point leaves a ledger that is true. SIGTERM asks it to finish in the ordinary way.

Run as ``python -m tests.chaos.senders KIND NAME SOCKET FOLDER SEED``.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from llmledger import TraceClient
from tests.chaos.ledger import Pen
from tests.helpers.exchanges import openai_chat
from tests.helpers.session import Session, WentBack
from tests.helpers.unix_connection import connected

SIZES = (
    (0.94, 200, 1500),
    (0.055, 5_000, 40_000),
    (0.0045, 100_000, 400_000),
    (0.0005, 2_000_000, 5_000_000),
)
"""Share, least and most bytes of payload."""
PAUSE_SECONDS = 0.08
QUIET_SECONDS = 1.5
GIVE_UP_SECONDS = 300.0
RECONNECT_SECONDS = 0.1
MOST_RECORDS = 60
"""In one burst."""


class Stop:
    """Asked for by SIGTERM, or by the end of the harness, whatever that died of."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)

    @property
    def asked(self) -> bool:
        return self._asked or os.getppid() != self._parent

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True


def fields(call: str, index: int, size: int) -> dict[str, Any]:
    """Return a record that can be checked once it is a row: its index is ``prompt_tokens``, and the
    size of its request ``latency_ms``."""
    made = openai_chat(index, size=size)
    request = msgspec.json.encode(made["request"])
    return {**made, "provider_trace_id": call, "request": msgspec.Raw(request), "latency_ms": len(request)}


def some_size(dice: random.Random) -> int:
    roll = dice.random()
    for share, least, most in SIZES:
        roll -= share
        if roll < 0:
            return dice.randint(least, most)
    return SIZES[0][1]


def pause(dice: random.Random) -> None:
    """Rest a little between bursts, and now and then long enough for all segments to be gone."""
    time.sleep(QUIET_SECONDS if dice.random() < 0.02 else dice.random() * PAUSE_SECONDS)


def run_client(path: str, folder: Path, name: str, dice: random.Random, stop: Stop) -> None:
    """Record through our own client until told to stop."""
    client = TraceClient(path, service=name)
    pen = Pen(folder, name)
    pen.write("session", client.stats().session)
    last = delivered = 0
    while not stop.asked:
        first, last = last + 1, last + dice.randint(1, MOST_RECORDS)
        pen.write("offer", last)
        for number in range(first, last + 1):
            _record(client, pen, number, dice)
        if dice.random() < 0.1 and client.flush(2):
            pen.write("flushed")
        if client.stats().delivered > delivered:
            delivered = client.stats().delivered
            pen.write("durable", delivered)
        pause(dice)
    if client.close(GIVE_UP_SECONDS):
        pen.write("flushed")
        pen.write("ended")


def _record(client: TraceClient, pen: Pen, number: int, dice: random.Random) -> None:
    made = fields(f"{pen.name}-{number}", number, some_size(dice))
    made["request"] = bytes(made["request"])
    if dice.random() < 0.2 and client.begin(provider_trace_id=made["provider_trace_id"], provider="openai"):
        pen.write("begun", number)
    if dice.random() > 0.01 and client.record(**made):  # of the others the application died in the middle
        pen.write("taken", number)


class ByHand:
    """One session over any number of connections, until it ends or the process does."""

    def __init__(self, path: str, folder: Path, name: str, dice: random.Random, stop: Stop) -> None:
        self._session = Session(Path(path), service=name, timeout_seconds=5.0)
        self._pen = Pen(folder, name)
        self._pen.write("session", self._session.id)
        self._dice = dice
        self._stop = stop
        self._number = 0
        self._held: list[tuple[bytes, bool]] = []
        """Lines that are not durable, and whether each is a record."""
        self._forgotten = 0
        self._records_durable = 0

    def run(self, bursts: int) -> None:
        """Send so many bursts, then end the session. Raises WentBack."""
        while bursts and not self._stop.asked:
            bursts -= 1
            self._make(self._dice.randint(1, MOST_RECORDS))
            self._deliver(wait=self._dice.random() < 0.5)
            pause(self._dice)
        self._held.append((_control("end", {"taken": self._number}), False))
        self._deliver(wait=True)
        self._session.end_input()
        if not self._held:
            self._pen.write("ended")
        self._pen.close()

    def _make(self, count: int) -> None:
        self._pen.write("offer", self._number + count)
        for _ in range(count):
            self._number += 1
            call = f"{self._pen.name}-{self._number}"
            is_bad = self._dice.random() < 0.002
            if self._dice.random() < 0.1 and not is_bad:  # a call whose record is refused is abandoned too
                self._held.append((_control("begin", {"provider_trace_id": call}), False))
            made = fields(call, self._number, some_size(self._dice))
            made |= {"agent_id": 17} if is_bad else {}
            self._pen.write("bad" if is_bad else "taken", self._number)
            self._held.append((msgspec.json.encode({"protocol_version": 4, **made}) + b"\n", True))

    def _deliver(self, *, wait: bool) -> None:
        """Write what is new; with ``wait``, until everything is durable or time is up."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while self._held and time.monotonic() < deadline:
            try:
                self._write_and_hear(wait)
            except OSError:
                self._connect()
            else:
                return

    def _write_and_hear(self, wait: bool) -> None:
        if not self._session.is_connected:
            raise ConnectionResetError("to be connected first")
        first = max(self._session.written, self._forgotten) + 1
        self._session.send([line for line, _ in self._held[first - self._forgotten - 1 :]], first)
        if wait:
            self._session.wait_durable(self._forgotten + len(self._held))
            self._forget()

    def _connect(self) -> None:
        self._forget()  # by what was heard before the connection ended
        try:
            self._session.hello()
            self._forget()
            again = [line for line, _ in self._held[: self._session.written - self._forgotten]]
            self._session.send(again, self._forgotten + 1)
        except OSError as error:
            if isinstance(error, ConnectionRefusedError | FileNotFoundError):
                self._pen.write("refused", error)
            self._session.end_input()
            time.sleep(self._dice.random() * RECONNECT_SECONDS)

    def _forget(self) -> None:
        count = self._session.durable - self._forgotten
        self._records_durable += sum(is_record for _, is_record in self._held[:count])
        del self._held[:count]
        self._forgotten += count
        self._pen.write("durable", self._records_durable)


def _control(kind: str, body: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"protocol_version": 4, kind: body}) + b"\n"


def run_by_hand(path: str, folder: Path, name: str, dice: random.Random, stop: Stop) -> None:
    """Live one session after the other, short ones and long ones."""
    life = 0
    while not stop.asked:
        life += 1
        sender = ByHand(path, folder, f"{name}.{life}", dice, stop)
        try:
            sender.run(dice.choice((1, 5, 200)))
        except WentBack as error:
            Pen(folder, f"{name}.{life}").write("violation", error)


def run_one_way(path: str, folder: Path, name: str, dice: random.Random, stop: Stop) -> None:
    """Connect, write, close, as senders of versions 1 to 3 do."""
    pen = Pen(folder, name)
    last = 0
    while not stop.asked:
        first, last = last + 1, last + dice.choice((1, 1, 1, 20))
        pen.write("offer", last)
        lines = [_old_line(f"{name}-{number}", number, dice) for number in range(first, last + 1)]
        hears = dice.random() < 0.5
        start = time.monotonic()
        try:
            hears = _write_one_way(path, b"".join(lines), hears)
        except OSError as error:
            pen.write("refused", error)
        else:
            pen.write("oneway", start, time.monotonic(), hears, first, last)
        pause(dice)


def _write_one_way(path: str, data: bytes, hears: bool) -> bool:
    """Return whether the daemon is known to have read all. Raises OSError."""
    with connected(Path(path), 10) as sock:
        sock.sendall(data)
        if not hears:
            return False
        sock.shutdown(socket.SHUT_WR)
        return sock.recv(1) == b""  # it closes then


def _old_line(call: str, number: int, dice: random.Random) -> bytes:
    version = dice.randint(1, 3)
    return msgspec.json.encode({"protocol_version": version, **fields(call, number, some_size(dice))}) + b"\n"


KINDS = {"client": run_client, "by-hand": run_by_hand, "one-way": run_one_way}


def main() -> None:
    kind, name, path, folder, seed = sys.argv[1:]
    KINDS[kind](path, Path(folder), name, random.Random(seed), Stop())


if __name__ == "__main__":
    main()
