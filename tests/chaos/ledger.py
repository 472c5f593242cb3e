"""What every sender has handed over and heard, and what must follow from it for the table.

Invariant: this is the harness's own knowledge. It is written by the senders as they learn, with
O_APPEND, so that a SIGKILL takes at most the newest line; no counter of the daemon or of the client
under test enters the verdict, but the client's word of what is durable, which is the promise itself.

A ledger belongs to one life of a sender, and ids are ``NAME-NUMBER``, so that an id in the table that
nobody can have sent is found as well. One entry a line:

    session UUID          the session in which the life goes on
    offer N               from now on ids up to NAME-N may exist
    taken N               NAME-N was handed over; order is the session's
    bad N                 the same, of a line that has to become a dead letter
    begun N               a begin was handed over for NAME-N
    durable N             the first N of ``taken`` and ``bad`` are durable
    flushed               all of them are, and all that was ``begun``
    oneway FROM TO HEARD FIRST LAST   lines that were written between two moments and closed;
                          HEARD: the daemon has read them, since it closed too
    refused TEXT          a connection was not taken, or cut off before all was written
    ended                 the session was closed in the ordinary way
    violation TEXT        the sender itself saw a broken promise
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

SUFFIX = ".ledger"
READ_SECONDS = 5.0
"""Within so much time the daemon has read and flushed what was written to it; also on a busy machine."""
FLUSH_SECONDS = 1.0
"""The same of what it has read already."""


class Pen:
    """Writes the ledger of one life."""

    def __init__(self, folder: Path, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.name = name
        self._descriptor = os.open(folder / f"{name}{SUFFIX}", flags, 0o600)

    def write(self, *words: object) -> None:
        os.write(self._descriptor, (" ".join(map(str, words)) + "\n").encode())

    def close(self) -> None:
        os.close(self._descriptor)


class OneWay(msgspec.Struct, frozen=True):
    """Some lines of a one-way sender; times are of CLOCK_MONOTONIC, which all processes share."""

    start: float
    end: float
    was_heard: bool
    first: int
    last: int

    def is_excused(self, deaths: Collection[Death]) -> bool:
        """Return whether a daemon died that may not have flushed them."""
        grace = FLUSH_SECONDS if self.was_heard else READ_SECONDS
        return any(death.start <= self.end + grace and self.start <= death.end for death in deaths)


class Death(msgspec.Struct):
    """A time without a daemon, from the signal (or the stop before it) until the next was ready."""

    start: float
    end: float = float("inf")


class Life:
    """A ledger as it is read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session = ""
        self.offered = 0
        self.taken: list[int] = []
        self.bad: set[int] = set()
        self.begun: list[int] = []
        self.durable = 0
        self.begun_durable = 0
        self.oneway: list[OneWay] = []
        self.ended = False
        self.refused: list[str] = []
        self.violations: list[str] = []
        self.turns = 0
        """How often its sender has come round to writing down what it had heard."""

    def read(self, line: str) -> None:
        """Take one entry."""
        kind, _, rest = line.partition(" ")
        match kind:
            case "taken" | "bad":
                self.taken.append(int(rest))
                if kind == "bad":
                    self.bad.add(int(rest))
            case "durable":
                self.durable = max(self.durable, int(rest))
                self.turns += self.name.startswith("by-hand")
            case "begun":
                self.begun.append(int(rest))
            case "offer":
                self.offered = int(rest)
                self.turns += not self.name.startswith("by-hand")
            case "oneway":
                start, end, heard, first, last = rest.split()
                self.oneway.append(OneWay(float(start), float(end), heard == "True", int(first), int(last)))
            case "flushed":
                self.durable, self.begun_durable = len(self.taken), len(self.begun)
            case "session":
                self.session = rest
            case "refused":
                self.refused.append(rest)
            case "ended":
                self.ended = True
            case "violation":
                self.violations.append(rest)

    @property
    def sender(self) -> str:
        """The process; some live several lives, one after the other."""
        return self.name.partition(".")[0]

    @property
    def handed_over(self) -> int:
        return len(self.taken) + sum(some.last - some.first + 1 for some in self.oneway)

    def id(self, number: int) -> str:
        return f"{self.name}-{number}"

    def promised(self, deaths: Collection[Death]) -> Iterator[tuple[str, bool]]:
        """Yield each id that has to be in the table once, or among the dead letters where True."""
        for number in self.taken[: self.durable]:
            yield self.id(number), number in self.bad
        for some in self.oneway:
            if not some.is_excused(deaths):
                yield from ((self.id(number), False) for number in range(some.first, some.last + 1))

    def abandoned(self) -> Iterator[str]:
        """Yield the ids of begun calls that must have a row, of whichever kind."""
        return (self.id(number) for number in self.begun[: self.begun_durable])


