"""Calls and senders that never came back. Pure.

Invariant: a session is given up once, and only when nothing that it sent still waits unread, since
its ``end`` or the records of its calls may be among that. No more are given up at a time than MOST_AT_ONCE,
and no more calls than can be remembered within the limit of their names' bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice

import msgspec

from llmledgerd.spool import bounds
from llmledgerd.spool.own_lines import OwnLine
from llmledgerd.spool.snapshot_budget import CALL_FORGOTTEN
from llmledgerd.spool.state import BegunCall, Group, Owed, SessionState, Snapshot

MOST_AT_ONCE = 1000
"""A hundred thousand senders may die in one second; what is said of them is made and written in parts."""


class Orphan(msgspec.Struct):
    """Something to be written into the spool: a call that is given up, or a session that died."""

    line: OwnLine | None
    """None: the call is forgotten, since nobody would know later that its row is an abandoned one."""
    call: str = ""
    session: bytes = b""


def orphans(
    snapshot: Snapshot,
    *,
    now_us: int,
    started_us: int,
    grace_us: int,
    live: Collection[bytes],
    waiting: Collection[bytes],
    closed_at: Mapping[bytes, int],
    budget_bytes: int,
) -> list[Orphan]:
    """Return what is to be given up now.

    ``live`` are the sessions with a connection, ``waiting`` those with lines that are not
    settled, ``closed_at`` says when connections ended; where an earlier process saw that, the
    grace counts from this one's start. ``budget_bytes`` is how many bytes of names of calls may be remembered.
    """

    def over(session: bytes) -> bool:
        left = closed_at.get(session, started_us)
        return session not in live and session not in waiting and now_us - left >= grace_us

    def is_left(begun: BegunCall) -> bool:
        if begun.session in snapshot.sessions:
            return over(begun.session)
        # Without a session there is no end to wait for, but the call's own beginning.
        is_old = now_us - max(begun.received_us, started_us) >= grace_us
        return is_old and (not begun.session or over(begun.session))

    found = list(islice(_dead_sessions(snapshot.sessions, over), MOST_AT_ONCE))
    for call, begun in snapshot.begun.items():
        if len(found) >= MOST_AT_ONCE:
            break
        if is_left(begun):
            budget_bytes -= bounds.name_bytes([call])
            found.append(
                _abandoned(call, begun, snapshot.sessions.get(begun.session), is_kept=budget_bytes >= 0)
            )
    return found


def decided(found: list[Orphan], owed: Owed, host: str, now_us: int) -> tuple[Group, list[bytes]]:
    """Return the group that says what was found, and what was forgotten before, and its lines."""
    lines = [orphan.line for orphan in found if orphan.line is not None]
    for reason, by_service in owed.items():
        for service, count in by_service.items():
            known = count if reason == CALL_FORGOTTEN else None
            lines.append(OwnLine(stage="daemon", reason=reason, service=service, host=host, count=known))
    group = Group(
        now_us,
        0,
        [],
        orphans=[orphan.call for orphan in found if orphan.call and orphan.line],
        over=[orphan.session for orphan in found if orphan.session],
        forgotten=[orphan.call for orphan in found if orphan.call and not orphan.line],
        said={reason: dict(by_service) for reason, by_service in owed.items()},
    )
    return group, [msgspec.json.encode(line) + b"\n" for line in lines]


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


def _abandoned(call: str, begun: BegunCall, state: SessionState | None, *, is_kept: bool) -> Orphan:
    if not is_kept:
        return Orphan(None, call=call)
    service, host = (state.service, state.host) if state else ("", "")
    return Orphan(OwnLine(abandoned=begun.line, service=service, host=host), call=call)
