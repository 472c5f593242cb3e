"""The question which rows are stored, and whether its answer can be relied on.

Invariants:
- Nothing here is a statement ``ON CLUSTER``: the question has no effect, and ends with its connection.
- A row counts as stored when as many replicas have it as ``insert_quorum`` asks for: a row that one replica
  committed alone can still be removed.
- That a row is missing is answered only if every place that may have it was asked, and if this user sees
  every row of the table's recent parts. Otherwise StoreBusy or AnswerIncomplete is raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from llmledgerd.errors import AnswerIncomplete, StoreBusy
from llmledgerd.records.twice_told import Told, told_by
from llmledgerd.stores.clickhouse import quorums
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.cluster_hosts import (
    copies_needed,
    has_every_acknowledged_row,
    hosts,
    thin_rows,
)
from llmledgerd.stores.clickhouse.insert_settings import EVERY
from llmledgerd.stores.clickhouse.question_settings import PARTLY, QUESTION, SHARED
from llmledgerd.stores.clickhouse.topology import Placement

TRACES: Final = "llm_traces"

CLOCKS_US: Final = 86_400_000_000
"""Maximum difference between the clocks of a daemon and of a server."""

ROUNDS: Final = 5
"""How often parts are compared that merges replace meanwhile."""

PARTS_AT_ONCE: Final = 1000

MANY_REPLICAS: Final = 3
"""Any number of replicas for which ``auto`` asks for more than one copy."""

Part = tuple[int, str]
"""Number of a host, and the name of a part."""


class StoredRows:
    """Rows of one store's tables. Methods block, and raise StoreBusy."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of_batch(self, table: str, batch_id: str, from_us: int, to_us: int, at: int) -> set[int]:
        """Return the ``batch_row`` of a batch's rows. Raises AnswerIncomplete where replicas do not answer."""
        place = self._place(table)
        number = "_shard_num" if place.cluster else "1"
        question = (
            f"SELECT batch_row, groupUniqArray(toUInt32({number})) AS hosts, groupUniqArray(_part) AS parts"  # noqa: S608 - names of our own, values are bound
            f" FROM {place.everywhere}"
            " WHERE batch_id = {batch:UUID} AND ingested_at BETWEEN fromUnixTimestamp64Micro({from_us:Int64})"
            " AND fromUnixTimestamp64Micro({to_us:Int64}) GROUP BY batch_row"
        )
        values = {"batch": batch_id, "from_us": from_us, "to_us": to_us}
        self._catch_up(place, at)
        try:
            rows, away = self._asked(place, question, values, at), ""
        except StoreBusy as error:
            if not _is_of_replica(place, error):
                raise
            rows, away = self._asked(place, question, values, at, PARTLY), str(error)
        found = {int(row["batch_row"]): row["hosts"] for row in rows}
        self._refuse_thin(table, place, found, at)
        self._refuse_without_quorum(place, {int(row["batch_row"]): row["parts"] for row in rows}, at)
        if away:
            raise AnswerIncomplete(set(found), away)
        if not place.cluster and not place.is_shared:
            self._store.meet_servers(at)
        self._refuse_hidden(place, from_us, at)
        return set(found)

    def of_calls(self, condition: str, values: Mapping[str, Any], at: int) -> Iterator[tuple[str, str]]:
        """Yield organization and id of calls."""
        for row in self._of_traces("DISTINCT organization_id, id", condition, values, at):
            yield row["organization_id"], row["id"]

    def of_records(self, condition: str, values: Mapping[str, Any], at: int) -> Iterator[Told]:
        """Yield what records are recognized by."""
        columns = "organization_id, trace_id, span_id, provider_request_id, toUnixTimestamp64Micro(created_at) AS at"
        yield from map(told_by, self._of_traces(columns, condition, values, at))

    def _of_traces(
        self, columns: str, condition: str, values: Mapping[str, Any], at: int
    ) -> list[dict[str, Any]]:
        """Return columns of rows. A replica that is away may have no acknowledged row alone."""
        place = self._place(TRACES)
        question = f"SELECT {columns} FROM {place.everywhere} WHERE {condition}"  # noqa: S608 - columns and conditions are our own, values are bound
        self._catch_up(place, at)
        try:
            rows = self._asked(place, question, values, at)
        except StoreBusy as error:
            if not _is_of_replica(place, error):
                raise
            rows = self._asked(place, question, values, at, PARTLY)
            if not has_every_acknowledged_row(hosts(self._store, place, at), self._quorum()):
                raise
        self._refuse_hidden(place, int(values["from_us"]), at)
        return rows

    def refuse_hidden(self, from_us: int, at: int) -> None:
        """Raise StoreBusy if this user sees fewer calls than the parts have that were written since a time."""
        self._refuse_hidden(self._place(TRACES), from_us, at)

    def _place(self, table: str) -> Placement:
        """Return the placement, with the cluster of the rows for small tables that every host has."""
        place = self._store.placement(table)
        if place.is_replicated and not place.cluster and table != TRACES:
            return msgspec.structs.replace(place, cluster=self._store.placement(TRACES).cluster)
        return place

    def _quorum(self) -> str:
        return str(self._store.settings_of_url.get("insert_quorum", EVERY["insert_quorum"]))

    def _catch_up(self, place: Placement, at: int) -> None:
        if self._store.insert_mode == "async":
            self._store.run("SYSTEM FLUSH ASYNC INSERT QUEUE", at=at)  # naming a table takes 25.12
        if place.caught_up:
            self._store.run(place.caught_up, at=at)

    def _asked(
        self,
        place: Placement,
        question: str,
        values: Mapping[str, Any],
        at: int,
        settings: Mapping[str, Any] = QUESTION,
    ) -> list[dict[str, Any]]:
        further = SHARED if place.is_shared else {}
        return self._store.query(question, values, settings={**settings, **further}, at=at)

    def _refuse_thin(self, table: str, place: Placement, found: Mapping[int, list[int]], at: int) -> None:
        if not place.cluster or not found:
            return
        on_all = not self._store.placement(table).cluster
        thin = thin_rows(found, hosts(self._store, place, at), self._quorum(), on_all=on_all)
        if thin:
            raise _too_few_copies(len(thin), place)

    def _refuse_without_quorum(self, place: Placement, found: Mapping[int, list[str]], at: int) -> None:
        """Raise StoreBusy if Keeper still counts copies of a row, where no cluster says who has them."""
        is_counted_here = place.is_replicated and not place.cluster and not place.is_shared
        if found and is_counted_here and copies_needed(self._quorum(), MANY_REPLICAS) > 1:
            lacking = quorums.rows_without(found, quorums.of_table(self._store, place, at))
            if lacking:
                raise _too_few_copies(len(lacking), place)

    def _refuse_hidden(self, place: Placement, from_us: int, at: int) -> None:
        """Raise StoreBusy if this user sees fewer rows than the parts have that were written since a time.

        A row policy has this effect. Parts say how many rows they have to everybody.
        """
        if self._store.is_embedded:
            return
        first: set[Part] | None = None
        verified: set[Part] = set()
        for _ in range(ROUNDS):
            parts = self._parts(place, from_us, at)
            first = set(parts) if first is None else first
            # What was inserted after the question began has none of the rows that it was about.
            waiting = {part for part in parts.keys() - verified if part in first or part[1][-2:] != "_0"}
            if not waiting:
                return
            seen = self._seen(place, waiting, at)
            still = self._parts(place, from_us, at)
            hidden = sum(parts[one] - seen.get(one, 0) for one in waiting & still.keys())
            if hidden > 0:
                raise StoreBusy(
                    "hidden_rows",
                    f"this user does not see {hidden:,} recent rows of {place.table}: a row policy must let the"
                    " daemon's user see every row, or rows would be stored twice",
                )
            verified |= waiting
        raise StoreBusy("hidden_rows", f"the parts of {place.table} change too often to count their rows")

    def _parts(self, place: Placement, from_us: int, at: int) -> dict[Part, int]:
        number = "_shard_num" if place.cluster else "1"
        rows = self._asked(
            place,
            f"SELECT toUInt32({number}) AS host, name, max(rows) AS rows FROM {place.on_every_host('system.parts')}"  # noqa: S608 - names of our own, values are bound
            " WHERE database = currentDatabase() AND table = {table:String} AND active"
            " AND modification_time >= fromUnixTimestamp64Micro({from_us:Int64})"
            " GROUP BY host, name ORDER BY max(modification_time) DESC LIMIT {limit:UInt32}",
            {"table": place.table, "from_us": from_us - CLOCKS_US, "limit": PARTS_AT_ONCE},
            at,
        )
        return {(int(row["host"]), str(row["name"])): int(row["rows"]) for row in rows}

    def _seen(self, place: Placement, parts: set[Part], at: int) -> dict[Part, int]:
        number = "_shard_num" if place.cluster else "1"
        rows = self._asked(
            place,
            f"SELECT toUInt32({number}) AS host, _part AS name, count() AS rows FROM {place.everywhere}"  # noqa: S608 - as above
            " WHERE _part IN {names:Array(String)} GROUP BY host, name",
            {"names": sorted({name for _, name in parts})},
            at,
            {**QUESTION, "apply_deleted_mask": 0},
        )
        return {(int(row["host"]), str(row["name"])): int(row["rows"]) for row in rows}


def _too_few_copies(rows: int, place: Placement) -> StoreBusy:
    return StoreBusy(
        "replicas", f"{rows:,} rows of {place.table} are on fewer replicas than insert_quorum requires"
    )


def _is_of_replica(place: Placement, error: StoreBusy) -> bool:
    """Return whether the host that was asked answered, and another did not."""
    return bool(place.cluster) and error.code is not None and error.kind == "network"
