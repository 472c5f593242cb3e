"""What the spool remembers, as a fold over its frames. Pure.

Invariant: the state after a restart is the state before it, because both come from applying the
same frames to the same snapshot; and at every moment
``received = stored + dead + lost + waiting``, where waiting is what lies in segments.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

NEVER = 1 << 62
"""A line number that no session reaches."""


class EntryKind(IntEnum):
    LINES = 0
    OVERSIZE = 1
    """One line over the limit; the body has its head and a newline."""
    OWN = 2
    """Lines that the daemon wrote itself: abandoned calls and losses."""


class Entry(msgspec.Struct, array_like=True):
    """A run of lines of one sender in a group. ``session`` is empty for one-way senders."""

    kind: int
    session: bytes
    first: int
    """The number of the first line in its session; 0 for one-way senders."""
    lines: int
    size: int
    """Bytes of the group's body."""
    full_size: int = 0
    """Of an oversize line: how long it was."""
    repeats: bool = False
    """The daemon may have stored these lines before: ask for their ids first."""


class SessionState(msgspec.Struct, array_like=True):
    """One client's life, as far as the daemon has to remember it."""

    durable: int
    seen_us: int
    service: str = ""
    host: str = ""
    client: str = ""
    pid: int = 0
    ended: bool = False
    """Its ``end`` line has been read."""
    over: bool = False
    """It was given up without one, and ``sender_died`` was counted."""
    suspect_until: int = 0
    """Lines up to this number may be repeats of a life that the daemon has forgotten."""


class BegunCall(msgspec.Struct, array_like=True):
    """A call that was announced and whose record has not come."""

    session: bytes
    line: bytes
    received_us: int


class Group(msgspec.Struct, array_like=True):
    """The meta of a group frame."""

    received_us: int
    first_row: int
    """The index in its segment of the group's first line."""
    entries: list[Entry]
    hellos: dict[bytes, SessionState] = {}
    """Sessions that said hello since the last group."""
    orphans: list[str] = []
    """Begun calls that this group's own lines declare abandoned."""
    over: list[bytes] = []
    """Sessions that this group's own lines declare dead."""

    @property
    def lines(self) -> int:
        return sum(entry.lines for entry in self.entries)


class Settled(msgspec.Struct, kw_only=True):
    """The meta of a settled frame: what became of a segment."""

    segment: int
    stored: int = 0
    dead: int = 0
    lost: int = 0
    control: int = 0
    """Lines that were no records: begin, dropped, end, and abandoned calls that came after all."""
    opened: dict[str, BegunCall] = {}
    closed: list[str] = []
    """Ids of records, of calls that are open or abandoned."""
    ended: list[bytes] = []


class Condemned(msgspec.Struct, array_like=True):
    """The meta of a condemned frame: this row of the segment cannot be stored."""

    segment: int
    row: int
    reason: str
    detail: str


class Snapshot(msgspec.Struct, kw_only=True):
    """The body of a header."""

    received: int = 0
    stored: int = 0
    dead: int = 0
    lost: int = 0
    control: int = 0
    sessions: dict[bytes, SessionState] = {}
    begun: dict[str, BegunCall] = {}
    abandoned: dict[str, int] = {}
    """Calls that were given up, and when; should their record come, the row is deleted."""
    condemned: dict[int, dict[int, tuple[str, str]]] = {}
    """Segment number -> row -> reason and detail."""
    settled: list[int] = []
    """Segments that are done, and whose deletion may not be on the disk yet."""
    cut: dict[int, int] = {}
    """Waiting segments in which a write failed -> how many bytes of them count. What lies beyond was
    told to nobody, and was written again elsewhere."""


class State:
    """The fold. ``snapshot`` is public for reading; the methods alone change it."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.snapshot = snapshot or Snapshot()

    def received_group(self, group: Group) -> None:
        snap = self.snapshot
        snap.received += group.lines
        for session, hello in group.hellos.items():
            known = snap.sessions.get(session)
            hello.durable = max(hello.durable, known.durable if known else 0)
            hello.ended = bool(known and known.ended)
            snap.sessions[session] = hello
        for entry in group.entries:
            if not entry.session or entry.kind == EntryKind.OWN:
                continue
            state = snap.sessions.setdefault(entry.session, SessionState(0, 0))
            state.durable = max(state.durable, entry.first + entry.lines - 1)
            state.seen_us = max(state.seen_us, group.received_us)
        for call in group.orphans:
            if snap.begun.pop(call, None):
                snap.abandoned[call] = group.received_us
        for session in group.over:
            if session in snap.sessions:
                snap.sessions[session].over = True

    def settle(self, settled: Settled) -> None:
        snap = self.snapshot
        snap.stored += settled.stored
        snap.dead += settled.dead
        snap.lost += settled.lost
        snap.control += settled.control
        snap.begun.update(settled.opened)
        for call in settled.closed:
            snap.begun.pop(call, None)
            snap.abandoned.pop(call, None)
        for session in settled.ended:
            if session in snap.sessions:
                snap.sessions[session].ended = True
        snap.condemned.pop(settled.segment, None)
        snap.settled.append(settled.segment)

    def condemn(self, row: Condemned) -> None:
        self.snapshot.condemned.setdefault(row.segment, {})[row.row] = (row.reason, row.detail)

    def cut(self, segment: int, size: int) -> None:
        """Only so many bytes of this segment count from now on."""
        self.snapshot.cut[segment] = size

    def deleted(self, segments: set[int]) -> None:
        """The deletion of these segments is on the disk, so none of them can come back."""
        snap = self.snapshot
        snap.settled = [number for number in snap.settled if number not in segments]
        snap.cut = {number: size for number, size in snap.cut.items() if number not in segments}

    def suspect_all(self) -> None:
        """Parts of the log are gone, so any session may have more lines stored than it says here."""
        for session in self.snapshot.sessions.values():
            session.suspect_until = NEVER

    def forget(self, now_us: int, *, memory_us: int, ended_memory_us: int, busy: set[bytes]) -> None:
        """Drop sessions and abandoned calls that nobody will ask for again.

        A session that ended is remembered only as long as its sender may repeat the end, because
        ten thousand short ones an hour would otherwise make every header larger. ``busy`` are the
        sessions with a connection or with lines that wait for their store.
        """
        snap = self.snapshot
        for session, state in list(snap.sessions.items()):
            memory = ended_memory_us if state.ended else memory_us
            if session not in busy and now_us - state.seen_us > memory:
                del snap.sessions[session]
        for call, at in list(snap.abandoned.items()):
            if now_us - at > memory_us:
                del snap.abandoned[call]

    def reconcile(self, waiting: int) -> int:
        """Make the identity hold after damage; return how many lines are gone without a trace."""
        snap = self.snapshot
        known = snap.stored + snap.dead + snap.lost + snap.control + waiting
        missing = snap.received - known
        if missing > 0:
            snap.lost += missing
        else:
            snap.received = known
        return max(0, missing)
