"""ClickHouse sink: the insert of a batch, and the check whether it is stored.

Invariants:
- A batch of which an attempt may have landed is asked for, and offered again, where that attempt
  was made; one of which nobody knows where it began is asked for at every address that may have it.
  Addresses of replicas count as one, since any of them shows the rows and knows the tokens.
- Before replicas are asked, they catch up with everything that was committed, and before a server
  that joins inserts is asked, it writes what it has: so "not there" means that it was not committed.
- What concerns a call that was given up is done at every address that may have its row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from llmledgerd.errors import StoreBusy
from llmledgerd.records.repeats import Call
from llmledgerd.stores.clickhouse.client import Buffer, Store
from llmledgerd.stores.clickhouse.topology import DDL_SETTINGS
from llmledgerd.stores.receipt_window import StoreClock

IDS_PER_QUERY = 1000
"""Identifiers in one statement: 40 KB as a parameter where they are UUIDs."""

BYTES_PER_QUERY = 60_000
"""Of identifiers, where they are longer: under what servers take (128 KiB) with each of them escaped."""

TRACES = "llm_traces"
T = TypeVar("T")

SECONDS = {
    "Second": 1, "Minute": 60, "Hour": 3600, "Day": 86_400, "Week": 7 * 86_400, "Month": 28 * 86_400,
    "Quarter": 90 * 86_400, "Year": 365 * 86_400,
}  # fmt: skip
"""The shortest that each kind of interval can be."""


class Landing:
    """One store, as ``destination.Destination``. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._addresses = store.addresses

    def encode(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytearray:
        """Return the rows as a block for ``insert_blocks``; see ``Store.encode``."""
        return self._store.encode(table, columns, rows)

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        """Insert encoded blocks under the token, of which the part before the first colon names the batch.

        Returns when the server has answered that all is stored: none is left out for its id.
        """
        if not self._stays(table):
            self._store.insert_blocks(table, columns, blocks, token)
            return set()
        key = (table, token.partition(":")[0])
        at, tried_before = self._addresses.begin(key)
        try:
            self._store.insert_blocks(table, columns, blocks, token, at=at)
        except StoreBusy as error:
            if error.kind == "unreachable" and not tried_before:
                self._addresses.settled(key)  # not a byte was sent, so it has begun nowhere
            raise
        self._addresses.settled(key)
        return set()

    def clock(self) -> StoreClock:
        """Return the server's time, and the shortest time for which ``llm_traces`` keeps a row."""
        (row,) = self._store.query(
            "SELECT toUnixTimestamp64Micro(now64(6)) AS now_us, (SELECT groupArray(engine_full) FROM system.tables"
            " WHERE database = currentDatabase() AND name IN ('llm_traces', 'llm_traces_local')) AS engines"
        )
        return StoreClock(int(row["now_us"]), min(filter(None, map(kept_us, row["engines"])), default=0))

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        """Return which ``batch_row`` of a batch the table holds.

        ``from_us`` and ``to_us`` bound ``ingested_at`` of the batch's rows, both inclusive, in
        microseconds since 1970: they save the search through everything older.
        """
        began = self._addresses.where((table, batch_id))
        rows = self._asked(
            table,
            self._store.apart(table) if began is None else [began],
            "SELECT batch_row FROM {table:Identifier} WHERE batch_id = {batch:UUID} AND ingested_at BETWEEN"
            " fromUnixTimestamp64Micro({from_us:Int64}) AND fromUnixTimestamp64Micro({to_us:Int64})",
            {"table": table, "batch": batch_id, "from_us": from_us, "to_us": to_us},
        )
        return {row["batch_row"] for row in rows}

    def calls_present(self, calls: Collection[Call], from_us: int, to_us: int, *, besides: str) -> set[Call]:
        """Return which of the calls ``llm_traces`` holds among those that started between the two times.

        Rows of the batch ``besides`` do not count, nor do those that stand for a call without its
        record (``abandoned``).
        """
        found: set[Call] = set()
        for some in _slices(list(calls), lambda call: _bytes(*call)):
            organizations = sorted({organization for organization, _ in some})
            asked = {"ids": [name for _, name in some], "organizations": organizations, "besides": besides}
            rows = self._asked(
                TRACES,
                self._store.apart(TRACES),
                "SELECT DISTINCT organization_id, id FROM llm_traces"
                " WHERE organization_id IN {organizations:Array(String)} AND id IN {ids:Array(String)}"
                " AND outcome != 'abandoned' AND batch_id != {besides:UUID}"
                " AND created_at BETWEEN fromUnixTimestamp64Micro({from_us:Int64})"
                " AND fromUnixTimestamp64Micro({to_us:Int64})",
                {**asked, "from_us": from_us, "to_us": to_us},
            )
            found.update((row["organization_id"], row["id"]) for row in rows)
        return found.intersection(calls)

    def delete_abandoned(self, ids: Iterable[str]) -> None:
        """Delete the ``abandoned`` rows of calls whose records have come after all."""
        place = self._store.placement(TRACES)
        settings = DDL_SETTINGS if place.cluster else None
        for some in _slices(list(ids), _bytes):
            for at in self._store.apart(TRACES):
                self._store.run(
                    f"DELETE FROM {place.changed} WHERE outcome = 'abandoned' AND id IN {{ids:Array(String)}}",  # noqa: S608 - the table's own name, values are bound
                    {"ids": some},
                    settings,
                    at=at,
                )

    def _stays(self, table: str) -> bool:
        """Return whether it matters at which address a batch is offered again.

        A server that joins inserts has them in its own memory first, whatever replicates its tables.
        """
        return len(self._addresses.in_turn()) > 1 and (
            self._store.insert_mode == "async" or not self._store.placement(table).is_replicated
        )

    def _asked(
        self, table: str, addresses: Sequence[int | None], question: str, parameters: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows that each of the addresses answers, once it has all that was committed."""
        place = self._store.placement(table)
        for address in addresses:
            at = self._addresses.current if address is None else address  # one for all three statements
            if self._store.insert_mode == "async":
                self._store.run("SYSTEM FLUSH ASYNC INSERT QUEUE", at=at)  # naming a table takes 25.12
            if place.caught_up:
                self._store.run(place.caught_up, settings=DDL_SETTINGS, at=at)
            yield from self._store.query(question, parameters, at=at)


def kept_us(engine: str) -> int:
    """Return for how long a table of this definition keeps a row at the least; 0 for ever."""
    _, _, ttl = engine.partition(" TTL ")
    deleting = [
        rule
        for rule in ttl.partition(" SETTINGS ")[0].split(", ")
        if not re.search(r" (TO|RECOMPRESS) ", rule)
    ]
    found = re.findall(r"toInterval([A-Z][a-z]+)\((\d+)\)", " ".join(deleting))
    return min((int(count) * SECONDS.get(unit, 1) for unit, count in found), default=0) * 1_000_000


def _slices(values: list[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the values in lists that are parameters of one statement."""
    some: list[T] = []
    total = 0
    for value in values:
        total += size(value)
        if some and (len(some) == IDS_PER_QUERY or total > BYTES_PER_QUERY):
            yield some
            some, total = [], size(value)
        some.append(value)
    if some:
        yield some


def _bytes(*texts: str) -> int:
    return sum(len(text.encode()) for text in texts)
