"""State of the spool, as a fold over its frames. Pure.

Invariant: the state after a restart is the state before it, because both come from applying the
same frames to the same snapshot; and at every moment, for each store by itself,
``received = stored + dead + lost + control + waiting``, where waiting is what lies in segments that
the store has not settled.

Calls and sessions in a segment are facts of the segment, not of a store: they are applied once, from the
first store that settles it after all earlier segments were read. So begun calls and their records are
matched in order, and an unavailable store delays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum

import msgspec

from llmledgerd.records.repeats import Call
from llmledgerd.spool import runs
from llmledgerd.spool.bounds import Limits
from llmledgerd.spool.runs import Runs
from llmledgerd.spool.snapshot_budget import CALL_FORGOTTEN, SnapshotBudget

ONLY_STORE = "store"
"""Name of the store of a spool that was opened without names."""

NEVER = 1 << 62
"""A line number that no session reaches."""

Owed = dict[str, dict[str, int]]
"""Reason -> service -> count."""


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
    """Original length of an oversize line."""
    repeats: bool = False
    """The daemon may have stored these lines before: ask for their ids first."""


class SessionState(msgspec.Struct, array_like=True):
    """Stored state of one session."""

    durable: int
    seen_us: int
    service: str = ""
    host: str = ""
    client: str = ""
    pid: int = 0
    ended: bool = False
    """Its ``end`` line has been read."""
    over: bool = False
    """It was declared dead without an ``end``, and ``sender_died`` was counted."""
    suspect_until: int = 0
    """Lines up to this number may be repeats from before the session was evicted."""


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
    """Losses of ``Snapshot.owed`` that this group's own lines report."""

    @property
    def lines(self) -> int:
        return sum(entry.lines for entry in self.entries)

    def of_own(self, lines: Sequence[bytes]) -> Group:
        """Return the group with the daemon's own lines alone."""
        entries = [Entry(EntryKind.OWN, b"", 0, 1, len(line)) for line in lines]
        return msgspec.structs.replace(self, entries=entries)


class Settled(msgspec.Struct, kw_only=True):
    """Meta of a settled frame: the result of a segment in one store."""

    segment: int
    store: str = ONLY_STORE
    stored: int = 0
    dead: int = 0
    lost: int = 0
    control: int = 0
    """Lines that are not records: begin, dropped, end, and abandoned calls whose record arrived."""
    reads: bool = True
    """The fields below are set, and have not been applied before."""
    opened: dict[str, BegunCall] = {}
    closed: list[str] = []
    """Ids of records, of calls that are open or abandoned."""
    ended: list[bytes] = []
    replaced: list[Call] = []
    """Calls with a record in this segment, whose abandoned rows the store has yet to delete."""
    deleted: int = 0
    """How many of the calls of ``Progress.replaced`` have lost their rows since, from the first on."""
    unkept: int = 0
    """Number of begun calls of the segment that exceed the limit."""


class RejectedRow(msgspec.Struct, array_like=True):
    """The meta of a rejected-row frame: this row of the segment cannot be stored in one store."""

    segment: int
    row: int
    reason: str
    detail: str
    store: str = ONLY_STORE


class Progress(msgspec.Struct, kw_only=True):
    """Progress of one store, and the terms of its accounting identity."""

    first: int = 0
    """First segment for this store; earlier ones precede its configuration."""
    received: int = 0
    stored: int = 0
    dead: int = 0
    lost: int = 0
    control: int = 0
    settled: Runs = []
    """Segments that it has settled, and whose deletion may not be synced yet."""
    rejected: dict[int, dict[int, tuple[str, str]]] = {}
    """Segment number -> row -> reason and detail."""
    replaced: list[Call] = []
    """Calls whose record is stored, and whose abandoned rows are yet to be deleted together."""

    def wants(self, number: int) -> bool:
        """Return whether a segment still waits for this store."""
        return number >= self.first and not runs.has(self.settled, number)

    def reconcile(self, waiting: int) -> int:
        """Restore the accounting identity after damage; return the number of lines lost without a record."""
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
    """Abandoned call -> time; if its record arrives, the abandoned row is deleted."""
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
    """Waiting segments with a failed write -> number of valid bytes. The bytes after them were
    never acknowledged, and were written again elsewhere."""
    owed: Owed = {}
    """Evictions that no line in the spool has reported yet."""
    forgotten_lines: int = 0
    """Maximum number of lines of an evicted session."""
    forgotten_us: int = 0
    """Time of the last eviction of a session."""


class Change(msgspec.Struct, frozen=True):
    """Result of a change of the configured stores."""

    added: dict[str, int]
    """Store -> the first segment that it gets."""
    removed: dict[str, int]
    """Store -> lines that waited for it, and do no longer."""


