"""What a spool was given and what it has promised of it, as a test sees it from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from llmledgerd.spool import Group


class Died(BaseException):
    """The process ends here, whatever handlers there are."""


class Sent(msgspec.Struct):
    """A group that was offered to the spool."""

    group: Group
    lines: list[bytes]
    senders: list[tuple[bytes, int]]
    """Of each line: its session (empty for a one-way sender) and its number."""
    begun: list[str] = []


class Ledger(msgspec.Struct):
    """What the spool has promised."""

    settled: dict[str, set[int]]
    """Store -> segments that it is done with, or that are not for it."""
    lines: dict[bytes, tuple[int, int]] = {}
    """Lines that wait for some store -> segment and row."""
    senders: dict[bytes, bytes] = {}
    """Of every line that was ever there."""
    forgotten: set[bytes] = set()
    """Sessions that the spool was free to forget, and may have."""
    owed: int = 0
    """Begun calls that were forgotten for want of room, and that no line has told of."""
    read: set[int] = set()
    """Segments whose facts have been taken up."""
    durable: Counter[bytes] = msgspec.field(default_factory=Counter)
    begun: set[str] = set()
    abandoned: set[str] = set()
    late: dict[int, list[str]] = {}
    rejected: dict[tuple[str, int], set[int]] = {}
    batches: dict[int, str] = {}
    counts: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)

    def wants(self, store: str, segment: int) -> bool:
        return segment not in self.settled[store]

    def put_in_force(self, stores: Sequence[str]) -> None:
        """Other stores than before: a new one gets what nobody has or waits for, and what came after it."""
        waiting = {segment for segment, _ in self.lines.values()}
        unstored = {n for n in waiting if all(self.wants(store, n) for store in self.settled)}
        kept = {store: settled for store, settled in self.settled.items() if store in stores}
        orphans = {n for n in unstored if all(n in settled for settled in kept.values())}
        first = min(orphans) if orphans else max(waiting, default=0) + 1
        for store in self.settled.keys() - kept.keys():
            self.counts = Counter({key: n for key, n in self.counts.items() if key[0] != store})
            self.rejected = {key: rows for key, rows in self.rejected.items() if key[0] != store}
        self.settled = {store: kept.get(store, {n for n in waiting if n < first}) for store in stores}
        self.forget_done()

    def forget_done(self) -> None:
        """Let go of the lines that no store waits for."""
        wanted = {n for n, _ in self.lines.values() if any(self.wants(store, n) for store in self.settled)}
        self.lines = {line: at for line, at in self.lines.items() if at[0] in wanted}
        self.late = {segment: calls for segment, calls in self.late.items() if segment in wanted}
