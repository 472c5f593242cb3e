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

from llmledger.protocol import Hello, Unsupported, answer
from llmledgerd.clock import Clock
from llmledgerd.config.settings import Config
from llmledgerd.flow_control import Admission
from llmledgerd.ingest import peer_credentials
from llmledgerd.ingest.connection import Peer, Phase
from llmledgerd.ingest.handshake import HELLO_BYTES, HelloLine, is_changed, may_be_hello, remembered
from llmledgerd.ingest.registry import Peers
from llmledgerd.log import Recurring, log
from llmledgerd.spool import Entry, Spool
from llmledgerd.spool.committer import Committer
from llmledgerd.spool.own_lines import RefusedLine
from llmledgerd.system import descriptors
from llmledgerd.system.accept_loop import Acceptor
from llmledgerd.system.descriptors import ADMIN_CONNECTIONS
from llmledgerd.system.unix_sockets import Bound, bind, has_hung_up

READ_BYTES = 256 << 10  # a Unix socket's default buffer is 208 KiB, so one read empties it
QUIET_SECONDS = 0.05
"""Silence of all peers after which a stop continues. One read takes microseconds."""
ONE_WAY_GRACE_SECONDS = 1.0
"""Time that a stop gives a silent one-way sender to write on. It connects and writes in two calls; on a
busy machine another process may run between them."""

REFRESHED = 1 / 24
"""Part of ``session_memory_seconds`` after which an unchanged hello is stored again."""

