"""Listener of the record socket: runs of lines to the committer, acknowledgments to senders.

Invariant: a session has one connection, and a hello is answered once the lines of its older connection are
durable. No input of a peer ends another's connection or the daemon; and only peers that the settings
allow are accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import structlog

from llmledger.protocol import Hello, Unsupported, answer
from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.flow_control import Admission
from llmledgerd.ingest import peer_credentials
from llmledgerd.ingest.connection import Peer, Phase
from llmledgerd.ingest.handshake import HelloLine, is_news, remembered
from llmledgerd.ingest.registry import Peers
from llmledgerd.log import Recurring
from llmledgerd.spool import Entry, Spool
from llmledgerd.spool.committer import Committer
from llmledgerd.spool.own_lines import RefusedLine
from llmledgerd.system import descriptors
from llmledgerd.system.accept_loop import Acceptor
from llmledgerd.system.descriptors import ADMIN_CONNECTIONS
from llmledgerd.system.unix_sockets import Bound, bind

log = structlog.get_logger(__name__)

READ_BYTES = 256 << 10  # a Unix socket's default buffer is 208 KiB, so one read empties it
QUIET_SECONDS = 0.05
"""At the end, how long no peer may have sent anything. One read takes microseconds."""
HESITATION_SECONDS = 1.0
"""At the end, how long a one-way sender may be silent before it writes on. Its two calls follow each
other at once; on a machine with no time to spare another process may come between."""

REFRESHED = 1 / 24
"""Of the time that a session is remembered: after so much, a hello that says nothing new is written down."""

LOOK_SECONDS = 5.0
"""The longest time between two looks that counts: after more, the daemon itself was stopped."""


class Listener:
    """All connections of one socket."""

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        config: Config,
        admission: Admission,
        clock: Clock,
        redacted: Callable[[str], str] = str,
    ) -> None:
        """``redacted`` returns what of a hello's text may be stored."""
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
        self._redacted = redacted
        self._peers: Peers[Peer] = Peers()
        self._allowed = peer_credentials.allowed(config.allowed_uids, config.allowed_gids)
        self._looked = clock.monotonic()
        self._sessions: dict[bytes, Peer] = {}
        self._greetings: set[asyncio.Task[None]] = set()
        self._acceptor: Acceptor | None = None
        self._descriptors = descriptors.PLENTY
        self._shares = self._shared()
        self._is_passed = False
        self._bound: Bound | None = None
        self._emptied = asyncio.Event()
        self.closed_at: dict[bytes, int] = {}
        """Sessions that had a connection in this process and lost it, and when."""

    def start(
        self, passed: socket.socket | None = None, budget: descriptors.Budget = descriptors.PLENTY
    ) -> None:
        """Listen, on the service manager's socket if it has passed one.

        ``budget`` is what the process has of descriptors. Raises ConfigError where the socket cannot be had.
        """
        self._descriptors = budget
        self._shares = self._shared()
        self._is_passed = passed is not None
        sock = passed
        if sock is None:
            path, mode = Path(self.config.socket_path), int(self.config.socket_mode, 8)
            self._bound = bind(path, mode, self.config.socket_group)
            sock = self._bound.socket
        self._acceptor = Acceptor(sock, lambda: Peer(self), self._cannot_accept)
        self._acceptor.start()

    def reconfigure(self, config: Config) -> None:
        """Use reloaded settings from now on."""
        self.config = config
        self._shares = self._shared()

    def close_door(self) -> None:
        """Stop accepting connections.

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
        while loop.time() < deadline and (
            seen != self.counts.total() or self._is_opening or self._hesitate(loop.time())
        ):
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
        if self._acceptor is not None:
            self._acceptor.close()

    @property
    def _is_opening(self) -> bool:
        return self._acceptor is not None and self._acceptor.is_opening

    def _cannot_accept(self, error: OSError) -> None:
        self.counts["accept_errors"] += 1
        self.recurring.error(
            "cannot accept connections; senders wait",
            error=error.strerror or str(error),
            connections=len(self._peers),
        )

    def _shared(self) -> descriptors.Shares:
        """Return how many connections there may be, and say where descriptors are short."""
        config = self.config
        found = self._descriptors.shares(
            config.max_connections, config.max_connections_per_process, ADMIN_CONNECTIONS
        )
        if found.connections < config.max_connections:
            log.warning(
                "fewer connections than max_connections: the limit of open files is too low (LimitNOFILE, ulimit -n)",
                limit=self._descriptors.limit,
                connections=found.connections,
                per_process=found.per_process,
            )
        return found

    @property
    def connections(self) -> int:
        return len(self._peers)

    def forget(self, remembered: Collection[bytes]) -> None:
        """Drop the closing times of sessions that are not remembered any more."""
        for session in [session for session in self.closed_at if session not in remembered]:
            del self.closed_at[session]

    def clock_jumped(self, moved: Callable[[int], int]) -> None:
        """Let connections have been closed as long ago as before the time jumped."""
        self.closed_at = {session: moved(at) for session, at in self.closed_at.items()}

    def live_sessions(self) -> set[bytes]:
        return set(self._sessions)

    def durable(self, entries: list[Entry]) -> None:
        """Acknowledge a synced group to its senders, and resume paused connections."""
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
        """Close whoever holds memory with a line that does not go on, or is gone and was not answered.

        To be called about once a second.
        """
        now = self._clock.monotonic()
        elapsed, self._looked = min(now - self._looked, LOOK_SECONDS), now
        for peer in self._peers:
            if peer.has_left():
                peer.abort()
            elif peer.is_stalled(elapsed):
                self.counts["stalled_connections"] += 1
                self.recurring.warn("connection closed: unfinished line stalled", **_known(peer))
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
        if peer.greeting is not None:
            peer.greeting.cancel()
        if self._sessions.get(peer.session) is peer:
            del self._sessions[peer.session]
            if peer.next_line:  # its hello was answered; else what is known of its last end stays true
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
        peer.greeting = task
        self._greetings.add(task)
        task.add_done_callback(lambda task: self._has_greeted(task, peer))

    def _refuse(self, reason: str, peer: Peer) -> None:
        self.turned_away[reason] += 1
        self.recurring.warn("connection refused", reason=reason, connections=len(self._peers), **_known(peer))

    def _has_greeted(self, task: asyncio.Task[None], peer: Peer) -> None:
        """A hello that could not be answered is a connection that ends: its sender comes again."""
        self._greetings.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.recurring.error("handshake failed", error=repr(error), **_known(peer))
            peer.abort()

    async def _open(self, peer: Peer, hello: Hello) -> None:
        """Answer a hello: after the session's older connection is closed and its lines are durable."""
        session = uuid.UUID(hello.session).bytes
        for name in ("service", "host", "client"):
            setattr(hello, name, self._redacted(getattr(hello, name)))
        older = self._sessions.pop(session, None)
        if older is not None:
            older.abort()
            self.closed_at[session] = self._clock.now_us()
        peer.session = session
        self._sessions[session] = peer
        await self.committer.flush()
        await self.committer.room_for_hello()
        if self._sessions.get(session) is not peer or peer.phase is not Phase.GREETED:
            return
        if self._spool.unsynced:  # a disk that failed at the start: what is known may not be on it
            peer.abort()
            return
        snap = self._spool.state.snapshot
        known = snap.sessions.get(session)
        if known is None and self._spool.state.room.is_full():
            self._refuse("max_sessions", peer)
            peer.abort()
            return
        state = remembered(
            hello,
            known,
            self._clock.now_us(),
            incomplete=self._spool.incomplete,
            forgotten_lines=snap.forgotten_lines,
        )
        peer.suspect_until = state.suspect_until
        if is_news(known, state, int(self.config.session_memory_seconds * REFRESHED * 1e6)):
            self.committer.hello(session, state)
        self.closed_at.pop(session, None)
        peer.answer_hello(state.durable)
        self._peers.resume()

    def _reason_against(self, peer: Peer) -> str:
        """Return why a peer is refused; empty if it is accepted.

        A connection over the limit of its process is closed and not kept waiting. In the kernel's queue it
        would keep those behind it waiting too, whosever they are. Accepted and unread it would take the
        descriptor that the limit is for, so that a bounded wait is a larger limit, under another name. A
        session loses nothing by it, a one-way sender hears of it at its next write, and who connects
        faster than it is read never comes this far (``accept_loop.AT_ONCE``).
        """
        if not self._allowed.admits(peer.credentials):
            return "not_allowed"
        mine = self._peers.count(peer.account) if peer.account is not None else 0
        if mine >= self._shares.per_process:
            return self._limit("max_connections_per_process", self._shares.per_process)
        if len(self._peers) >= self._shares.connections:
            return self._limit("max_connections", self._shares.connections)
        return ""

    def _limit(self, setting: str, in_force: int) -> str:
        """Return the name of a limit: the setting's, unless the process has too few descriptors for it."""
        return setting if in_force == getattr(self.config, setting) else "descriptors"


def _known(peer: Peer) -> dict[str, int]:
    known = peer.credentials
    return {"uid": known.uid, "pid": known.pid} if known else {}