class State:
    """The fold. ``snapshot`` is public for reading; the methods alone change it."""

    def __init__(self, snapshot: Snapshot | None = None, limits: Limits | None = None) -> None:
        self.snapshot = snapshot or Snapshot()
        self.budget = SnapshotBudget(self.snapshot, limits or Limits())

    def received_group(self, group: Group) -> None:
        snap = self.snapshot
        for store in snap.stores.values():
            store.received += group.lines
        for session, hello in group.hellos.items():
            known = snap.sessions.get(session)
            hello.durable = max(hello.durable, known.durable if known else 0)
            hello.ended = bool(known and known.ended)
            self.budget.put_session(session, hello)
        for entry in group.entries:
            if not entry.session or entry.kind == EntryKind.OWN:
                continue
            state = snap.sessions.get(entry.session) or self.budget.put_session(
                entry.session, SessionState(0, 0)
            )
            state.durable = max(state.durable, entry.first + entry.lines - 1)
            state.seen_us = max(state.seen_us, group.received_us)
        for call in group.orphans:
            if self.budget.close_call(call):
                snap.abandoned[call] = group.received_us
        for session in group.over:
            if session in snap.sessions:
                snap.sessions[session].over = True
        for call in group.forgotten:
            self.budget.evict_call(call)
        for reason, by_service in group.said.items():
            for service, count in by_service.items():
                self.budget.add_loss(reason, service, -count)

    def settle(self, settled: Settled) -> None:
        store = self._progress(settled.store)
        store.stored += settled.stored
        store.dead += settled.dead
        store.lost += settled.lost
        store.control += settled.control
        store.rejected.pop(settled.segment, None)
        store.replaced = store.replaced[settled.deleted :] + settled.replaced
        runs.add(store.settled, settled.segment)
        if settled.reads:
            self._read(settled)
        if not self.wanting(settled.segment):
            self.snapshot.late.pop(settled.segment, None)

    def _read(self, settled: Settled) -> None:
        """Apply the calls and sessions of a segment."""
        snap = self.snapshot
        snap.read = max(snap.read, settled.segment)
        for call, begun in settled.opened.items():
            self.budget.open_call(call, begun)
        late = [call for call in settled.closed if snap.abandoned.pop(call, None) is not None]
        if late:
            snap.late[settled.segment] = late
        for call in settled.closed:
            self.budget.close_call(call)
        for session in settled.ended:
            if session in snap.sessions:
                snap.sessions[session].ended = True
        self.budget.add_loss(CALL_FORGOTTEN, "", settled.unkept)
        self.budget.evict_calls()

    def reject_row(self, row: RejectedRow) -> None:
        store = self._progress(row.store)
        store.rejected.setdefault(row.segment, {})[row.row] = (row.reason, row.detail)

    def wanting(self, number: int) -> list[str]:
        """Return the stores that a segment still waits for."""
        if runs.has(self.snapshot.done, number):
            return []
        return [name for name, store in self.snapshot.stores.items() if store.wants(number)]

    def has_been_stored(self, number: int) -> bool:
        """Return whether some store is done with a segment."""
        settled = [store.settled for store in self.snapshot.stores.values()]
        return any(runs.has(some, number) for some in (self.snapshot.done, *settled))

    def put_in_force(self, names: Sequence[str], waiting: Mapping[int, int], following: int) -> Change:
        """Apply a new list of stores.

        A new one begins at the segment ``following``, unless segments would be for nobody then, of
        which ``waiting`` gives the lines. Segments that only waited for a removed store are deleted.
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
            if not self.wanting(number):  # otherwise its file could be mistaken for a new one
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
        """Limit the valid bytes of a segment."""
        self.snapshot.cut[segment] = size

    def deleted(self, segments: Collection[int]) -> None:
        """The deletion of these segments is on the disk, so none of them can come back."""
        snap = self.snapshot
        for some in (snap.done, *(store.settled for store in snap.stores.values())):
            for number in segments:
                runs.remove(some, number)
        snap.cut = {number: size for number, size in snap.cut.items() if number not in segments}

    def clock_jumped(self, moved: Callable[[int], int]) -> None:
        """Shift all times after a jump of the clock."""
        for session in self.snapshot.sessions.values():
            session.seen_us = moved(session.seen_us)
        for begun in self.snapshot.begun.values():
            begun.received_us = moved(begun.received_us)
        for call, at in self.snapshot.abandoned.items():
            self.snapshot.abandoned[call] = moved(at)

    def suspect_all(self) -> None:
        """Mark all sessions as incomplete: parts of the log are gone, so more lines may be stored than known."""
        for session in self.snapshot.sessions.values():
            session.suspect_until = NEVER
        self.budget.measure()

    def forget(
        self, now_us: int, *, memory_us: int, ended_memory_us: int, busy: Collection[bytes], oldest_us: int
    ) -> None:
        """Remove expired sessions and abandoned calls, and sessions above the limits.

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
                self.budget.drop_session(session)
        for call, at in list(snap.abandoned.items()):
            if now_us - at > memory_us and at < oldest_us:
                del snap.abandoned[call]
        if now_us - snap.forgotten_us > memory_us:
            snap.forgotten_lines = 0
        self.budget.evict_sessions(now_us, busy)
