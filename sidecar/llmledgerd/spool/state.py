"""State of the spool, as a fold over its frames. Pure.

Invariant: the state after a restart is the state before it, because both come from applying the
same frames to the same snapshot; and at every moment, for each store by itself,
``received = stored + dead + lost + control + waiting``, where waiting is what lies in segments that
the store has not settled.

What a segment says of calls and sessions is a fact of the segment and not of a store: it is taken
up once, from the first store that settles it while nothing before it is unread. So begun calls and
their records meet in order, and a store that is away holds no verdict up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum

import msgspec

from llmledgerd.spool import runs
from llmledgerd.spool.bounds import Limits
from llmledgerd.spool.room import CALL_FORGOTTEN, Room
from llmledgerd.spool.runs import Runs

ONLY_STORE = "store"
"""Name of the store of a spool that was opened without names."""

NEVER = 1 << 62
"""A line number that no session reaches."""

Owed = dict[str, dict[str, int]]
"""Reason -> service -> how many."""


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
    """A ``begin`` line with as much as the call's abandoned row has, in a bounded size."""
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
    forgotten: list[str] = []
    """Begun calls whose session is over, and for whose abandoned rows there is no room."""
    said: Owed = {}
    """Losses of ``Snapshot.owed`` that this group's own lines tell."""

    @property
    def lines(self) -> int:
        return sum(entry.lines for entry in self.entries)

    def of_own(self, lines: Sequence[bytes]) -> Group:
        """Return the same group with lines of the daemon's own, and no others."""
        entries = [Entry(EntryKind.OWN, b"", 0, 1, len(line)) for line in lines]
        return msgspec.structs.replace(self, entries=entries)


class Settled(msgspec.Struct, kw_only=True):
    """The meta of a settled frame: what became of a segment in one store."""

    segment: int
    store: str = ONLY_STORE
    stored: int = 0
    dead: int = 0
    lost: int = 0
    control: int = 0
    """Lines that were no records: begin, dropped, end, and abandoned calls that came after all."""
    reads: bool = True
    """The facts below are of this segment, and have not been taken up before."""
    opened: dict[str, BegunCall] = {}
    closed: list[str] = []
    """Ids of records, of calls that are open or abandoned."""
    ended: list[bytes] = []
    unkept: int = 0
    """Calls that the segment begins and that there is no room for."""


class Condemned(msgspec.Struct, array_like=True):
    """The meta of a condemned frame: this row of the segment cannot be stored in one store."""

    segment: int
    row: int
    reason: str
    detail: str
    store: str = ONLY_STORE


class Progress(msgspec.Struct, kw_only=True):
    """How far one store is, and the numbers of its identity."""

    first: int = 0
    """Segments before it are not for this store, which was named later."""
    received: int = 0
    stored: int = 0
    dead: int = 0
    lost: int = 0
    control: int = 0
    settled: Runs = []
    """Segments that it is done with, and whose deletion may not be on the disk yet."""
    condemned: dict[int, dict[int, tuple[str, str]]] = {}
    """Segment number -> row -> reason and detail."""

    def wants(self, number: int) -> bool:
        """Return whether a segment still has to go to this store."""
        return number >= self.first and not runs.has(self.settled, number)

    def reconcile(self, waiting: int) -> int:
        """Make the identity hold after damage; return how many lines are gone without a trace."""
        known = self.stored + self.dead + self.lost + self.control + waiting
        missing = max(0, self.received - known)
        self.lost += missing
        self.received = known + missing
        return missing


