"""Eviction from a snapshot over its limits, and its pending loss reports. Pure.

Invariant: every eviction is counted. An evicted call gets no abandoned row (a loss, ``call_forgotten``). An
evicted session is not declared dead (a loss of unknown count, ``session_forgotten``); if it returns, its lines
are looked up by id. A loss stays pending in the snapshot until a line in the spool reports it, so that it is
reported once, whichever process fails.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from llmledgerd.spool import bounds
from llmledgerd.spool.bounds import Limits

if TYPE_CHECKING:
    from llmledgerd.spool.state import BegunCall, SessionState, Settled, Snapshot

CALL_FORGOTTEN = "call_forgotten"
SESSION_FORGOTTEN = "session_forgotten"
MOST_SERVICES = 16
"""Services whose losses are reported by name; further ones are reported together."""


class SnapshotBudget:
    """Sessions and begun calls of a snapshot, and their bytes in a header."""

    def __init__(self, snapshot: Snapshot, limits: Limits) -> None:
        self.limits = limits
        self._snap = snapshot
        self.measure()

    def measure(self) -> None:
        """Recompute the totals."""
        snap = self._snap
        self.session_bytes = sum(map(bounds.session_bytes, snap.sessions.values()))
        self.begun_bytes = sum(bounds.call_bytes(*call) for call in snap.begun.items())

    def is_full(self) -> bool:
        """Return whether new sessions must be refused."""
        return self.session_bytes >= self.limits.most_sessions

    def put_session(self, session: bytes, state: SessionState) -> SessionState:
        self.drop_session(session)
        self._snap.sessions[session] = state
        self.session_bytes += bounds.session_bytes(state)
        return state

    def drop_session(self, session: bytes) -> SessionState | None:
        state = self._snap.sessions.pop(session, None)
        if state is not None:
            self.session_bytes -= bounds.session_bytes(state)
        return state

    def open_call(self, call: str, begun: BegunCall) -> None:
        self.close_call(call)
        self._snap.begun[call] = begun
        self.begun_bytes += bounds.call_bytes(call, begun)

    def close_call(self, call: str) -> BegunCall | None:
        begun = self._snap.begun.pop(call, None)
        if begun is not None:
            self.begun_bytes -= bounds.call_bytes(call, begun)
        return begun

    def evict_call(self, call: str) -> None:
        """Evict a begun call, and count the loss of its abandoned row."""
        begun = self.close_call(call)
        if begun is not None:
            session = self._snap.sessions.get(begun.session)
            self.add_loss(CALL_FORGOTTEN, session.service if session else "", 1)

    def evict_calls(self) -> None:
        """Evict begun calls above the limit."""
        if self.begun_bytes > self.limits.begun:
            for call in bounds.too_many(self._snap.begun, self.limits.begun):
                self.evict_call(call)

    def newest_us(self) -> int:
        """Return the time of the last activity of any session."""
        return max((state.seen_us for state in self._snap.sessions.values()), default=0)

    def evict_sessions(self, now_us: int, busy: Collection[bytes]) -> None:
        """Evict sessions above the limit, except busy ones."""
        if self.session_bytes <= self.limits.sessions:
            return
        snap = self._snap
        for session in bounds.to_forget(snap.sessions, busy):
            if self.session_bytes <= self.limits.sessions:
                return
            state = snap.sessions[session]
            self.drop_session(session)
            snap.forgotten_lines = max(snap.forgotten_lines, state.durable)
            snap.forgotten_us = now_us
            if not (state.ended or state.over):
                self.add_loss(SESSION_FORGOTTEN, state.service, 1)

    def abandoned_bytes_left(self) -> int:
        """Return the bytes left for the names of abandoned calls."""
        late = sum(bounds.name_bytes(calls) for calls in self._snap.late.values())
        replaced = sum(bounds.name_bytes(map("".join, one.replaced)) for one in self._snap.stores.values())
        return self.limits.abandoned - bounds.name_bytes(self._snap.abandoned) - late - replaced

    def truncated(self, settled: Settled) -> Settled:
        """Return the settled frame with the begun calls that fit the limit."""
        opened = settled.opened
        if sum(bounds.call_bytes(*call) for call in opened.items()) <= self.limits.begun:
            return settled
        kept = {name: opened[name] for name in bounds.within(opened, self.limits.begun)}
        return msgspec.structs.replace(settled, opened=kept, unkept=len(opened) - len(kept))

    def add_loss(self, reason: str, service: str, count: int) -> None:
        """Add a pending loss; a negative count removes a reported one."""
        if not count:
            return
        by_service = self._snap.owed.setdefault(reason, {})
        name = service if service in by_service or len(by_service) < MOST_SERVICES else ""
        by_service[name] = by_service.get(name, 0) + count
        if by_service[name] <= 0:
            del by_service[name]
        if not by_service:
            del self._snap.owed[reason]
