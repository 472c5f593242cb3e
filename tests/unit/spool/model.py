"""A spool over a crashing file system, beside a ledger of what it has promised.

Invariant: the ledger never looks into the spool's state to learn what is right; it knows what each
call returned, and asks whether the spool still says so. An operation that raised, or in which the
process died, may have happened or not: ``uncertain`` holds it until the next process is asked.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from random import Random
from typing import Protocol

import msgspec

from llmledgerd.errors import SpoolBroken
from llmledgerd.spool import (
    BegunCall,
    Change,
    Damage,
    Entry,
    EntryKind,
    Group,
    RejectedRow,
    Segment,
    SessionState,
    Settled,
    Spool,
)
from llmledgerd.spool.bounds import Limits, call_bytes, session_bytes
from llmledgerd.spool.snapshot_budget import CALL_FORGOTTEN
from tests.helpers.crashing_files import PAGE, CrashingFiles
from tests.unit.spool.ledger import Died, Ledger, Sent

SESSIONS = [bytes([number]) * 16 for number in range(1, 5)]
CALL = BegunCall(SESSIONS[0], b"{}", 1)
LIMITS = Limits(sessions=160, begun=6 * call_bytes("call-123", CALL), reserve=4096, roll=200)
"""Room for two sessions of which nothing waits, and for six begun calls."""
FRAME_BYTES = 700
"""None that is written here and has no lines is larger."""
CHOICES = [("clickhouse",), ("clickhouse", "postgres"), ("postgres", "clickhouse"), ("postgres",)]
"""Stores that a start may name."""
COUNTS = ("stored", "dead", "lost", "control")
FAULTS = [
    ("write", errno.ENOSPC),
    ("write", errno.EIO),
    ("sync", errno.EIO),
    ("sync_folder", errno.EIO),
    ("create", errno.EMFILE),
    ("rename", errno.EIO),
    ("unlink", errno.EIO),
    ("truncate", errno.EIO),
    ("close", errno.EIO),
]


class Make(Protocol):
    """Makes a spool for some stores."""

    def __call__(self, files: CrashingFiles, *, stores: Sequence[str], limits: Limits) -> Spool: ...


class SpoolModel:
    """Actions that a daemon takes, and what must be true after each. ``dice`` makes all choices."""

    def __init__(self, dice: Random, make: Make = Spool, *, power: bool = True) -> None:
        """Without ``power`` nothing but processes die. ``make`` makes a spool for the stores given."""
        self.dice = dice
        self.stores = dice.choice(CHOICES)
        self._power = power
        self.files = CrashingFiles(dice, block=dice.choice([1, PAGE]))
        self._make = make
        self.ledger = Ledger(settled={store: set() for store in self.stores})
        self.crashes: Counter[str] = Counter()
        self._now = 1_700_000_000_000_000
        self._made = 0
        self._called = 0
        self._sent: Counter[bytes] = Counter()
        self._waiting: Sent | None = None
        """A group that was refused, and is offered again before any other, as the committer does."""
        self._verdicts: dict[tuple[str, int], Settled] = {}
        self._uncertain: list[Sent | Settled | RejectedRow] = []
        self.spool = make(self.files, stores=self.stores, limits=LIMITS)
        self.spool.recover()

    # -- actions -------------------------------------------------------------------------------

    def append(self) -> None:
        sent = self._waiting or self._new_group()
        self._waiting = sent
        pieces = [line + b"\n" for line in sent.lines]
        if self._tried(sent, lambda: self.spool.append(sent.group, pieces, self._tick())):
            self._waiting = None
            opened = self.spool.open
            assert opened is not None
            self._acknowledged(sent, opened, sent.group.first_row)

    def seal(self) -> None:
        before = self.spool.open
        had_lines = bool(before and before.rows)
        if self._tried(None, lambda: self.spool.seal(self._tick())) and had_lines:
            assert before is not None
            assert before.number in self.spool.segments
            assert self.spool.open is not before

    def settle(self) -> None:
        store = self.dice.choice(self.stores)
        segment = self._any_sealed(store)
        if segment is None:
            return
        # The same verdict at each try, as from a shipper that prepares the same lines again.
        verdict = self._verdicts.setdefault((store, segment.number), self._settled(segment, store))
        settled = self._tried_before(verdict) or self._with_facts(verdict, segment)
        if self._tried(settled, lambda: self.spool.settle(settled, self._tick())):
            assert segment.number not in self.spool.queue(store)
            self._written_off(settled)

    def reject_row(self) -> None:
        store = self.dice.choice(self.stores)
        segment = self._any_sealed(store)
        if segment is None:
            return
        row = RejectedRow(segment.number, self.dice.randrange(segment.rows), "refused", "by the store", store)
        if self._tried(row, lambda: self.spool.reject_row(row, self._tick())):
            self._reject(row)

    def compress(self) -> None:
        segment = self._any_sealed(self.dice.choice(self.stores))
        if segment is not None:
            self._tried(None, lambda: self.spool.compress(segment))

    def forget(self) -> None:
        """Forget what there is no room for; some sessions are connected."""
        live = set(self.dice.sample(SESSIONS, self.dice.choice([0, 0, 1, 2])))
        before = set(self.spool.state.snapshot.sessions)
        self.spool.forget(self._tick(), memory_us=1 << 60, ended_memory_us=1 << 60, live=live)
        gone = before - set(self.spool.state.snapshot.sessions)
        assert not gone & live, "a session was forgotten that is connected"
        self._sessions_went(gone)
        kept = self.spool.state.snapshot.sessions
        is_small = self.spool.state.budget.session_bytes <= LIMITS.sessions
        assert is_small or set(kept) <= live | self.spool.waiting_sessions()

    def reserve(self) -> None:
        self._tried(None, self.spool.reserve)

    def fault(self) -> None:
        for _ in range(self.dice.choice([1, 1, 2, 6])):
            self.files.fail(*self.dice.choice(FAULTS))

    def disk_fills(self) -> None:
        used = sum(map(len, self.files.image().values()))
        self.files.capacity = used + self.dice.choice([0, 10, 100, 1000])

    def disk_becomes_read_only(self) -> None:
        self.files.read_only = True

    def resync_fails(self) -> None:
        self.files.fail("resync")

    def heal(self) -> None:
        self.files.heal()

    def dies_within(self, action: Callable[[], None]) -> None:
        """End the process before the n-th thing that an action does to the disk."""
        self._kill_before(self.dice.randint(1, 8))
        with suppress(Died):
            action()
        self.files.before = lambda operation: None
        self.crash()

    def crash(self) -> None:
        """End the process or the power, and start again, on a disk that may be broken, for stores that may be others."""
        self._crash_once()
        # Whether a store that is gone had settled a segment cannot be asked any more.
        if self.dice.random() < 0.2 and not any(isinstance(done, Settled) for done in self._uncertain):
            self.stores = self.dice.choice(CHOICES)
        while self.dice.random() < 0.2:  # and again, somewhere in the recovery
            self._kill_before(self.dice.randint(1, 12))
            with suppress(Died):
                self._restart()
            self.files.before = lambda operation: None
            self._crash_once()
        if self.dice.random() < 0.3:
            self.dice.choice([self.fault, self.disk_fills, self.disk_becomes_read_only, self.resync_fails])()
        damage = self._restart()
        while self.spool.unsynced:
            self._make_found_lines_safe()
        self._came_back(damage)
        if self.spool.change != Change({}, {}):  # it holds from the first header on
            self.spool.append(Group(self._tick(), 0, []), [], self._tick())

    def check(self) -> None:
        """Ask everything that must be true at every moment."""
        ledger, snap = self.ledger, self.spool.state.snapshot
        assert tuple(snap.stores) == self.stores
        for name, store in snap.stores.items():
            waiting = self.spool.waiting(name)
            assert store.received == sum(getattr(store, count) for count in COUNTS) + waiting
            assert waiting == sum(ledger.wants(name, segment) for segment, _ in ledger.lines.values())
            assert {count: getattr(store, count) for count in COUNTS} == {
                count: ledger.counts[name, count] for count in COUNTS
            }
            assert {n: set(rows) for n, rows in store.rejected.items()} == {
                segment: rows for (by, segment), rows in ledger.rejected.items() if by == name
            }
        for session, durable in ledger.durable.items():
            if session in snap.sessions or session not in ledger.forgotten:
                assert snap.sessions[session].durable == durable, "a durable count has changed"
        assert set(snap.begun) == ledger.begun
        assert sum(snap.owed.get(CALL_FORGOTTEN, {}).values()) == ledger.owed, "a loss is told wrongly"
        assert set(snap.abandoned) == ledger.abandoned
        assert snap.late == ledger.late
        segments = self._segments()
        assert self.spool.size() == sum(segment.size for segment in segments)
        senders = {ledger.senders[line] for line in ledger.lines} - {b""}
        assert senders <= self.spool.waiting_sessions()
        unread = {ledger.senders[line] for line, (n, _) in ledger.lines.items() if n not in ledger.read}
        assert unread - {b""} <= self.spool.unread_sessions()
        assert ledger.lines or not self.spool.waiting_sessions()
        self._check_bounds()

    def _check_bounds(self) -> None:
        """Ask whether all that has a bound is within it, and is added up rightly."""
        room, snap, opened = self.spool.state.budget, self.spool.state.snapshot, self.spool.open
        assert room.begun_bytes == sum(call_bytes(*call) for call in snap.begun.items()) <= LIMITS.begun
        assert room.session_bytes == sum(map(session_bytes, snap.sessions.values()))
        if opened and not opened.rows:
            written = opened.size - opened.header_bytes
            assert written < LIMITS.roll + FRAME_BYTES, "a segment without lines grows"

    def check_lines(self) -> None:
        """Read every segment: each line that waits is in its place, once, and no other is there."""
        found = self._lines_found()
        assert {line: at for line, at in found.items() if line in self.ledger.lines} == self.ledger.lines
        assert not found.keys() - self.ledger.lines.keys(), "lines are here that must not be"

    # -- what they are made of -----------------------------------------------------------------

    def _tick(self) -> int:
        self._now += self.dice.randint(1, 1000)
        return self._now

    def _tried(self, operation: Sent | Settled | RejectedRow | None, action: Callable[[], object]) -> bool:
        """Run an action; return whether it returned. One that did not may still be on the disk."""
        if operation is not None and operation not in self._uncertain:
            self._uncertain.append(operation)
        try:
            action()
        except SpoolBroken:
            return False
        if operation is not None:
            self._uncertain.clear()  # a header or a frame after it says what counts
        return True

    def _any_sealed(self, store: str) -> Segment | None:
        sealed = list(self.spool.queue(store).values())
        if not sealed:
            return None
        return sealed[0] if self.dice.random() < 0.5 else self.dice.choice(sealed)

    def _new_group(self) -> Sent:
        sent = Sent(Group(self._tick(), 0, []), [], [])
        for _ in range(self.dice.choice([0, 1, 1, 2, 3])):
            self._add_entry(sent)
        for session in self.dice.sample(SESSIONS, self.dice.choice([0, 0, 1])):
            durable = self.ledger.durable[session]
            sent.group.hellos[session] = SessionState(durable, self._now, "service", "host")
        return sent

    def _add_entry(self, sent: Sent) -> None:
        kind = self.dice.choice([EntryKind.LINES, EntryKind.LINES, EntryKind.LINES, EntryKind.OWN])
        session = self.dice.choice([*SESSIONS, b""]) if kind == EntryKind.LINES else b""
        if any(entry.session == session and session for entry in sent.group.entries):
            return
        count = self.dice.randint(1, 4) if kind == EntryKind.LINES else 1
        lines = [self._new_line() for _ in range(count)]
        first = self.ledger.durable[session] + 1 if session else 0
        size = sum(len(line) + 1 for line in lines)
        sent.group.entries.append(Entry(kind, session, first, count, size))
        sent.lines += lines
        sent.senders += [(session, first + index if session else 0) for index in range(count)]
        open_calls = sorted(self.ledger.begun.difference(sent.group.orphans, sent.group.forgotten))
        if kind == EntryKind.OWN and open_calls:
            decided = self.dice.choice([sent.group.orphans, sent.group.orphans, sent.group.forgotten])
            decided.append(self.dice.choice(open_calls))
        owed = self.spool.state.snapshot.owed.get(CALL_FORGOTTEN)
        if kind == EntryKind.OWN and owed and not sent.group.said:
            sent.group.said[CALL_FORGOTTEN] = dict(owed)

    def _new_line(self) -> bytes:
        self._made += 1
        return b'{"line":%d,"text":"%s"}' % (self._made, b"a" * self.dice.choice([0, 5, 70, 300]))

    def _settled(self, segment: Segment, store: str) -> Settled:
        settled = Settled(segment=segment.number, store=store)
        for _ in range(segment.rows):
            name = self.dice.choice(["stored", *COUNTS])
            setattr(settled, name, getattr(settled, name) + 1)
        return settled

    def _tried_before(self, verdict: Settled) -> Settled | None:
        """Return what may be on the disk of an earlier try, which the next one repeats."""
        tried = [done for done in self._uncertain if isinstance(done, Settled)]
        same = [done for done in tried if (done.store, done.segment) == (verdict.store, verdict.segment)]
        return same[0] if same else None

    def _with_facts(self, verdict: Settled, segment: Segment) -> Settled:
        """Add what the segment says of calls, where nobody has said it and all before it are read."""
        settled = msgspec.structs.replace(verdict)
        unread = {number for number, _ in self.ledger.lines.values()} - self.ledger.read
        settled.reads = segment.number == min(unread, default=0)
        assert settled.reads == self.spool.is_next_to_read(segment)
        if not settled.reads:
            return settled
        for _ in range(self.dice.choice([0, 0, 1, 1, 8])):
            self._called += 1
            session = self.dice.choice(SESSIONS)
            settled.opened[f"call-{self._called}"] = BegunCall(session, b"{}", self._now)
        known = sorted(self.ledger.begun | self.ledger.abandoned)
        settled.closed = self.dice.sample(known, min(len(known), self.dice.choice([0, 0, 1])))
        return settled

    def _acknowledged(self, sent: Sent, segment: Segment, first_row: int) -> None:
        ledger = self.ledger
        batch = ledger.batches.setdefault(segment.number, segment.batch)
        assert batch == segment.batch
        for index, line in enumerate(sent.lines):
            assert line not in ledger.lines
            ledger.lines[line] = segment.number, first_row + index
            ledger.senders[line] = sent.senders[index][0]
        for session, number in sent.senders:
            if session:
                ledger.durable[session] = max(ledger.durable[session], number)
                ledger.forgotten.discard(session)
        for call in ledger.begun & set(sent.group.orphans):
            ledger.begun.discard(call)
            ledger.abandoned.add(call)
        ledger.owed += len(ledger.begun & set(sent.group.forgotten))
        ledger.begun -= set(sent.group.forgotten)
        ledger.owed -= sum(sent.group.said.get(CALL_FORGOTTEN, {}).values())

    def _written_off(self, settled: Settled) -> None:
        ledger = self.ledger
        ledger.settled[settled.store].add(settled.segment)
        for name in COUNTS:
            ledger.counts[settled.store, name] += getattr(settled, name)
        if settled.reads:
            late = [call for call in settled.closed if call in ledger.abandoned]
            if late:
                ledger.late[settled.segment] = late
            ledger.read.add(settled.segment)
            ledger.begun |= settled.opened.keys()
            ledger.begun -= set(settled.closed)
            ledger.abandoned -= set(settled.closed)
            self._calls_went()
        ledger.rejected.pop((settled.store, settled.segment), None)
        ledger.forget_done()

    def _calls_went(self) -> None:
        """Some calls were forgotten where there was no room for all; how many is owed from then on."""
        gone = self.ledger.begun - set(self.spool.state.snapshot.begun)
        size = sum(call_bytes(name, CALL) for name in self.ledger.begun)
        assert not gone or size > LIMITS.begun, "calls were forgotten that there was room for"
        self.ledger.begun -= gone
        self.ledger.owed += len(gone)

    def _sessions_went(self, gone: Collection[bytes]) -> None:
        """Some sessions were forgotten, of which no line may wait."""
        waiting = {self.ledger.senders[line] for line in self.ledger.lines}
        assert not waiting.intersection(gone), "a session was forgotten of which lines wait"
        self.ledger.forgotten.update(gone)

    def _reject(self, row: RejectedRow) -> None:
        self.ledger.rejected.setdefault((row.store, row.segment), set()).add(row.row)

    def _lines_found(self) -> dict[bytes, tuple[int, int]]:
        found: dict[bytes, tuple[int, int]] = {}
        for segment in self._segments():
            if segment.number in self.ledger.batches:
                assert segment.batch == self.ledger.batches[segment.number], "a batch id has changed"
            for group in self.spool.read(segment):
                assert group.body is not None, "a group is damaged that was synced"
                lines = bytes(group.body).split(b"\n")[:-1]
                assert len(lines) == group.group.lines
                for index, line in enumerate(lines):
                    assert line not in found, "a line is there twice"
                    found[line] = segment.number, group.group.first_row + index
        return found

    def _segments(self) -> list[Segment]:
        opened = self.spool.open
        return [*self.spool.segments.values(), *([opened] if opened else [])]

    # -- crashes -------------------------------------------------------------------------------

    def _kill_before(self, left: int) -> None:
        def before(operation: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.crashes[f"in {operation}"] += 1
                raise Died

        self.files.before = before

    def _crash_once(self) -> None:
        power = self.dice.random() < 0.6 and self._power
        self.crashes["power" if power else "process"] += 1
        if power:
            self.files.power_fails()
        else:
            self.files.process_dies()

    def _restart(self) -> list[Damage]:
        self.spool = self._make(self.files, stores=self.stores, limits=LIMITS)
        return self.spool.recover()

    def _make_found_lines_safe(self) -> None:
        """Go on after a start on a disk that did not take what was found: it is not promised yet."""
        self.files.heal()
        if self.dice.random() < 0.5:
            self._crash_once()
            self._restart()
        else:
            self.spool.append(Group(self._tick(), 0, []), [], self._tick())

    def _came_back(self, damage: list[Damage]) -> None:
        """Learn what became of what was uncertain, and check everything."""
        self.files.heal()
        assert not any(found.lines for found in damage), damage
        assert self.spool.last_number >= max([0, *self.ledger.batches])
        for operation in self._uncertain:
            if isinstance(operation, Settled) and self._was_written_off(operation):
                self._written_off(operation)
        found = self._lines_found()
        for operation in self._uncertain:
            if isinstance(operation, Sent):
                self._if_it_came(operation, found)
            elif isinstance(operation, RejectedRow) and operation.store in self.stores:
                progress = self.spool.state.snapshot.stores[operation.store]
                if operation.row in progress.rejected.get(operation.segment, {}):
                    self._reject(operation)
        self._uncertain.clear()
        self.ledger.put_in_force(self.stores)
        self._sessions_went(self.ledger.durable.keys() - self.spool.state.snapshot.sessions.keys())
        self._waiting = None  # its senders offer it again, as far as they still hold it
        self.check()
        self.check_lines()

    def _was_written_off(self, settled: Settled) -> bool:
        return settled.segment not in self.spool.queue(settled.store)

    def _if_it_came(self, sent: Sent, found: dict[bytes, tuple[int, int]]) -> None:
        """A group is there whole or not at all."""
        if sent.lines:
            came = [line in found for line in sent.lines]
            assert all(came) or not any(came), "a part of a group is there"
            if not came[0]:
                return
            number, row = found[sent.lines[0]]
            (segment,) = (segment for segment in self._segments() if segment.number == number)
            self._acknowledged(sent, segment, row)


ACTIONS = {
    "append": 12,
    "seal": 5,
    "settle": 5,
    "reject_row": 2,
    "compress": 2,
    "forget": 3,
    "reserve": 1,
    "fault": 3,
    "disk_fills": 1,
    "disk_becomes_read_only": 1,
    "heal": 3,
    "crash": 2,
}
"""How often each action is taken in a run."""


def run(seed: int, steps: int, make: Make = Spool, *, power: bool = True) -> SpoolModel:
    """Take so many steps, all of them chosen by the seed."""
    model = SpoolModel(Random(seed), make, power=power)
    names = model.dice.choices(list(ACTIONS), list(ACTIONS.values()), k=steps)
    for name in names:
        action: Callable[[], None] = getattr(model, name)
        if model.dice.random() < 0.08 and name != "crash":
            model.dies_within(action)
        else:
            action()
        model.check()
    model.crash()
    return model