class Snapshot(msgspec.Struct, kw_only=True):
    """The body of a header."""

    stores: dict[str, Progress] = {}
    sessions: dict[bytes, SessionState] = {}
    begun: dict[str, BegunCall] = {}
    abandoned: dict[str, int] = {}
    """Calls that were given up, and when; should their record come, the row is deleted."""
    late: dict[int, list[str]] = {}
    """Segments that some store still waits for -> such calls whose record they hold."""
    done: Runs = []
    """Segments that only stores knew of that are not named any more, and whose deletion may not be on
    the disk yet."""
    read: int = 0
    """The last segment whose facts have been taken up."""
    agreed_us: int = 0
    """The last time on which this machine's clock and a store's agreed."""
    cut: dict[int, int] = {}
    """Waiting segments in which a write failed -> how many bytes of them count. What lies beyond was
    told to nobody, and was written again elsewhere."""
    owed: Owed = {}
    """What was forgotten for want of room, and no line in the spool has told yet."""
    forgotten_lines: int = 0
    """No session that was forgotten for want of room had more lines,"""
    forgotten_us: int = 0
    """and this is when the last of them was."""


class Change(msgspec.Struct, frozen=True):
    """What naming other stores than before did."""

    added: dict[str, int]
    """Store -> the first segment that it gets."""
    removed: dict[str, int]
    """Store -> lines that waited for it, and do no longer."""


