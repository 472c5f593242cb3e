"""One connection of the record socket: bytes in, runs of lines to the committer, answers out.

Invariant: a session's lines are numbered without a gap, and its sender gets an acknowledgment only after
the commit. Nothing is written to a one-way sender (versions 1 to 3, or 4 without a session).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Hashable
from enum import Enum
from typing import Protocol, cast

from llmledger.protocol import PROTOCOL_VERSION, Durable, Refused, Unsupported, answer
from llmledgerd.config.settings import Config
from llmledgerd.flow_control import Admission
from llmledgerd.ingest import peer_credentials
from llmledgerd.ingest.framing import NEWLINE, Block, Framer, Oversize, split, split_at
from llmledgerd.ingest.handshake import HELLO_BYTES, HelloLine, read_hello
from llmledgerd.ingest.peer_credentials import Credentials
from llmledgerd.ingest.stall_detector import Progress
from llmledgerd.json_text import is_json
from llmledgerd.spool import Entry, EntryKind
from llmledgerd.spool.committer import Committer, Run
from llmledgerd.spool.own_lines import RefusedLine
from llmledgerd.system.unix_sockets import end_writes, has_hung_up

FIRST_READ_BYTES = 1024


class Phase(Enum):
    FIRST = "first line"
    HELLO_RECEIVED = "hello not answered"
    SESSION = "session"
    ONE_WAY = "one-way"
    CLOSED = "closed"


class ConnectionOwner(Protocol):
    """Interface of the listener that owns a connection."""

    config: Config
    committer: Committer
    admission: Admission
    buffer: bytearray
    """Receive buffer that all connections share, one read at a time."""
    counts: Counter[str]
    checks_groups: bool
    """Whether supplementary groups decide who may send."""

    def connected(self, peer: Peer) -> None:
        """Accept the peer, or abort it."""

    def has_read(self, peer: Peer) -> None:
        """Pause the senders that have used up their share."""

    def hello_received(self, peer: Peer, hello: HelloLine | Unsupported) -> None:
        """Answer a hello, now or later."""

    def lost(self, peer: Peer) -> None:
        """Forget the peer."""


class Peer(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._framer = Framer(owner.config.max_line_bytes)
        self._progress = Progress()
        self._received = 0
        self._transport: asyncio.Transport | None = None
        self._early: list[Block | Oversize] = []
        self._writable = True
        self._acknowledged = -1
        self.credentials: Credentials | None = None
        self.sender: Hashable = self
        """Holder of the memory share that the connection uses: the process, or the connection if that is unknown."""
        self.account: Hashable = None
        """Key of the connection limits: the process, the user if that is unknown, or None."""
        self.phase = Phase.FIRST
        self.session = b""
        self.next_line = 0
        self.durable = 0
        self.suspect_until = 0
        self.handshake: asyncio.Task[None] | None = None
        """Task that answers the hello. It is canceled with the connection."""
        self.paused = False
        self.received_at = 0.0
        """Time of the connection or of the last bytes received, in the loop's time."""

    # -- callbacks of asyncio ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one in all but inheritance, so nothing could be checked here.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self.received_at = asyncio.get_running_loop().time()
        self._identify(transport.get_extra_info("socket"))
        self._owner.connected(self)

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        # uvloop reads as soon as connection_made has returned, and no pause in there could keep it from
        # doing so. If the sender has already used its share, one small read is made before the pause.
        if self._received or self.may_read():
            return self._owner.buffer
        return memoryview(self._owner.buffer)[:FIRST_READ_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        self._owner.counts["reads"] += 1
        self.received_at = asyncio.get_running_loop().time()
        self._received += nbytes
        for item in self._framer.feed(self._owner.buffer, nbytes):
            self._take(item)
        self._owner.admission.holds(self.sender, self, self._framer.held)
        self._owner.has_read(self)

    def eof_received(self) -> None:
        if self.phase in (Phase.FIRST, Phase.ONE_WAY):
            self._last_line(self._framer.rest())

    def connection_lost(self, exc: Exception | None) -> None:
        if self.phase is Phase.FIRST:
            self._last_line(self._framer.rest())
        self.phase = Phase.CLOSED
        self._transport = None
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.send_durable(self.durable)

    # -- methods for the listener ------------------------------------------------------------------

    def read_ended(self, sock: socket.socket) -> bool:
        """Read a connection that its sender has closed, whole; return False if it may not be read now.

        It happens as with a transport: connected, read, end of input, lost.
        """
        self.received_at = asyncio.get_running_loop().time()
        self._identify(sock)
        if not self.may_read():
            return False
        self._owner.connected(self)
        if self.phase is not Phase.CLOSED:
            with contextlib.suppress(OSError):  # reset: what was read counts, as everywhere
                while size := sock.recv_into(self._owner.buffer):
                    self.buffer_updated(size)
                self.eof_received()
        self.connection_lost(None)
        return True

    def send_durable(self, durable: int) -> None:
        """Send an acknowledgment; unread ones are merged into the next, not queued."""
        self.durable = durable
        if self._writable and self.phase is Phase.SESSION and durable > self._acknowledged:
            self._acknowledged = durable
            self.send(answer(Durable(durable)))

    def send_rejected(self, line: RefusedLine) -> None:
        if self._writable and self.phase is Phase.SESSION:
            self.send(answer(Refused(line.number, line.reason)))

    def answer_hello(self, durable: int) -> None:
        """Begin the session; lines that came before this answer are its first."""
        self.phase = Phase.SESSION
        self.durable = self._acknowledged = durable
        self.next_line = durable + 1
        limit = self._owner.config.max_line_bytes
        self.send(answer(Durable(durable, PROTOCOL_VERSION, limit)))
        early, self._early = self._early, []
        for item in early:
            self._take(item)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def end_input(self) -> None:
        """Stop the peer from writing; the connection ends when everything that it has written is read.

        Closing would discard bytes written since the last read, and the sender would not learn of it.
        """
        if self._transport is None or self._transport.is_closing():
            return
        end_writes(self._transport.get_extra_info("socket").fileno())

    def abort(self) -> None:
        """Close at once. Complete lines that were read stay with the committer."""
        self.phase = Phase.CLOSED
        if self._transport is not None:
            self._transport.abort()

    def may_read(self) -> bool:
        """Return whether the sender's share allows a read. Nothing is read until a hello is answered."""
        return self.phase is not Phase.HELLO_RECEIVED and self._owner.admission.may_read(self.sender, self)

    def pause(self) -> None:
        self.paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        self.paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def is_stalled(self, elapsed: float) -> bool:
        """Return whether an unfinished line has stalled, ``elapsed`` seconds after the last check."""
        if self.paused:
            self._progress.restart()
            return False
        timeout = self._owner.config.stalled_line_seconds
        return self._progress.is_stalled(elapsed, self._received, self._framer.held, timeout)

    def is_disconnected(self) -> bool:
        """Return whether the peer closed the connection while its hello is unanswered, when nothing is read."""
        if self.phase is not Phase.HELLO_RECEIVED or self._transport is None or self._transport.is_closing():
            return False
        return has_hung_up(self._transport.get_extra_info("socket").fileno())

    def give_up(self) -> None:
        """Close. An unfinished line of a one-way sender counts as its last line."""
        self.eof_received()
        self.abort()

    def send(self, line: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(line)

    def _identify(self, sock: peer_credentials.Socket | None) -> None:
        with_groups = self._owner.checks_groups
        known = peer_credentials.of(sock, with_groups=with_groups) if sock is not None else None
        self.credentials = known
        if known is not None:
            self.sender = known.process or self
            self.account = known.process or known.uid

    def _take(self, item: Block | Oversize) -> None:
        if self.phase is Phase.FIRST:
            rest = self._first(item)
            if rest is None:
                return
            item = rest
        if self.phase is Phase.HELLO_RECEIVED:
            self._early.append(item)
        elif self.phase is not Phase.CLOSED:
            self._hand_over(item)

    def _first(self, item: Block | Oversize) -> Block | Oversize | None:
        """Determine the kind of connection from its first line; return the lines that remain."""
        body, end = b"", 0
        if isinstance(item, Oversize):
            hello = read_hello(item.head.ljust(HELLO_BYTES + 1))
        elif len(item.pieces) > 1 and len(item.pieces[0]) > HELLO_BYTES:  # too long to be copied
            hello = read_hello(bytes(item.pieces[0][: HELLO_BYTES + 1]))
        else:
            body = b"".join(item.pieces) if len(item.pieces) > 1 else bytes(item.pieces[0])
            end = body.index(NEWLINE) + 1
            hello = read_hello(body[:end])
        if hello is None:
            self.phase = Phase.ONE_WAY
            return item
        self.phase = Phase.HELLO_RECEIVED
        self._owner.hello_received(self, hello)
        rest = body[end:]
        if not rest or isinstance(item, Oversize):
            return None
        return Block([rest], item.lines - 1, len(rest))

    def _hand_over(self, item: Block | Oversize) -> None:
        if isinstance(item, Oversize):
            head = item.head + NEWLINE
            self._run(EntryKind.OVERSIZE, 1, [head], len(head), item.size)
            return
        repeats = self.suspect_until - self.next_line + 1 if self.session else 0
        for part in split_at(item, repeats):
            for block in split(part, self._owner.config.batch_max_rows):
                self._run(EntryKind.LINES, block.lines, block.pieces, block.size, 0)

    def _run(
        self, kind: EntryKind, lines: int, pieces: list[bytes | bytearray], size: int, full_size: int
    ) -> None:
        first = self.next_line if self.session else 0
        repeats = bool(self.session) and first <= self.suspect_until
        entry = Entry(kind, self.session, first, lines, size, full_size, repeats)
        self.next_line += lines
        self._owner.committer.add(Run(entry, pieces, self.sender))

    def _last_line(self, rest: bytes) -> None:
        """Accept a one-way sender's last line without its newline if it is complete JSON.

        This does not apply to a hello: a session discards an unfinished line.
        """
        if not rest.strip():
            return
        if is_json(rest) and (self.phase is Phase.ONE_WAY or read_hello(rest) is None):
            line = rest + NEWLINE
            self._take(Block([line], 1, len(line)))
        else:
            self._owner.counts["torn_lines"] += 1
