"""The record socket: connections in, runs of lines to the committer, ``durable`` back.

Invariant: a session has one connection, and a hello is answered when what its older connection sent is
durable. Nothing that a peer sends ends another's connection, or the daemon; and nobody is let in
whom the settings leave out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import uuid
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from llmtrace.protocol import Hello, Unsupported, answer
from llmtraced import peercred
from llmtraced.admission import Admission
from llmtraced.batch import RefusedLine
from llmtraced.clock import Clock
from llmtraced.committer import Committer
from llmtraced.config import Config
from llmtraced.log import Recurring
from llmtraced.peer import Peer, Phase
from llmtraced.peers import Peers
from llmtraced.sessions import HelloLine, remembered
from llmtraced.sockets import BACKLOG, Bound, bind
from llmtraced.spool import Entry, Spool

READ_BYTES = 256 << 10  # a Unix socket's default buffer is 208 KiB, so one read empties it
QUIET_SECONDS = 0.05
"""At the end, how long no peer may have sent anything. One read takes microseconds."""
HESITATION_SECONDS = 1.0
"""At the end, how long a one-way sender may be silent before it writes on. Its two calls follow each
other at once; on a machine with no time to spare another process may come between."""

# Since Python 3.13 a server that closes deletes its path, also one that the service manager bound.
LEAVE_PATH: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}

LOOK_SECONDS = 5.0
"""The longest time between two looks that counts: after more, the daemon itself was stopped."""


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
        self._peers: Peers[Peer] = Peers()
        self._allowed = peercred.allowed(config.allowed_uids, config.allowed_gids)
        self._looked = clock.monotonic()
        self._sessions: dict[bytes, Peer] = {}
        self._greetings: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._is_passed = False
        self._bound: Bound | None = None
        self._emptied = asyncio.Event()
        self.closed_at: dict[bytes, int] = {}
        """Sessions that had a connection in this process and lost it, and when."""

    async def start(self, passed: socket.socket | None = None) -> None:
        """Listen, on the service manager's socket if it has passed one.

        Raises ConfigError where the socket cannot be had.
        """
        self._is_passed = passed is not None
        sock = passed
        if sock is None:
            path, mode = Path(self.config.socket_path), int(self.config.socket_mode, 8)
            self._bound = bind(path, mode, self.config.socket_group)
            sock = self._bound.socket
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: Peer(self), sock=sock, backlog=BACKLOG, **LEAVE_PATH
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
        if self._bound is not None:
            self._bound.remove()

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
        for peer in self._peers:
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
        self._peers.resume()

    def close_stalled(self) -> None:
        """Close whoever holds memory with a line that does not go on. To be called about once a second."""
        now = self._clock.monotonic()
        elapsed, self._looked = min(now - self._looked, LOOK_SECONDS), now
        for peer in self._peers:
            if peer.is_stalled(elapsed):
                self.counts["stalled_connections"] += 1
                self.recurring.warn("a connection was closed, since its line did not go on", **_known(peer))
                peer.give_up()

    def connected(self, peer: Peer) -> None:
        reason = self._reason_against(peer)
        if reason:
            self._refuse(reason, peer)
            peer.abort()
            return
        self.counts["connections"] += 1
        self._peers.add(peer)

    def has_read(self, peer: Peer) -> None:
        self._peers.has_read(peer)

    def lost(self, peer: Peer) -> None:
        self._peers.discard(peer)
        if not self._peers:
            self._emptied.set()
        self.admission.holds(peer.sender, peer, 0)
        if self._sessions.get(peer.session) is peer:
            del self._sessions[peer.session]
            self.closed_at[peer.session] = self._clock.now_us()
        self.resume()

    def greeted(self, peer: Peer, hello: HelloLine | Unsupported) -> None:
        if isinstance(hello, Unsupported):
            self._refuse(hello.error, peer)
            peer.say(answer(hello))
            peer.phase = Phase.CLOSED
            peer.close()
            return
        task = asyncio.get_running_loop().create_task(self._open(peer, hello.hello))
        self._greetings.add(task)
        task.add_done_callback(self._greetings.discard)

    def _refuse(self, reason: str, peer: Peer) -> None:
        self.turned_away[reason] += 1
        self.recurring.warn(
            "a connection was refused", reason=reason, connections=len(self._peers), **_known(peer)
        )

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
        self._peers.resume()

    def _reason_against(self, peer: Peer) -> str:
        """Return why a peer is not let in; empty where it is."""
        if not self._allowed.admits(peer.credentials):
            return "not_allowed"
        mine = self._peers.count(peer.account) if peer.account is not None else 0
        if mine >= self.config.max_connections_per_process:
            return "max_connections_per_process"
        return "max_connections" if len(self._peers) >= self.config.max_connections else ""


def _known(peer: Peer) -> dict[str, int]:
    known = peer.credentials
    return {"uid": known.uid, "pid": known.pid} if known else {}