class State:
    """The fold. ``snapshot`` is public for reading; the methods alone change it."""

    def __init__(self, snapshot: Snapshot | None = None, limits: Limits | None = None) -> None:
        self.snapshot = snapshot or Snapshot()
        self.room = Room(self.snapshot, limits or Limits())

    def received_group(self, group: Group) -> None:
        snap = self.snapshot
        for store in snap.stores.values():
            store.received += group.lines
        for session, hello in group.hellos.items():
            known = snap.sessions.get(session)
            hello.durable = max(hello.durable, known.durable if known else 0)
            hello.ended = bool(known and known.ended)
            self.room.remember(session, hello)
        for entry in group.entries:
            if not entry.session or entry.kind == EntryKind.OWN:
                continue
            state = snap.sessions.get(entry.session) or self.room.remember(entry.session, SessionState(0, 0))
            state.durable = max(state.durable, entry.first + entry.lines - 1)
            state.seen_us = max(state.seen_us, group.received_us)
        for call in group.orphans:
            if self.room.close(call):
                snap.abandoned[call] = group.received_us
        for session in group.over:
            if session in snap.sessions:
                snap.sessions[session].over = True
        for call in group.forgotten:
            self.room.forget_call(call)
        for reason, by_service in group.said.items():
            for service, count in by_service.items():
                self.room.owe(reason, service, -count)

    def settle(self, settled: Settled) -> None:
        store = self._progress(settled.store)
        store.stored += settled.stored
        store.dead += settled.dead
        store.lost += settled.lost
        store.control += settled.control
        store.condemned.pop(settled.segment, None)
        runs.add(store.settled, settled.segment)
        if settled.reads:
            self._read(settled)
        if not self.wanting(settled.segment):
            self.snapshot.late.pop(settled.segment, None)

    def _read(self, settled: Settled) -> None:
        """Take up what the segment says of calls and sessions."""
        snap = self.snapshot
        snap.read = max(snap.read, settled.segment)
        for call, begun in settled.opened.items():
            self.room.open(call, begun)
        late = [call for call in settled.closed if snap.abandoned.pop(call, None) is not None]
        if late:
            snap.late[settled.segment] = late
        for call in settled.closed:
            self.room.close(call)
        for session in settled.ended:
            if session in snap.sessions:
                snap.sessions[session].ended = True
        self.room.owe(CALL_FORGOTTEN, "", settled.unkept)
        self.room.bound_calls()

    def condemn(self, row: Condemned) -> None:
        store = self._progress(row.store)
        store.condemned.setdefault(row.segment, {})[row.row] = (row.reason, row.detail)

    def wanting(self, number: int) -> list[str]:
        """Return the stores that a segment still has to go to."""
        if runs.has(self.snapshot.done, number):
            return []
        return [name for name, store in self.snapshot.stores.items() if store.wants(number)]

    def has_been_stored(self, number: int) -> bool:
        """Return whether some store is done with a segment."""
        settled = [store.settled for store in self.snapshot.stores.values()]
        return any(runs.has(some, number) for some in (self.snapshot.done, *settled))

    def put_in_force(self, names: Sequence[str], waiting: Mapping[int, int], following: int) -> Change:
        """Take these stores for the ones there are from now on.

        A new one begins at the segment ``following``, unless segments would be for nobody then, of
        which ``waiting`` gives the lines. What a removed one still waited for is forgotten.
        """
        snap = self.snapshot
        if snap.stores:  # a power failure brought back what no store waited for: not for a new one either
            for number in [number for number in waiting if not self.wanting(number)]:
                runs.add(snap.done, number)
        before, unstored = snap.stores, [number for number in waiting if not self.has_been_stored(number)]
        snap.stores = {name: before[name] for name in names if name in before}
        first = min((number for number in unstored if not self.wanting(number)), default=following)
        added = {name: first for name in names if name not in before}
        snap.stores = {name: before.get(name) or Progress(first=first) for name in names}
        gone = {name: store for name, store in before.items() if name not in snap.stores}
        for number in [
            *waiting,
            *(number for store in gone.values() for number in runs.numbers(store.settled)),
        ]:
            if not self.wanting(number):  # else its file might be taken for a new one
                runs.add(snap.done, number)
        snap.late = {number: calls for number, calls in snap.late.items() if self.wanting(number)}
        removed = {
            name: sum(lines for number, lines in waiting.items() if store.wants(number))
            for name, store in gone.items()
        }
        return Change(added, removed)

    def _progress(self, name: str) -> Progress:
        # Unknown only where the header that named it is lost. Then it gets whatever is there, since
        # its first segment is not known, and a segment too many is asked for or left out by ids.
        return self.snapshot.stores.setdefault(name, Progress())

    def cut(self, segment: int, size: int) -> None:
        """Only so many bytes of this segment count from now on."""
        self.snapshot.cut[segment] = size

    def deleted(self, segments: Collection[int]) -> None:
        """The deletion of these segments is on the disk, so none of them can come back."""
        snap = self.snapshot
        for some in (snap.done, *(store.settled for store in snap.stores.values())):
            for number in segments:
                runs.remove(some, number)
        snap.cut = {number: size for number, size in snap.cut.items() if number not in segments}

    def clock_jumped(self, moved: Callable[[int], int]) -> None:
        """Let everything be as long ago as it was before the time jumped."""
        for session in self.snapshot.sessions.values():
            session.seen_us = moved(session.seen_us)
        for begun in self.snapshot.begun.values():
            begun.received_us = moved(begun.received_us)
        for call, at in self.snapshot.abandoned.items():
            self.snapshot.abandoned[call] = moved(at)

    def suspect_all(self) -> None:
        """Parts of the log are gone, so any session may have more lines stored than it says here."""
        for session in self.snapshot.sessions.values():
            session.suspect_until = NEVER
        self.room.measure()

    def forget(
        self, now_us: int, *, memory_us: int, ended_memory_us: int, busy: Collection[bytes], oldest_us: int
    ) -> None:
        """Drop sessions and abandoned calls that nobody will ask for again, or that there is no room for.

        A session that ended is remembered only as long as its sender may repeat the end, because
        ten thousand short ones an hour would otherwise make every header larger. ``busy`` are the
        sessions with a connection or with lines that wait for a store; ``oldest_us`` is when the
        oldest line that waits was received: a row of a call that was given up later may be among
        those that wait, and is not to be taken for one whose record has come.
        """
        snap = self.snapshot
        for session, state in list(snap.sessions.items()):
            memory = ended_memory_us if state.ended else memory_us
            if session not in busy and now_us - state.seen_us > memory:
                self.room.drop(session)
        for call, at in list(snap.abandoned.items()):
            if now_us - at > memory_us and at < oldest_us:
                del snap.abandoned[call]
        if now_us - snap.forgotten_us > memory_us:
            snap.forgotten_lines = 0
        self.room.bound_sessions(now_us, busy)
