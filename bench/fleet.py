"""How a fleet of daemons meets one server: inserts and parts a second, and whether merges keep up.

``python bench/fleet.py`` prints the table of docs/fleet.md; ``--pods 500 --calls 2 --age 10`` prints one
fleet of your own. Nothing is measured here: records arrive at random, daemons seal segments as
``llmledgerd`` does, each insert makes a part in each of two tables, and merges take the time that their
bytes take. What is assumed of the server is in ``Server``, and can be set.

Invariant: the same seed gives the same outcome; every record that arrived is in a segment or in a part.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

TABLES = 2
"""The rows, and the rollup that its materialized view fills: an insert makes a part in each."""

Mode = Literal["sync", "async"]


class Fleet(msgspec.Struct, frozen=True):
    """The daemons and their settings; the defaults are those of ``llmledgerd``."""

    pods: int
    calls_per_second: float
    """Of each pod."""
    batch_max_age_seconds: float = 1.0
    batch_max_rows: int = 10_000
    batch_max_bytes: int = 8 << 20
    insert_mode: Mode = "sync"
    line_bytes: int = 20_000
    row_bytes: int = 4_000
    """The same, compressed, in a part."""

    @property
    def rows_at_most(self) -> int:
        """Of a segment."""
        return max(1, min(self.batch_max_rows, self.batch_max_bytes // self.line_bytes))


class Server(msgspec.Struct, frozen=True):
    """What is assumed of ClickHouse. Names and limits are its settings' defaults; speeds are guesses."""

    insert_seconds: float = 0.02
    """Of a small insert, synced, by itself: ``llmledgerd_store_insert_seconds`` tells yours."""
    insert_slots: int = 16
    """Inserts that run side by side before they wait for each other."""
    merge_threads: int = 8
    """``background_pool_size`` is 16; the rollup's merges have the other half."""
    merge_seconds: float = 0.05
    """What a merge takes beside its bytes."""
    merge_bytes_per_second: float = 50e6
    merge_at_once: int = 100
    """``max_parts_to_merge_at_once``."""
    tier: int = 8
    """So many parts of about one size are merged, into one about so many times as large."""
    delays_at: int = 1_000
    """``parts_to_delay_insert``."""
    refuses_at: int = 3_000
    """``parts_to_throw_insert``."""
    async_seconds: float = 0.2
    """``async_insert_busy_timeout_max_ms``."""
    async_bytes: int = 10 << 20
    """``async_insert_max_data_size``."""


KEEPER_ENTRIES = 10
"""Entries that a replicated table writes to Keeper for an inserted block; not measured."""

PUTS_PER_PART = 10
"""Requests to object storage that a small part takes; not measured."""

CONNECTIONS_PER_DAEMON = 1
"""Of a pod whose calls fill no segment: one insert at a time."""

MAX_CONNECTIONS = 4_096
"""``max_connections`` in the servers' shipped configuration."""


class Batch(msgspec.Struct, frozen=True, order=True):
    """Rows that became one: a segment that is sealed, or a part."""

    at: float
    rows: int


class Sealed(msgspec.Struct, frozen=True):
    """What was sealed in a time, in order, and what is still open."""

    batches: list[Batch]
    open_rows: int
    arrived: int
    """Counted one by one; what was sealed before the time began is left out."""


class Merged(msgspec.Struct, frozen=True):
    """How a table fared."""

    peak_parts: int
    parts: list[int]
    """Rows of each, in the end."""
    busy: float
    """The share of its merge threads' time that was used."""


class Outcome(msgspec.Struct, frozen=True):
    """A fleet before a server, for a time."""

    seconds: float
    arrived: int
    open_rows: int
    inserts: int
    parts_made: int
    merged: Merged
    insert_slots_used: float

    @property
    def inserts_per_second(self) -> float:
        return self.inserts / self.seconds

    @property
    def parts_per_second(self) -> float:
        return TABLES * self.parts_made / self.seconds

    @property
    def keeper_entries_per_second(self) -> float:
        """With replicated tables."""
        return KEEPER_ENTRIES * self.parts_per_second

    @property
    def puts_per_second(self) -> float:
        """With parts in object storage, merges left out."""
        return PUTS_PER_PART * self.parts_per_second


