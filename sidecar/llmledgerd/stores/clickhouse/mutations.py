"""Mutations: changes of stored rows that each replica carries out by itself.

Invariants:
- A mutation is recorded once in each shard and never waited for by a statement: the server's worker for
  statements ``ON CLUSTER`` would try such a statement again for ever, and nothing behind it would run.
- Waiting is done by asking ``system.mutations`` of every replica. A replica that is down is named, and not
  waited for: it carries the mutation out after its return.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.cluster_hosts import hosts
from llmledgerd.stores.clickhouse.topology import Placement

WAIT_SECONDS: Final = 600.0
"""Maximum wait for the replicas that answer; the servers carry on after it."""

POLL_SECONDS: Final = (0.02, 2.0)
"""First and longest pause between two questions."""


class Replica(msgspec.Struct, frozen=True):
    """State of one mutation at one replica."""

    name: str
    answers: bool = True
    is_done: bool = False
    fault: str = ""
    """The server's own words of the last failure."""


class Mutations:
    """Mutations of one store's tables. Methods block, and raise StoreBusy."""

    def __init__(
        self,
        store: Store,
        *,
        wait_seconds: float = WAIT_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._wait_seconds = wait_seconds
        self._sleep, self._now = sleep, now

    def change(
        self, table: str, what: str, condition: str, values: Mapping[str, Any], *, at: int | None = None
    ) -> list[str]:
        """Run ``ALTER TABLE … what WHERE condition``; return the replicas that have yet to carry it out.

        Returns when all replicas that answer have. Raises StoreBusy if that takes longer than the limit.
        """
        place = self._store.placement(table)
        mark = str(uuid.uuid4())  # how the mutation is recognized in system.mutations
        self._store.run(
            f"ALTER TABLE {place.changed} {what} WHERE ({condition}) AND '{mark}' != ''",
            values,
            {"mutations_sync": 0, **place.settings},
            at=at,
        )
        return self._until_done(place, mark, at)

    def _until_done(self, place: Placement, mark: str, at: int | None) -> list[str]:
        pause, longest = POLL_SECONDS
        deadline = self._now() + self._wait_seconds
        while True:
            states = self._states(place, mark, at)
            working = [one for one in states if one.answers and not one.is_done]
            if not working:
                return [one.name for one in states if not one.answers]
            if self._now() > deadline:
                raise StoreBusy("replicas", unfinished(place.table, working))
            self._sleep(pause)
            pause = min(2 * pause, longest)

    def _states(self, place: Placement, mark: str, at: int | None) -> list[Replica]:
        """Return the state at each replica of the cluster, or at the one that answers."""
        rows = self._store.query(
            f"SELECT {_number(place)} AS number, min(is_done) AS is_done, max(latest_fail_reason) AS fault"  # noqa: S608 - names of our own, values are bound
            f" FROM {place.on_every_host('system.mutations')}"
            " WHERE database = currentDatabase() AND table = {table:String} AND position(command, {mark:String}) > 0"
            " GROUP BY number",
            {"table": place.table, "mark": mark},
            settings={"skip_unavailable_shards": 1},
            at=at,
        )
        by_number = {int(row["number"]): row for row in rows}
        if not place.cluster:
            inactive = self._inactive(place, at)
            here = _state("this replica", by_number.get(1))
            return [here, *(Replica(name, answers=False) for name in inactive)]
        return [
            _state(host.name, by_number.get(host.number))
            if host.answers
            else Replica(host.name, answers=False)
            for host in hosts(self._store, place, at)
        ]

    def _inactive(self, place: Placement, at: int | None) -> list[str]:
        """Return the replicas of a table that their Keeper does not see."""
        if not place.is_replicated or place.is_shared:
            return []
        rows = self._store.query(
            "SELECT arrayJoin(mapKeys(mapFilter((name, is_active) -> is_active = 0, replica_is_active))) AS name"
            " FROM system.replicas WHERE database = currentDatabase() AND table = {table:String}",
            {"table": place.table},
            at=at,
        )
        return sorted(str(row["name"]) for row in rows)


def unfinished(table: str, working: Iterable[Replica]) -> str:
    """Return the sentence for replicas that take longer than the limit."""
    each = ", ".join(f"{one.name} ({one.fault})" if one.fault else one.name for one in working)
    return f"a change of {table} is not carried out yet by {each}; the servers carry on"


def _number(place: Placement) -> str:
    return "_shard_num" if place.cluster else "1"


def _state(name: str, row: Mapping[str, Any] | None) -> Replica:
    if row is None:  # the replica has not read the mutation from Keeper yet
        return Replica(name)
    return Replica(name, is_done=bool(row["is_done"]), fault=str(row["fault"])[:300])