class Ledger:
    """All lives of a run; ``poll`` reads what is new."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[Path, int] = {}
        self.lives: dict[str, Life] = {}

    def poll(self) -> None:
        for path in self.folder.glob(f"*{SUFFIX}"):
            with path.open("rb") as stream:
                stream.seek(self._read.get(path, 0))
                whole = stream.read().rpartition(b"\n")[0]
            life = self.lives.setdefault(path.stem, Life(path.stem))
            for line in whole.decode().splitlines():
                life.read(line)
            self._read[path] = self._read.get(path, 0) + len(whole) + bool(whole)

    @property
    def handed_over(self) -> int:
        return sum(life.handed_over for life in self.lives.values())

    @property
    def durable(self) -> int:
        return sum(life.durable for life in self.lives.values())

    def durable_by_sender(self) -> Counter[str]:
        """Return how many records of each sender are durable, in all of its lives."""
        durable: Counter[str] = Counter()
        for life in self.lives.values():
            durable[life.sender] += life.durable
        return durable

    def turns(self) -> Counter[str]:
        """Return the turns of each sender, in all of its lives."""
        turns: Counter[str] = Counter()
        for life in self.lives.values():
            turns[life.sender] += life.turns
        return turns


class Amnesty:
    """What the promise does not hold for any more (SPEC 5.2), since what held it was destroyed.

    A wiped spool takes along what was durable and not stored, a dropped database what was stored, a full
    spool that may drop its oldest what it has counted. All that comes later is promised as before; and
    nothing is allowed to be there twice.
    """

    def __init__(self) -> None:
        self.calls: set[str] = set()
        """May be missing."""
        self.dropped: set[str] = set()
        """May be missing as far as the spool says so: not more of them than ``declared``."""
        self.declared = 0
        """Lines that the spool has said it dropped."""
        self.begun: set[str] = set()
        """Begun calls that may have no row."""
        self.deaths: dict[str, int] = {}
        """Sessions whose death may not be in the ledger of losses -> what of them was durable then. What is
        durable later, a daemon knows of."""
        self.ends: set[str] = set()
        """Sessions whose end may not be known, so that their death may be declared."""

    def spool_wiped(self, ledger: Ledger, landed: Landed, deaths: Collection[Death]) -> None:
        """The spool is about to go; ``landed`` is what there is besides."""
        self.calls |= _not_stored(ledger, landed.rows, deaths)
        self.begun |= _not_settled(ledger, landed.rows)
        for life in ledger.lives.values():
            if not landed.sender_died.get(life.session):
                self.deaths[life.session] = life.durable

    def database_dropped(self, ledger: Ledger, landed: Landed) -> None:
        """The database is about to go with all that is in it."""
        self.calls |= landed.rows.keys()
        self.begun |= landed.rows.keys()
        self.declared += landed.dropped
        for life in ledger.lives.values():
            if landed.sender_died.get(life.session):
                self.deaths[life.session] = life.durable

    def oldest_dropped(self, ledger: Ledger, landed: Landed, deaths: Collection[Death]) -> None:
        """A spool that drops its oldest has done so until now."""
        self.dropped |= _not_stored(ledger, {**landed.rows, **landed.letters}, deaths)
        self.begun |= _not_settled(ledger, landed.rows)
        self.ends |= {life.session for life in ledger.lives.values() if life.session}


def _not_stored(ledger: Ledger, stored: Collection[str], deaths: Collection[Death]) -> set[str]:
    promised = (call for life in ledger.lives.values() for call, _ in life.promised(deaths))
    return {call for call in promised if call not in stored}


def _not_settled(ledger: Ledger, stored: Collection[str]) -> set[str]:
    """Return begun calls without a row; their begin may be durable before the ledger knows it."""
    begun = (life.id(number) for life in ledger.lives.values() for number in life.begun)
    return {call for call in begun if call not in stored}


class Landed(msgspec.Struct):
    """What is in the table, among the dead letters and in the ledger of losses."""

    rows: Mapping[str, int]
    letters: Mapping[str, int]
    sender_died: Mapping[str, int]
    """Session -> rows of losses."""
    damaged: int = 0
    """Rows that do not hold what their record held."""
    dropped: int = 0
    """Lines that the spool has said it dropped."""


class Verdict(msgspec.Struct):
    """What is wrong, by kind; empty lists are a pass."""

    promised: int = 0
    excused: int = 0
    """Records of one-way senders that a killed daemon may have taken along, and that are not there."""
    gone: int = 0
    """Records that were destroyed with a spool or a database."""
    dropped: int = 0
    """Records that a full spool dropped."""
    declared: int = 0
    """Lines that it said it dropped."""
    lost: list[str] = []
    repeated: list[str] = []
    unknown: list[str] = []
    """Ids that nobody has sent."""
    unsettled: list[str] = []
    """Begun calls without a row."""
    deaths: list[str] = []
    """Senders that died and are not in the ledger of losses, or are there and did not die."""
    other: list[str] = []

    def wrong(self) -> list[tuple[str, list[str]]]:
        """Return what is wrong, by the name of its kind."""
        found = {
            "lost": self.lost,
            "repeated": self.repeated,
            "unknown": self.unknown,
            "unsettled": self.unsettled,
            "deaths": self.deaths,
            "other": self.other,
        }
        return [(name, calls) for name, calls in found.items() if calls]

    @property
    def is_clean(self) -> bool:
        return not self.wrong()


def judge(
    ledger: Ledger,
    landed: Landed,
    deaths: Collection[Death],
    killed: Collection[str],
    amnesty: Amnesty | None = None,
) -> Verdict:
    """Compare what was promised with what is there; ``killed`` are senders that could not finish."""
    amnesty = amnesty or Amnesty()
    verdict = Verdict(declared=amnesty.declared + landed.dropped)
    seen = Counter(landed.rows)
    seen.update(landed.letters)
    verdict.repeated = [call for call, count in seen.items() if count > 1]
    for life in ledger.lives.values():
        _judge_life(verdict, life, landed, deaths, amnesty)
        if life.session and not life.ended and life.sender not in killed:
            verdict.other.append(f"{life.name} lived and did not end")
    if verdict.dropped > verdict.declared:
        verdict.lost.append(f"{verdict.dropped - verdict.declared} more than the spool says it dropped")
    verdict.unknown = [call for call in seen if not _can_exist(ledger, call)]
    if landed.damaged:
        verdict.other.append(f"{landed.damaged} rows do not hold what was sent")
    return verdict


def _judge_life(
    verdict: Verdict, life: Life, landed: Landed, deaths: Collection[Death], amnesty: Amnesty
) -> None:
    for call, is_bad in life.promised(deaths):
        verdict.promised += 1
        if call in (landed.letters if is_bad else landed.rows):
            continue
        if call in amnesty.calls:
            verdict.gone += 1
        elif call in amnesty.dropped:
            verdict.dropped += 1
        else:
            verdict.lost.append(call)
    for some in life.oneway:
        if some.is_excused(deaths):
            ids = map(life.id, range(some.first, some.last + 1))
            verdict.excused += sum(call not in landed.rows for call in ids)
    verdict.unsettled += [
        call for call in life.abandoned() if call not in landed.rows and call not in amnesty.begun
    ]
    died = landed.sender_died.get(life.session, 0)
    if life.session and died not in _deaths(life, amnesty) and (life.durable or life.ended or died > 1):
        verdict.deaths.append(f"{life.name}: ended={life.ended}, sender_died {died} times")
    if life.ended and life.durable < len(life.taken):
        verdict.other.append(f"{life.name} ended with {life.durable} of {len(life.taken)} durable")
    verdict.other += [f"{life.name}: {text}" for text in life.violations]


def _deaths(life: Life, amnesty: Amnesty) -> tuple[int, ...]:
    """Return how often the life may be in the ledger of losses."""
    if life.ended:
        return (0, 1) if life.session in amnesty.ends else (0,)
    return (0, 1) if life.durable <= amnesty.deaths.get(life.session, -1) else (1,)


def _can_exist(ledger: Ledger, call: str) -> bool:
    name, _, number = call.rpartition("-")
    return name in ledger.lives and int(number) <= ledger.lives[name].offered