CHECK_SECONDS = 5.0
"""Limit of the time counted between two checks for stalls: after a longer time the daemon itself was stopped."""


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
        """``redacted`` removes secrets from a hello's texts."""
        self.config = config
        self.committer = committer
        self.admission = admission
        self.buffer = bytearray(READ_BYTES)
        self.counts: Counter[str] = Counter()
        self.refused_connections: Counter[str] = Counter()
        """Connections that were closed at once, by reason."""
        self.recurring = Recurring()
        self._spool = spool
        self._clock = clock
        self._redacted = redacted
        self._peers: Peers[Peer] = Peers()
        self._allowed = peer_credentials.allowed(config.allowed_uids, config.allowed_gids)
        self.checks_groups = bool(self._allowed.gids)
        self._checked_at = clock.monotonic()
        self._sessions: dict[bytes, Peer] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self._acceptor: Acceptor | None = None
        self._descriptors = descriptors.PLENTY
        self._shares = self._shared()
        self._is_passed = False
        self._bound: Bound | None = None
        self._emptied = asyncio.Event()
        self.closed_at: dict[bytes, int] = {}
        """Session -> time at which its connection to this process ended."""

    def start(
        self, passed: socket.socket | None = None, budget: descriptors.Budget = descriptors.PLENTY
    ) -> None:
        """Listen, on the service manager's socket if it has passed one.

        ``budget`` is the process's file descriptors. Raises ConfigError if the socket cannot be created.
        """
        self._descriptors = budget
        self._shares = self._shared()
        self._is_passed = passed is not None
        sock = passed
        if sock is None:
            path, mode = Path(self.config.socket_path), int(self.config.socket_mode, 8)
            self._bound = bind(path, mode, self.config.socket_group)
            sock = self._bound.socket
        self._acceptor = Acceptor(sock, lambda: Peer(self), self._cannot_accept, self._take_ended)
        self._acceptor.start()

    def reconfigure(self, config: Config) -> None:
        """Use reloaded settings from now on."""
        self.config = config
        self._shares = self._shared()

    def stop_accepting(self) -> None:
        """Stop accepting connections.

        The daemon's own socket path is removed, so new senders retry later; connections in its queue are
        still accepted. The service manager's socket stays open: senders in its queue, and the bytes that
        they write, wait for the next daemon.
        """
        if self._is_passed:
            self._stop_listening()
            return
        if self._bound is not None:
            self._bound.remove()

    async def stop(self, deadline: float) -> None:
        """Read until nothing arrives anymore, at most until ``deadline`` (loop time); then close.

        Sessions are closed at once, because they resend lines without an acknowledgment. One-way senders
        do not, so the bytes in their sockets and in the queue of connections are read.
        """
        loop = asyncio.get_running_loop()
        for peer in list(self._sessions.values()):
            peer.abort()
        seen = -1
        while loop.time() < deadline and (
            seen != self.counts.total() or self._is_opening or self._awaits_one_way(loop.time())
        ):
            seen = self.counts.total()
            await asyncio.sleep(QUIET_SECONDS)
        self._stop_listening()
        self._emptied.clear()
        for peer in self._peers:
            peer.end_input()
        if not self._peers:
            self._emptied.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._emptied.wait()
        await self.committer.flush()
        for peer in self._peers:
            peer.close()

    def _awaits_one_way(self, now: float) -> bool:
        """Return whether a one-way sender may be about to write."""
        return any(now - peer.received_at < ONE_WAY_GRACE_SECONDS for peer in self._peers)

    def _stop_listening(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()

    def _take_ended(self, sock: socket.socket) -> bool:
        """Take a connection that its one-way sender has closed already; return whether that was possible.

        Who connects for each record usually has. A transport of the event loop takes ten times as long to
        make as such a record takes to read. A session is not taken: its lines wait for the answer to its hello.
        """
        try:
            if not has_hung_up(sock.fileno()) or may_be_hello(sock.recv(HELLO_BYTES, socket.MSG_PEEK)):
                return False
        except OSError:
            return False
        return Peer(self).read_ended(sock)

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
        """Return the connection limits, and log if there are too few descriptors."""
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
        """Remove the closing times of sessions that the spool has evicted."""
        for session in [session for session in self.closed_at if session not in remembered]:
            del self.closed_at[session]

    def clock_jumped(self, moved: Callable[[int], int]) -> None:
        """Shift the closing times after a jump of the clock."""
        self.closed_at = {session: moved(at) for session, at in self.closed_at.items()}

    def live_sessions(self) -> set[bytes]:
        return set(self._sessions)

    def durable(self, entries: list[Entry]) -> None:
        """Acknowledge a synced group to its senders, and resume paused connections."""
        for entry in entries:
            peer = self._sessions.get(entry.session) if entry.session else None
            if peer is not None:
                peer.send_durable(max(peer.durable, entry.first + entry.lines - 1))
        self.resume()

    def refused(self, line: RefusedLine) -> None:
        peer = self._sessions.get(line.session)
        if peer is not None:
            peer.send_rejected(line)

    def resume(self) -> None:
        self._peers.resume()

    def close_stalled(self) -> None:
        """Close connections with a stalled unfinished line, and those that ended before their hello was answered.

        Call this about once a second.
        """
        now = self._clock.monotonic()
        elapsed, self._checked_at = min(now - self._checked_at, CHECK_SECONDS), now
        for peer in self._peers:
            if peer.is_disconnected():
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
        if peer.handshake is not None:
            peer.handshake.cancel()
        if self._sessions.get(peer.session) is peer:
            del self._sessions[peer.session]
            if peer.next_line:  # its hello was answered; otherwise the earlier closing time stays valid
                self.closed_at[peer.session] = self._clock.now_us()
        self.resume()

    def hello_received(self, peer: Peer, hello: HelloLine | Unsupported) -> None:
        if isinstance(hello, Unsupported):
            self._refuse(hello.error, peer)
            peer.send(answer(hello))
            peer.phase = Phase.CLOSED
            peer.close()
            return
        task = asyncio.get_running_loop().create_task(self._open(peer, hello.hello))
        peer.handshake = task
        self._handshakes.add(task)
        task.add_done_callback(lambda task: self._handshake_ended(task, peer))

    def _refuse(self, reason: str, peer: Peer) -> None:
        self.refused_connections[reason] += 1
        self.recurring.warn("connection refused", reason=reason, connections=len(self._peers), **_known(peer))

    def _handshake_ended(self, task: asyncio.Task[None], peer: Peer) -> None:
        """Abort the connection if its hello could not be answered; its sender reconnects."""
        self._handshakes.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.recurring.error("handshake failed", error=repr(error), **_known(peer))
            peer.abort()

    async def _open(self, peer: Peer, hello: Hello) -> None:
        """Answer a hello once the session's older connection is closed and its lines are durable."""
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
        await self.committer.until_hello_fits()
        if self._sessions.get(session) is not peer or peer.phase is not Phase.HELLO_RECEIVED:
            return
        if self._spool.unsynced:  # the disk failed at the start: the state in memory may not be on it
            peer.abort()
            return
        snap = self._spool.state.snapshot
        known = snap.sessions.get(session)
        if known is None and self._spool.state.budget.is_full():
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
        if is_changed(known, state, int(self.config.session_memory_seconds * REFRESHED * 1e6)):
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
        """Return the name of the limit: the setting, or ``descriptors`` if the process has too few."""
        return setting if in_force == getattr(self.config, setting) else "descriptors"


def _known(peer: Peer) -> dict[str, int]:
    known = peer.credentials
    return {"uid": known.uid, "pid": known.pid} if known else {}
