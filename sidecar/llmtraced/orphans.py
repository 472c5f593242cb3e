"""Calls and senders that never came back. Pure.

Invariant: a session is given up once, and only when nothing that it sent still waits unread, since
its ``end`` or the records of its calls may be among that.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from llmtraced.batch import OwnLine
from llmtraced.spool.state import BegunCall, SessionState, Snapshot


class Orphan(msgspec.Struct):
    """Something to be written into the spool: a call that is given up, or a session that died."""

    line: OwnLine
    call: str = ""
    session: bytes = b""


def orphans(
    snapshot: Snapshot,
    *,
    now_us: int,
    started_us: int,
    grace_us: int,
    live: Collection[bytes],
    waiting: Mapping[bytes, int],
    closed_at: Mapping[bytes, int],
) -> list[Orphan]:
    """Return what is to be given up now.

    ``live`` are the sessions with a connection, ``waiting`` counts lines of each that are not
    settled, ``closed_at`` says when connections ended; where an earlier process saw that, the
    grace counts from this one's start.
    """

    def over(session: bytes) -> bool:
        left = closed_at.get(session, started_us)
        return session not in live and not waiting.get(session) and now_us - left >= grace_us

    found = list(_dead_sessions(snapshot.sessions, over))
    for call, begun in snapshot.begun.items():
        state = snapshot.sessions.get(begun.session)
        # Without a session there is no end to wait for, but the call's own beginning.
        left = (
            over(begun.session) if begun.session else now_us - max(begun.received_us, started_us) >= grace_us
        )
        if left:
            found.append(_abandoned(call, begun, state))
    return found


def _dead_sessions(sessions: Mapping[bytes, SessionState], over: Callable[[bytes], bool]) -> Iterator[Orphan]:
    for session, state in sessions.items():
        if state.ended or state.over or not over(session):
            continue
        line = OwnLine(
            session=str(uuid.UUID(bytes=session)),
            service=state.service,
            host=state.host,
            stage="client",
            reason="sender_died",
        )
        yield Orphan(line, session=session)


def _abandoned(call: str, begun: BegunCall, state: SessionState | None) -> Orphan:
    service, host = (state.service, state.host) if state else ("", "")
    return Orphan(OwnLine(abandoned=begun.line, service=service, host=host), call=call)
