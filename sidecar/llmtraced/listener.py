"""The record socket: connections in, runs of lines to the committer, ``durable`` back.

Invariant: a session has one connection, its lines are numbered without a hole, and it is told of
a line only what the committer made true. A one-way sender (versions 1 to 3, or 4 without a
session) is never written to. Nothing that a peer sends ends another's connection, or the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import uuid
from collections import Counter
from collections.abc import Collection
from enum import Enum
from pathlib import Path
from typing import Any, Final, cast

import structlog

from llmtrace.protocol import (
    PROTOCOL_VERSION,
    Durable,
    Hello,
    Refused,
    Unsupported,
    answer,
)
from llmtraced.admission import Admission
from llmtraced.batch import RefusedLine
from llmtraced.clock import Clock
from llmtraced.committer import Committer, Run
from llmtraced.config import Config
from llmtraced.framing import NEWLINE, Block, Framer, Oversize, split
from llmtraced.log import Recurring
from llmtraced.sessions import HelloLine, is_json, read_hello, remembered
from llmtraced.sockets import bind, end_writes
from llmtraced.spool import Entry, EntryKind, Spool

READ_BYTES = 256 << 10  # a Unix socket's default buffer is 208 KiB, so one read empties it
QUIET_SECONDS = 0.05
"""At the end, how long no peer may have sent anything. One read takes microseconds."""
HESITATION_SECONDS = 1.0
"""At the end, how long a one-way sender may be silent before it writes on. Its two calls follow each
other at once; on a machine with no time to spare another process may come between."""

# Since Python 3.13 a server that closes deletes its path, also one that the service manager bound.
LEAVE_PATH: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}

log = structlog.get_logger(__name__)


class Phase(Enum):
    FIRST = "first line"
    GREETED = "hello not answered"
    SESSION = "session"
    ONE_WAY = "one-way"
    CLOSED = "closed"


class Peer(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._framer = Framer(listener.config.max_line_bytes)
        self._transport: asyncio.Transport | None = None
        self._early: list[Block | Oversize] = []
        self._writable = True
        self._said = -1
        self.phase = Phase.FIRST
        self.session = b""
        self.next_line = 0
        self.durable = 0
        self.suspect_until = 0
        self.paused = False
        self.heard_at = 0.0
        """When it connected or sent something, in the loop's time."""

    # -- asyncio's side ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one in all but inheritance, so nothing could be checked here.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self.heard_at = asyncio.get_running_loop().time()
        self._listener.connected(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._listener.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._listener.counts["reads"] += 1
        self.heard_at = asyncio.get_running_loop().time()
        for item in self._framer.feed(self._listener.buffer, nbytes):
            self._take(item)
        self._listener.admission.holds(self, self._framer.held)
        self.pause_if_full()

    def eof_received(self) -> None:
        if self.phase in (Phase.FIRST, Phase.ONE_WAY):
            self._last_line(self._framer.rest())

    def connection_lost(self, exc: Exception | None) -> None:
        if self.phase is Phase.FIRST:
            self._last_line(self._framer.rest())
        self.phase = Phase.CLOSED
        self._transport = None
        self._listener.lost(self)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.say_durable(self.durable)

    # -- our side --------------------------------------------------------------------------------

    def say_durable(self, durable: int) -> None:
        """Tell the sender; what it does not read is merged into the next answer, not queued."""
        self.durable = durable
        if self._writable and self.phase is Phase.SESSION and durable > self._said:
            self._said = durable
            self.say(answer(Durable(durable)))

    def say_refused(self, line: RefusedLine) -> None:
        if self._writable and self.phase is Phase.SESSION:
            self.say(answer(Refused(line.number, line.reason)))

    def answer_hello(self, durable: int) -> None:
        """Begin the session; lines that came before this answer are its first."""
        self.phase = Phase.SESSION
        self.durable = self._said = durable
        self.next_line = durable + 1
        limit = self._listener.config.max_line_bytes
        self.say(answer(Durable(durable, PROTOCOL_VERSION, limit)))
        early, self._early = self._early, []
        for item in early:
            self._take(item)
        self.resume_if_possible()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def hang_up(self) -> None:
        """Let the peer write no more; the connection ends when what it has written is read.

        Closing would take along what was written since the last read, and its sender would not know.
        """
        if self._transport is None or self._transport.is_closing():
            return
        end_writes(self._transport.get_extra_info("socket").fileno())

    def abort(self) -> None:
        """Close at once; what was read of whole lines stays with the committer."""
        self.phase = Phase.CLOSED
        if self._transport is not None:
            self._transport.abort()

    def pause_if_full(self) -> None:
        greeted = self.phase is Phase.GREETED
        if not self.paused and (greeted or not self._listener.admission.may_read(self)):
            self.paused = True
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()

    def resume_if_possible(self) -> None:
        if self.paused and self.phase is not Phase.GREETED and self._listener.admission.may_read(self):
            self.paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def say(self, line: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(line)

    def _take(self, item: Block | Oversize) -> None:
        if self.phase is Phase.FIRST:
            rest = self._first(item)
            if rest is None:
                return
            item = rest
        if self.phase is Phase.GREETED:
            self._early.append(item)
        elif self.phase is not Phase.CLOSED:
            self._hand_over(item)

    def _first(self, item: Block | Oversize) -> Block | Oversize | None:
        """Find out what the connection is; return what is left of its first lines."""
        if isinstance(item, Oversize):
            self.phase = Phase.ONE_WAY
            return item
        body = b"".join(item.pieces) if len(item.pieces) > 1 else bytes(item.pieces[0])
        end = body.index(NEWLINE) + 1
        hello = read_hello(body[:end])
        if hello is None:
            self.phase = Phase.ONE_WAY
            return item
        self.phase = Phase.GREETED
        self._listener.greeted(self, hello)
        rest = body[end:]
        return Block([rest], item.lines - 1, len(rest)) if rest else None

    def _hand_over(self, item: Block | Oversize) -> None:
        if isinstance(item, Oversize):
            head = item.head + NEWLINE
            self._run(EntryKind.OVERSIZE, 1, [head], len(head), item.size)
            return
        for block in split(item, self._listener.config.batch_max_rows):
            self._run(EntryKind.LINES, block.lines, block.pieces, block.size, 0)

    def _run(
        self, kind: EntryKind, lines: int, pieces: list[bytes | bytearray], size: int, full_size: int
    ) -> None:
        first = self.next_line if self.session else 0
        repeats = bool(self.session) and first <= self.suspect_until
        entry = Entry(kind, self.session, first, lines, size, full_size, repeats)
        self.next_line += lines
        self._listener.committer.add(Run(entry, pieces))

    def _last_line(self, rest: bytes) -> None:
        """A one-way sender's last line counts without its newline if it is whole JSON."""
        if not rest.strip():
            return
        if is_json(rest):
            line = rest + NEWLINE
            self._take(Block([line], 1, len(line)))
        else:
            self._listener.counts["torn_lines"] += 1


class Listener:
    """All connections of one socket."""

    def __init__(
        self, spool: Spool, committer: Committer, config: Config, admission: Admission, clock: Clock
    ) -> None:
        self.config = config
        self.committer = committer
        self.admission = admission
        self.buffer = bytearray(READ_BYTES)
        self.counts: Counter[str] = Counter()
        self.turned_away: Counter[str] = Counter()
        """Connections that were closed at once, by reason."""
        self.recurring = Recurring()
        self._spool = spool
        self._clock = clock
        self._peers: set[Peer] = set()
        self._sessions: dict[bytes, Peer] = {}
        self._greetings: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._is_passed = False
        self._emptied = asyncio.Event()
        self.closed_at: dict[bytes, int] = {}
        """Sessions that had a connection in this process and lost it, and when."""

    async def start(self, passed: socket.socket | None = None) -> None:
        """Listen, on the service manager's socket if it has passed one.

        Raises ConfigError where the socket cannot be had.
        """
        self._is_passed = passed is not None
        sock = passed or bind(
            Path(self.config.socket_path), int(self.config.socket_mode, 8), self.config.socket_group
        )
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: Peer(self), sock=sock, backlog=1024, **LEAVE_PATH
        )

    def reconfigure(self, config: Config) -> None:
        """Go on by settings that were read again."""
        self.config = config

    def close_door(self) -> None:
        """Take nobody new.

        Who finds our own socket gone has to come back; who has connected already is still taken. The
        service manager's stays open: who connects, or has connected and was not taken yet, waits in
        its queue for the next daemon, with what it writes.
        """
        if self._is_passed:
            self._stop_listening()
            return
        with contextlib.suppress(OSError):
            Path(self.config.socket_path).unlink(missing_ok=True)

    async def stop(self, deadline: float) -> None:
        """Take what has arrived, until nothing comes any more or ``deadline`` (loop time); then close.

        Sessions are not waited for: what they have not heard of, they send again. A one-way
        sender does not, so what it left in its socket or in the queue of connections is read.
        """
        loop = asyncio.get_running_loop()
        for peer in list(self._sessions.values()):
            peer.abort()
        seen = -1
        while loop.time() < deadline and (seen != self.counts.total() or self._hesitate(loop.time())):
            seen = self.counts.total()
            await asyncio.sleep(QUIET_SECONDS)
        self._stop_listening()
        self._emptied.clear()
        for peer in self._peers:
            peer.hang_up()
        if not self._peers:
            self._emptied.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._emptied.wait()
        await self.committer.flush()
        for peer in list(self._peers):
            peer.close()

    def _hesitate(self, now: float) -> bool:
        """Whether a sender that hears nothing back may be about to write."""
        return any(now - peer.heard_at < HESITATION_SECONDS for peer in self._peers)

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def connections(self) -> int:
        return len(self._peers)

    def forget(self, remembered: Collection[bytes]) -> None:
        """Drop the closing times of sessions that are not remembered any more."""
        for session in [session for session in self.closed_at if session not in remembered]:
            del self.closed_at[session]

    def live_sessions(self) -> set[bytes]:
        return set(self._sessions)

    def durable(self, entries: list[Entry]) -> None:
        """A group has been synced: tell its senders, and let the paused read on."""
        for entry in entries:
            peer = self._sessions.get(entry.session) if entry.session else None
            if peer is not None:
                peer.say_durable(max(peer.durable, entry.first + entry.lines - 1))
        self.resume()

    def refused(self, line: RefusedLine) -> None:
        peer = self._sessions.get(line.session)
        if peer is not None:
            peer.say_refused(line)

    def resume(self) -> None:
        for peer in self._peers:
            peer.resume_if_possible()

    def connected(self, peer: Peer) -> None:
        if len(self._peers) >= self.config.max_connections:
            self._refuse("max_connections")
            peer.abort()
            return
        self.counts["connections"] += 1
        self._peers.add(peer)
        peer.pause_if_full()

    def lost(self, peer: Peer) -> None:
        self._peers.discard(peer)
        if not self._peers:
            self._emptied.set()
        self.admission.holds(peer, 0)
        if self._sessions.get(peer.session) is peer:
            del self._sessions[peer.session]
            self.closed_at[peer.session] = self._clock.now_us()
        self.resume()

    def greeted(self, peer: Peer, hello: HelloLine | Unsupported) -> None:
        if isinstance(hello, Unsupported):
            self._refuse(hello.error)
            peer.say(answer(hello))
            peer.phase = Phase.CLOSED
            peer.close()
            return
        task = asyncio.get_running_loop().create_task(self._open(peer, hello.hello))
        self._greetings.add(task)
        task.add_done_callback(self._greetings.discard)

    def _refuse(self, reason: str) -> None:
        self.turned_away[reason] += 1
        self.recurring.warn("a connection was refused", reason=reason, connections=len(self._peers))

    async def _open(self, peer: Peer, hello: Hello) -> None:
        """Answer a hello: after the session's older connection is closed and its lines are durable."""
        session = uuid.UUID(hello.session).bytes
        older = self._sessions.pop(session, None)
        if older is not None:
            older.abort()
        peer.session = session
        self._sessions[session] = peer
        self.closed_at.pop(session, None)
        await self.committer.flush()
        if self._sessions.get(session) is not peer or peer.phase is not Phase.GREETED:
            return
        if self._spool.unsynced:  # a disk that failed at the start: what is known may not be on it
            peer.abort()
            return
        known = self._spool.state.snapshot.sessions.get(session)
        state = remembered(hello, known, self._clock.now_us(), incomplete=self._spool.incomplete)
        peer.suspect_until = state.suspect_until
        self.committer.hello(session, state)
        peer.answer_hello(state.durable)
