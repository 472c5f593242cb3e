"""ClickHouse sink: the insert of a batch, and the check whether it is stored.

Invariants:
- A batch that may have been stored is looked up and repeated at the address of that attempt. If that
  address is unknown, the batch is looked up at every address that may have it. Addresses of replicas
  count as one, since each of them has the rows and the tokens.
- A row that is not found was not committed (``stored_rows``).
- Rows of abandoned calls are deleted at every address that may have them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from llmledgerd.errors import StoreBusy
from llmledgerd.records.repeats import Call
from llmledgerd.records.twice_told import Told, asked_between
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.compression import Buffer
from llmledgerd.stores.clickhouse.stored_rows import TRACES, StoredRows
from llmledgerd.stores.receipt_window import StoreClock

IDS_PER_QUERY = 1000
"""Maximum number of identifiers in one statement: 40 KB as a parameter if they are UUIDs."""

BYTES_PER_QUERY = 60_000
"""Maximum bytes of identifiers in one statement; escaped, they stay below the servers' limit of 128 KiB."""

ABANDONED = (
    "outcome = 'abandoned' AND id IN {ids:Array(String)}"
    " AND has(arrayZip({organizations:Array(String)}, {ids:Array(String)}), (organization_id, id))"
)
STARTED = (
    "created_at BETWEEN fromUnixTimestamp64Micro({from_us:Int64}) AND fromUnixTimestamp64Micro({to_us:Int64})"
)
CALLS = f"organization_id IN {{organizations:Array(String)}} AND id IN {{ids:Array(String)}} AND {STARTED}"
OTHER_CALLS = f"{CALLS} AND outcome != 'abandoned' AND batch_id != {{besides:UUID}}"
GIVEN_UP = f"{CALLS} AND outcome = 'abandoned'"
ANY_GIVEN_UP = f"outcome = 'abandoned' AND {STARTED} LIMIT 1"
RECORDS = (
    "(trace_id IN {traces:Array(String)} OR provider_request_id IN {answers:Array(String)})"
    " AND source != 'otlp' AND outcome != 'abandoned' AND batch_id != {besides:UUID}"
    " AND created_at BETWEEN fromUnixTimestamp64Micro({from_us:Int64})"
    " AND fromUnixTimestamp64Micro({to_us:Int64})"
)
T = TypeVar("T")

SECONDS = {
    "Second": 1, "Minute": 60, "Hour": 3600, "Day": 86_400, "Week": 7 * 86_400, "Month": 28 * 86_400,
    "Quarter": 90 * 86_400, "Year": 365 * 86_400,
}  # fmt: skip
"""Minimum length of each kind of interval."""


