"""Limits of stored sessions and calls, and the order of eviction. Pure.

Invariants:
- Whatever senders do, what a header says of sessions and calls has at most ``Limits.header`` bytes, so
  that it fits the reserve; in memory that is some ten times as much at the worst.
- Nobody's flood takes another's calls as long as the other has fewer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol

import msgspec


class Session(Protocol):
    """Interface of a session's state."""

    seen_us: int
    service: str
    host: str
    client: str
    ended: bool
    over: bool
    suspect_until: int


class Call(Protocol):
    """Interface of a begun call."""

    session: bytes
    line: bytes


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in bytes of an uncompressed header."""

    sessions: int = 4 << 20
    """Sessions (some 40,000). Above it, sessions without a connection and without waiting lines are evicted."""
    most_sessions: int = 10 << 20
    """Sessions (some 100,000, all connected or with waiting lines) above which new ones are refused."""
    begun: int = 3 << 20
    """Begun calls (some 10,000). Above it, the sender with the most loses its oldest."""
    abandoned: int = 1 << 20
    """Abandoned calls whose record may still arrive (some 20,000)."""
    reserve: int = 16 << 20
    """Reserve on the disk for a header and the frames after it."""
    roll: int = 1 << 20
    """Bytes after the header at which an open segment without lines is replaced."""

    @property
    def header(self) -> int:
        return self.most_sessions + self.begun + self.abandoned


def session_bytes(state: Session) -> int:
    """Return the maximum bytes of a session in a header."""
    texts = _utf8(state.service) + _utf8(state.host) + _utf8(state.client)
    return 60 + texts + 8 * (state.suspect_until > 0)


def call_bytes(name: str, call: Call) -> int:
    return 40 + _utf8(name) + len(call.line)


def name_bytes(names: Iterable[str]) -> int:
    """Return the bytes of calls of which only the name is stored."""
    return sum(12 + _utf8(name) for name in names)


def to_forget(sessions: Mapping[bytes, Session], busy: Collection[bytes]) -> Iterator[bytes]:
    """Yield the sessions that may be evicted: ended ones first, each kind oldest first.

    ``busy`` sessions are never evicted: they are connected or have waiting lines.
    """
    free = [(not (state.ended or state.over), state.seen_us, name) for name, state in sessions.items()]
    return (name for _, _, name in sorted(free) if name not in busy)


def too_many(calls: Mapping[str, Call], limit: int) -> list[str]:
    """Return the calls to evict so that the rest is within the limit: the oldest of the senders with the most."""
    by_session: dict[bytes, list[str]] = {}
    sizes: dict[bytes, int] = {}
    for name, call in calls.items():
        by_session.setdefault(call.session, []).append(name)
        sizes[call.session] = sizes.get(call.session, 0) + call_bytes(name, call)
    level, left = _level(sorted(sizes.values()), limit), sum(sizes.values())
    out = []
    for session in sorted(sizes, key=sizes.__getitem__, reverse=True):
        for name in by_session[session]:
            if left <= limit or sizes[session] <= level:
                break
            size = call_bytes(name, calls[name])
            sizes[session] -= size
            left -= size
            out.append(name)
    return out


def within(calls: Mapping[str, Call], limit: int) -> list[str]:
    """Return the newest calls whose total is within the limit."""
    kept: list[str] = []
    for name in reversed(list(calls)):
        limit -= call_bytes(name, calls[name])
        if limit < 0:
            break
        kept.append(name)
    return kept[::-1]


def _level(sizes: list[int], limit: int) -> int:
    """Return the max-min fair share of the total; ``sizes`` are in ascending order."""
    for index, size in enumerate(sizes):
        share = limit // (len(sizes) - index)
        if size > share:
            return share
        limit -= size
    return sizes[-1] if sizes else 0


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
