"""The other side of a connection without a socket: transports, and senders that write what they are given.

Invariant: a transport behaves as uvloop's does, also where that is surprising: it reads as soon as
``connection_made`` has returned, whatever was said in there.
"""

from __future__ import annotations

import asyncio
import uuid
from random import Random
from typing import cast

import msgspec

from llmledger.protocol import Answer, Hello, frame
from llmledgerd.ingest.connection import Peer
from llmledgerd.ingest.server import Listener


class FakeTransport:
    """Takes answers, at times slowly; hands over bytes when it is read from."""

    def __init__(self, listener: Listener, dice: Random) -> None:
        self.peer = Peer(listener)
        self.answers = b""
        self.is_open = True
        self._dice = dice
        self._is_reading = False
        self._is_full = False
        self.peer.connection_made(cast("asyncio.Transport", self))
        self._is_reading = self.is_open

    def get_extra_info(self, name: str) -> None:
        """No socket, so nobody knows who this is."""

    def set_write_buffer_limits(self, high: int) -> None:
        """Whatever is written is one answer too many while the buffer is full."""

    def write(self, data: bytes) -> None:
        assert self.is_open
        assert not self._is_full, "answers are merged, not queued"
        self.answers += data
        if self._dice.random() < 0.2:
            self._is_full = True
            self.peer.pause_writing()

    def drain(self) -> None:
        """The sender has read its answers."""
        if self._is_full and self.is_open:
            self._is_full = False
            self.peer.resume_writing()

    def is_closing(self) -> bool:
        return not self.is_open

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self.is_open:
            self.is_open = self._is_reading = False
            asyncio.get_running_loop().call_soon(self.peer.connection_lost, None)

    def read(self, data: bytes) -> int:
        """Hand over as much of the data as one read takes; return how much that was."""
        if not self._is_reading:
            return 0
        buffer = self.peer.get_buffer(-1)
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        self.peer.buffer_updated(size)
        return size

    def end(self) -> None:
        """The sender has closed its side, and has been read to the end."""
        if self.is_open:
            self.peer.eof_received()
            self.abort()


class OneWay:
    """Writes a stream in pieces, and closes."""

    def __init__(self, listener: Listener, dice: Random, stream: bytes) -> None:
        self._transport = FakeTransport(listener, dice)
        self._left = stream
        self._dice = dice

    @property
    def is_done(self) -> bool:
        return not self._transport.is_open

    def step(self) -> None:
        """Do the next thing, if anything can be done."""
        if self._left:
            cut = self._dice.choice((1, 7, 100, 1000, 1 << 20))
            self._left = self._left[self._transport.read(self._left[:cut]) :]
        else:
            self._transport.end()


class InSession:
    """Writes numbered lines over as many connections as it takes, and believes what it is told."""

    def __init__(self, listener: Listener, dice: Random, lines: list[bytes]) -> None:
        self.id = uuid.UUID(int=dice.getrandbits(128), version=4)
        self.lines = lines
        self._listener = listener
        self._dice = dice
        self._durable = 0
        self._greeted = False
        self._whole = self._most = 0
        self._read = 0
        self._left = b""
        self._transport: FakeTransport | None = None

    @property
    def is_done(self) -> bool:
        return self._durable == len(self.lines) and self._transport is None

    def step(self) -> None:
        """Do the next thing, if anything can be done."""
        if self._transport is None or not self._transport.is_open:
            self._connect()
        elif self._durable == len(self.lines) or self._dice.random() < 0.01:
            self._transport.end() if self._dice.random() < 0.5 else self._transport.abort()
            self._transport = None
        else:
            self._write(self._transport)
            self._hear(self._transport)

    def _connect(self) -> None:
        self._transport = FakeTransport(self._listener, self._dice)
        hello = Hello(session=str(self.id), first=self._durable + 1, last=len(self.lines))
        self._left, self._read, self._greeted = frame("hello", hello), 0, False

    def _write(self, transport: FakeTransport) -> None:
        cut = self._dice.choice((1, 50, 1000, 1 << 20))
        size = transport.read(self._left[:cut])
        if self._greeted:
            self._whole += self._left.count(b"\n", 0, size)
            self._most = max(self._most, self._whole)
        self._left = self._left[size:]

    def _hear(self, transport: FakeTransport) -> None:
        *answers, _ = transport.answers[self._read :].split(b"\n")
        self._read += sum(len(answer) + 1 for answer in answers)
        for text in answers:
            self._heed(msgspec.json.decode(text, type=Answer))
        if self._dice.random() < 0.5:
            transport.drain()

    def _heed(self, answer: Answer) -> None:
        assert answer.error is None, answer
        if answer.durable is None:
            return
        assert self._durable <= answer.durable <= self._most, "durable goes back, or was never read"
        self._durable = answer.durable
        if answer.protocol_version is not None:
            self._left = b"".join(line + b"\n" for line in self.lines[self._durable :])
            self._greeted, self._whole = True, self._durable