class ClickHouseSink:
    """Destination over one store. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._addresses = store.addresses
        self._stored = StoredRows(store)

    def encode(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytearray:
        """Return the rows as a block for ``insert_blocks``; see ``Store.encode``."""
        return self._store.encode(table, columns, rows)

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        """Insert encoded blocks under the token; its part before the first colon is the batch.

        Returns after the server has answered that everything is stored. Ids are not unique, so the result is empty.
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
                self._addresses.settled(key)  # no byte was sent, so no address can have the batch
            raise
        self._addresses.settled(key)
        return set()

    def clock(self) -> StoreClock:
        """Return the server's time, and the minimum retention of a row of ``llm_traces``."""
        (row,) = self._store.query(
            "SELECT toUnixTimestamp64Micro(now64(6)) AS now_us, (SELECT groupArray(engine_full) FROM system.tables"
            " WHERE database = currentDatabase() AND name IN ('llm_traces', 'llm_traces_local')) AS engines"
        )
        return StoreClock(int(row["now_us"]), min(filter(None, map(kept_us, row["engines"])), default=0))

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        """Return the ``batch_row`` of the batch's rows that are stored.

        ``from_us`` and ``to_us`` bound ``ingested_at`` of the batch's rows, both inclusive, in
        microseconds since 1970, so that older parts need not be searched.
        """
        began = self._addresses.where((table, batch_id))
        addresses = self._store.independent_addresses(table) if began is None else [began]
        found: set[int] = set()
        for at in map(self._at, addresses):
            found |= self._stored.of_batch(table, batch_id, from_us, to_us, at)
        return found

    def calls_present(self, calls: Collection[Call], from_us: int, to_us: int, *, besides: str) -> set[Call]:
        """Return the calls that started between the two times and are stored with their record.

        Rows of the batch ``besides`` and ``abandoned`` rows do not count.
        """
        return self._calls(OTHER_CALLS, calls, {"besides": besides, "from_us": from_us, "to_us": to_us})

    def calls_abandoned(self, calls: Collection[Call], from_us: int, to_us: int) -> set[Call]:
        """Return the calls that started between the two times and have an ``abandoned`` row."""
        times = {"from_us": from_us, "to_us": to_us}
        addresses = map(self._at, self._store.independent_addresses(TRACES))
        # Old files are imported by the million: where no call was given up, none of theirs is asked for by its id.
        if not any(list(self._stored.of_calls(ANY_GIVEN_UP, times, at)) for at in addresses):
            return set()
        return self._calls(GIVEN_UP, calls, times)

    def records_of(self, spans: Collection[Told], *, besides: str) -> list[Told]:
        """Return stored records that have the trace or the answer's id of a span, and began about its time."""
        found: list[Told] = []
        for some in _slices(list(spans), lambda span: _bytes(span.trace, span.answer)):
            from_us, to_us = asked_between(some)
            asked = {
                "traces": sorted({span.trace for span in some} - {""}),
                "answers": sorted({span.answer for span in some} - {""}),
                "besides": besides,
                "from_us": from_us,
                "to_us": to_us,
            }
            for at in map(self._at, self._store.independent_addresses(TRACES)):
                found += self._stored.of_records(RECORDS, asked, at)
        return found

    def delete_abandoned(self, calls: Iterable[Call]) -> None:
        """Delete the ``abandoned`` rows of calls whose records have arrived.

        One change, of the partitions that have such rows: a change of all partitions would make a new part of
        every part of the table.
        """
        place = self._store.placement(TRACES)
        for some in _slices(list(calls), lambda call: _bytes(*call)):
            asked = {"ids": [name for _, name in some], "organizations": [one for one, _ in some]}
            for at in map(self._at, self._store.independent_addresses(TRACES)):
                found = self._store.query(
                    f"SELECT DISTINCT _partition_id AS name FROM {place.everywhere} WHERE {ABANDONED}",  # noqa: S608 - names of our own, values are bound
                    asked,
                    settings={"skip_unavailable_shards": 1},
                    at=at,
                )
                changes = ", ".join(
                    f"UPDATE _row_exists = 0 IN PARTITION ID '{name}' WHERE {ABANDONED}"
                    for name in sorted(str(row["name"]) for row in found)
                )
                if changes:  # what DELETE FROM does, which takes no partition before 25.x
                    statement = f"ALTER TABLE {place.changed} {changes}"
                    self._store.run(statement, asked, {"mutations_sync": 1, **place.settings}, at=at)

    def _calls(self, condition: str, calls: Collection[Call], values: Mapping[str, object]) -> set[Call]:
        """Return which calls have a row, at any address, that fulfills the condition."""
        found: set[Call] = set()
        for some in _slices(list(calls), lambda call: _bytes(*call)):
            asked = {
                "organizations": sorted({organization for organization, _ in some}),
                "ids": [name for _, name in some],
                **values,
            }
            for at in map(self._at, self._store.independent_addresses(TRACES)):
                found.update(self._stored.of_calls(condition, asked, at))
        return found.intersection(calls)

    def _stays(self, table: str) -> bool:
        """Return whether a batch must be repeated at the same address.

        A server with asynchronous inserts queues them in its own memory, even if its tables are replicated.
        """
        return len(self._addresses.in_turn()) > 1 and (
            self._store.insert_mode == "async" or not self._store.placement(table).is_replicated
        )

    def _at(self, address: int | None) -> int:
        """Return the address for all statements of one question."""
        return self._addresses.current if address is None else address


def kept_us(engine: str) -> int:
    """Return the minimum retention of a table with this definition, in microseconds; 0 for no limit."""
    _, _, ttl = engine.partition(" TTL ")
    deleting = [
        rule
        for rule in ttl.partition(" SETTINGS ")[0].split(", ")
        if not re.search(r" (TO|RECOMPRESS) ", rule)
    ]
    found = re.findall(r"toInterval([A-Z][a-z]+)\((\d+)\)", " ".join(deleting))
    return min((int(count) * SECONDS.get(unit, 1) for unit, count in found), default=0) * 1_000_000


def _slices(values: list[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the values in lists, each within the limits of one statement."""
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