def simulate(fleet: Fleet, server: Server, seconds: float, seed: int = 1) -> Outcome:
    """Return what comes of so many seconds."""
    sealed = seal(fleet, seconds, seed)
    parts = gather(sealed.batches, fleet, server) if fleet.insert_mode == "async" else sealed.batches
    return Outcome(
        seconds=seconds,
        arrived=sealed.arrived,
        open_rows=sealed.open_rows,
        inserts=len(sealed.batches),
        parts_made=len(parts),
        merged=merge(parts, fleet.row_bytes, server, seconds),
        insert_slots_used=len(parts) * server.insert_seconds / seconds,
    )


def seal(fleet: Fleet, seconds: float, seed: int) -> Sealed:
    """Return the segments that all pods seal, by age or when they are full."""
    pods = [_seal_one(fleet, seconds, random.Random(seed * 1_000_003 + pod)) for pod in range(fleet.pods)]
    return Sealed(
        sorted(batch for pod in pods for batch in pod.batches),
        sum(pod.open_rows for pod in pods),
        sum(pod.arrived for pod in pods),
    )


def _seal_one(fleet: Fleet, seconds: float, dice: random.Random) -> Sealed:
    batches: list[Batch] = []
    rows = arrived = 0
    age = fleet.batch_max_age_seconds
    # Pods have begun at any time before; else all of them would seal at once.
    first = at = -dice.uniform(0, 2 * age)
    while (at := at + dice.expovariate(fleet.calls_per_second)) < seconds:
        if rows and at - first >= age:
            batches.append(Batch(first + age, rows))
            rows = 0
        first = first if rows else at
        rows, arrived = rows + 1, arrived + 1
        if rows == fleet.rows_at_most:
            batches.append(Batch(at, rows))
            rows = 0
    if rows and seconds - first >= age:
        batches.append(Batch(first + age, rows))
        rows = 0
    before = sum(batch.rows for batch in batches if batch.at < 0)
    return Sealed([batch for batch in batches if batch.at >= 0], rows, arrived - before)


def gather(batches: Sequence[Batch], fleet: Fleet, server: Server) -> list[Batch]:
    """Return the parts that the server makes of inserts that it batches itself.

    A pod's insert is answered when its part is written, so that the promise is the same.
    """
    parts: list[Batch] = []
    rows, first = 0, 0.0
    for batch in batches:
        if rows and batch.at - first >= server.async_seconds:
            parts.append(Batch(first + server.async_seconds, rows))
            rows = 0
        if not rows:
            first = batch.at
        rows += batch.rows
        if rows * fleet.row_bytes >= server.async_bytes:
            parts.append(Batch(batch.at, rows))
            rows = 0
    return [*parts, Batch(first + server.async_seconds, rows)] if rows else parts


class _Merges:
    """The parts of one table, in tiers by size, and the merges under way."""

    def __init__(self, row_bytes: int, server: Server) -> None:
        self._row_bytes, self._server = row_bytes, server
        self._tiers: dict[int, list[int]] = defaultdict(list)
        self._running: list[tuple[float, list[int]]] = []
        """When each ends, and the rows of what it merges, which are parts until then."""
        self.busy_seconds = 0.0

    def parts(self) -> list[int]:
        """Return the rows of every part."""
        waiting = [rows for tier in self._tiers.values() for rows in tier]
        return waiting + [rows for _, merging in self._running for rows in merging]

    def count(self) -> int:
        return sum(map(len, self._tiers.values())) + sum(len(merging) for _, merging in self._running)

    def add(self, at: float, rows: int) -> None:
        """Take a part that has been inserted at a time."""
        self.finish(at)
        self._put(rows)
        self._begin(at)

    def finish(self, now: float) -> None:
        """End the merges that are over, and begin others in their place."""
        while self._running and self._running[0][0] <= now:
            ended, merging = heapq.heappop(self._running)
            self._put(sum(merging))
            self._begin(ended)

    def _put(self, rows: int) -> None:
        tier, bound = 0, self._server.tier
        while rows >= bound:
            tier, bound = tier + 1, bound * self._server.tier
        self._tiers[tier].append(rows)

    def _begin(self, now: float) -> None:
        while len(self._running) < self._server.merge_threads:
            ripe = [tier for tier, parts in self._tiers.items() if len(parts) >= self._server.tier]
            if not ripe:
                return
            parts = self._tiers[min(ripe)]
            merging = parts[: self._server.merge_at_once]
            del parts[: self._server.merge_at_once]
            took = sum(merging) * self._row_bytes / self._server.merge_bytes_per_second
            took += self._server.merge_seconds
            self.busy_seconds += took
            heapq.heappush(self._running, (now + took, merging))


def merge(parts: Sequence[Batch], row_bytes: int, server: Server, seconds: float) -> Merged:
    """Return how a table fares that gets these parts; small ones are merged first."""
    merges = _Merges(row_bytes, server)
    peak = 0
    for part in parts:
        merges.add(part.at, part.rows)
        peak = max(peak, merges.count())
    merges.finish(seconds)
    return Merged(peak, merges.parts(), merges.busy_seconds / (seconds * server.merge_threads))


def verdict(outcome: Outcome, server: Server) -> str:
    """Say what the server would do: its limits, or its disk, come first."""
    if outcome.merged.peak_parts >= server.refuses_at:
        return "refused"
    if outcome.merged.peak_parts >= server.delays_at:
        return "delayed"
    if outcome.insert_slots_used > server.insert_slots:
        return "inserts queue"
    # Half leaves room for a bad hour, and for those who read.
    if outcome.insert_slots_used > server.insert_slots / 2 or outcome.merged.busy > 0.5:
        return "at its limit"
    return "fine"


def fleets() -> list[Fleet]:
    """Return the rows of the table in docs/fleet.md."""
    table: list[Fleet] = []
    for pods in (10, 100, 1_000, 5_000):
        one = Fleet(pods=pods, calls_per_second=1.0)
        table += [msgspec.structs.replace(one, batch_max_age_seconds=age) for age in (1.0, 10.0, 30.0)]
        table.append(msgspec.structs.replace(one, insert_mode="async"))
    table += [
        Fleet(pods=20, calls_per_second=250.0),
        Fleet(pods=20, calls_per_second=250.0, batch_max_age_seconds=10.0),
    ]
    return table


def show(rows: Sequence[Fleet], server: Server, seconds: float) -> Table:
    """Return a table of what becomes of each fleet."""
    table = Table()
    names = (
        "pods",
        "calls/s each",
        "age s",
        "mode",
        "inserts/s",
        "rows each",
        "parts/s",
        "most parts",
        "merging",
    )
    for name in (*names, "inserting", "keeper/s", "puts/s", "connections"):
        table.add_column(name, justify="right")
    table.add_column("")
    for fleet in rows:
        outcome = simulate(fleet, server, seconds)
        landed = outcome.arrived - outcome.open_rows
        table.add_row(
            f"{fleet.pods:,}",
            f"{fleet.calls_per_second:g}",
            f"{fleet.batch_max_age_seconds:g}",
            fleet.insert_mode,
            f"{outcome.inserts_per_second:,.0f}",
            f"{landed / max(1, outcome.inserts):,.1f}",
            f"{outcome.parts_per_second:,.0f}",
            f"{outcome.merged.peak_parts:,}",
            f"{outcome.merged.busy:.0%}",
            f"{outcome.insert_slots_used / server.insert_slots:.0%}",
            f"{outcome.keeper_entries_per_second:,.0f}",
            f"{outcome.puts_per_second:,.0f}",
            f"{fleet.pods * CONNECTIONS_PER_DAEMON:,}{'!' if fleet.pods > MAX_CONNECTIONS else ''}",
            verdict(outcome, server),
        )
    return table


def main() -> None:
    """Print the table, or one fleet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pods", type=int, help="a fleet of your own")
    parser.add_argument("--calls", type=float, default=1.0, help="a second, of each pod")
    parser.add_argument("--age", type=float, default=1.0, help="batch_max_age_seconds")
    parser.add_argument("--mode", choices=["sync", "async"], default="sync", help="insert_mode")
    parser.add_argument("--insert-ms", type=float, default=20.0, help="a small insert takes")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long it goes on")
    chosen = parser.parse_args()
    server = Server(insert_seconds=chosen.insert_ms / 1000)
    own = chosen.pods and Fleet(chosen.pods, chosen.calls, chosen.age, insert_mode=chosen.mode)
    Console(width=170).print(show([own] if own else fleets(), server, chosen.seconds))


if __name__ == "__main__":
    main()
