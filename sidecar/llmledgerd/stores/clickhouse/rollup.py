"""Hourly rollup, and its consistency with the rows.

Invariant: an hour of ``llm_usage_hourly`` that is not in ``llm_usage_doubts`` agrees with the rows of
``llm_traces``; readers compute the other hours from the rows.

Causes of a difference: the view behind the table fails after the table has committed, or rows are
deleted or changed. The hours are recorded as doubted before such a change, or, after an insert whose
answer was lost, before its segment is settled. So a crash can leave an hour doubted that is correct, but
no hour undoubted that is wrong.

An hour leaves the list when all its doubts are older than QUIET_SECONDS and the rollup's fingerprint
equals that of the rows. This is correct during inserts:

- Equal fingerprints mean that each row was added once, with the values that it has now. An insert
  that runs while the two are read is in one and not yet in the other, so that they differ, and the
  hour stays; or it is in both or in neither, and then its view adds it as usual.
- What remains is an insert that had committed its row before a rebuild read it, and whose view adds
  it again after the comparison. Its time between the two commits would have to exceed
  QUIET_SECONDS, since the rebuild put the hour in doubt anew. Servers end inserts before that
  (``max_execution_time`` of ``insert_settings``).
- Two daemons that rebuild one hour at once could double it. Each first records a doubt with its own id,
  and skips the hour if it finds another's; the second one to record always finds the first. If both
  rebuild nevertheless, as on replicas that lag, the fingerprints differ, and the hour is rebuilt again.

A rebuild (delete the hour, insert it again) can therefore be interrupted, repeated, or run during
inserts: the hour stays doubted meanwhile. An hour that is not over is neither compared nor rebuilt,
since it rarely has no inserts for long enough; readers compute it from its rows.

Of many daemons one compares an hour: each claims it first, by a row with the reason COMPARING, and leaves it
to the other where two did. A claim holds for LEASES times the required quiet. A daemon that doubts nothing
itself looks once at its start, and later only in hours in which it inserted, so that an idle fleet sends
no query at all.

Rows can expire before the rollup does. An hour whose rows may have expired is not rebuilt.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import UNAVAILABLE, Store
from llmledgerd.stores.clickhouse.mutations import Mutations
from llmledgerd.stores.clickhouse.topology import LOCAL
from llmledgerd.stores.kind import Reconciled

VIEW = "llm_usage_hourly_view"
NEEDED: Mapping[str, Collection[str]] = {
    "llm_usage_hourly": ("hour", "fingerprint"),
    "llm_usage_doubts": ("hour", "at", "reason", "owner"),
}
"""Tables and columns that delivery requires."""

QUIET_SECONDS = 900.0
"""Required time without a new doubt of the hour: 1.5 times the maximum duration of an insert."""

HOURS_AT_ONCE = 168
"""Maximum number of hours compared or rebuilt by one statement: a week of rows without payloads."""

STATEMENT_SECONDS = 600
"""Maximum duration of such a statement; less than QUIET_SECONDS, as the argument above requires."""

EXPIRY_MARGIN_DAYS = 2
"""A row expires by its time of receipt, and its call may be dated a day later than that."""

REBUILD_SETTINGS: Mapping[str, Any] = {
    "max_execution_time": STATEMENT_SECONDS,
    # The rows of the hour may be the same as before, and must not be deduplicated against that insert.
    "insert_deduplicate": 0,
    "deduplicate_insert": "disable",
    "deduplicate_insert_select": "disable",
    "distributed_foreground_insert": 1,
}

HOUR_SECONDS = 3600

COMPARING = "comparing"
"""Reason of a row that claims an hour for a comparison, and is no doubt."""

LEASES = 4
"""For how many times the required quiet an hour is not compared again: an hour, with QUIET_SECONDS."""

LOOK_SECONDS = 3600.0
"""How often a daemon looks for doubts of others, if it inserted since."""

Hour = int
"""Its first second since 1970."""


class Doubt(msgspec.Struct, frozen=True):
    """An hour that is in doubt. Times are the server's, in microseconds since 1970; 0 for never."""

    first: Hour
    now_us: int
    doubted_us: int
    """When it was last doubted."""
    compared_us: int
    """When it was last claimed for a comparison."""


def due_hours(doubts: Iterable[Doubt], quiet_seconds: float) -> list[Hour]:
    """Return the hours to compare: over and quiet for so long, and claimed by nobody."""
    quiet_us = int(quiet_seconds * 1_000_000)
    due = [
        one.first
        for one in doubts
        if max(one.doubted_us, (one.first + HOUR_SECONDS) * 1_000_000) <= one.now_us - quiet_us
        and one.compared_us <= one.now_us - LEASES * quiet_us
    ]
    return due[:HOURS_AT_ONCE]


class Rollup:
    """The rollup of one store. Its methods block, and raise StoreBusy."""

    def __init__(self, store: Store, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._owner = str(uuid.uuid4())
        self._now = now
        self._looked_at: float | None = None
        self._inserts = 0
        self._doubted: int | None = None
        """Hours in doubt when they were last counted; None before."""
        self._has_doubts = False
        """This process has recorded doubts since the table was last seen without any."""

    def doubt_batch(self, batch_id: str, from_us: int, to_us: int) -> None:
        """Doubt the hours of a batch whose rows were found stored after an unknown outcome.

        ``from_us`` and ``to_us`` bound ``ingested_at`` as in ``ClickHouseSink.landed_rows``.
        """
        self.doubt_rows(
            "found_by_asking",
            "batch_id = {batch:UUID} AND ingested_at BETWEEN fromUnixTimestamp64Micro({from_us:Int64})"
            " AND fromUnixTimestamp64Micro({to_us:Int64})",
            {"batch": batch_id, "from_us": from_us, "to_us": to_us},
        )

    def doubt_abandoned(self, ids: Collection[str]) -> None:
        """Doubt the hours of ``abandoned`` rows that are about to be deleted."""
        condition = "outcome = 'abandoned' AND id IN {ids:Array(String)}"
        self.doubt_rows("rows_deleted", condition, {"ids": list(ids)})

    def doubt_rows(self, reason: str, condition: str, parameters: Mapping[str, Any]) -> None:
        """Doubt the hours of the rows that match a condition. Call this before the rows are changed."""
        self._has_doubts = True
        for at in self._store.independent_addresses("llm_traces"):
            self._store.run(
                "INSERT INTO llm_usage_doubts (hour, reason)"  # noqa: S608 - conditions are our own, values are bound
                f" SELECT DISTINCT toStartOfHour(created_at) AS hour, {{reason:String}} FROM llm_traces WHERE {condition}",
                {**parameters, "reason": reason},
                at=at,
            )

    def doubt_hours(self, reason: str, hours: Collection[Hour], at: int | None = None) -> None:
        """Doubt these hours at one address. Call this before their rows are changed."""
        self._store.run(
            "INSERT INTO llm_usage_doubts (hour, reason) SELECT arrayJoin({hours:Array(UInt32)}), {reason:String}",
            {"hours": list(hours), "reason": reason},
            at=at,
        )

    def reconcile(self, quiet_seconds: float = QUIET_SECONDS) -> Reconciled:
        """Compare doubted hours, newest first; clear the doubts of those that agree, rebuild the others.

        One call processes at most HOURS_AT_ONCE hours. It sends no query where nothing can be in doubt.
        """
        if not self._is_due():
            return Reconciled()
        inserts, self._looked_at = self._store.inserts, self._now()
        self._has_doubts = False  # before the look, so that a doubt during it counts
        round_ = _Round(self._store, self._owner)
        try:
            doubts = round_.doubts()
        except StoreBusy:
            self._looked_at = None
            raise
        self._inserts, self._doubted = inserts, len(doubts)
        self._has_doubts = self._has_doubts or bool(doubts)
        done = round_.reconcile(doubts, quiet_seconds)
        self._doubted -= len(done.agreed)
        return done

    def _is_due(self) -> bool:
        if self._looked_at is None or self._has_doubts:
            return True
        return self._store.inserts != self._inserts and self._now() >= self._looked_at + LOOK_SECONDS

    def doubted_hours(self) -> int:
        """Return the number of hours that readers compute from the rows, as it was last counted."""
        if self._doubted is None:
            self._doubted = len(_Round(self._store, self._owner).doubts())
        return self._doubted

    def forget_hours(self, organization_id: str, hours: Collection[Hour]) -> None:
        """Delete an organization's rollup of doubted hours, which readers compute from its rows."""
        condition = "organization_id = {org:String} AND toUnixTimestamp(hour) IN {hours:Array(UInt32)}"
        self._forget(condition, {"org": organization_id, "hours": sorted(hours)})

    def forget_expired_usage(self, organization_id: str, before_us: int | None = None) -> None:
        """Delete an organization's rollup of hours whose rows have expired."""
        days = migrations.ttl_days(self._store)
        if not days:
            return
        condition = f"organization_id = {{org:String}} AND {_expired(days)}"
        values: dict[str, Any] = {"org": organization_id}
        if before_us is not None:
            condition += " AND hour < toStartOfHour(fromUnixTimestamp64Micro({before:Int64}))"
            values["before"] = before_us
        self._forget(condition, values)

    def _forget(self, condition: str, values: Mapping[str, Any]) -> None:
        for at in self._store.independent_addresses("llm_usage_hourly"):
            Mutations(self._store).change("llm_usage_hourly", "DELETE", condition, values, at=at)


class _Round:
    """One round of reconciliation at one address; another address can have different rows."""

    def __init__(self, store: Store, owner: str) -> None:
        self._store = store
        self._owner = owner
        at = store.addresses.current
        self._query, self._run = partial(store.query, at=at), partial(store.run, at=at)

    def doubts(self) -> list[Doubt]:
        """Return the hours in doubt, newest first."""
        rows = self._query(
            "SELECT toUnixTimestamp(hour) AS first, toUnixTimestamp64Micro(now64(6, 'UTC')) AS now_us,"
            " toUnixTimestamp64Micro(maxIf(at, reason != {comparing:String})) AS doubted_us,"
            " toUnixTimestamp64Micro(maxIf(at, reason = {comparing:String})) AS compared_us"
            " FROM llm_usage_doubts GROUP BY hour ORDER BY hour DESC",
            {"comparing": COMPARING},
        )
        return [Doubt(**row) for row in rows]

    def reconcile(self, doubts: Sequence[Doubt], quiet_seconds: float) -> Reconciled:
        due = due_hours(doubts, quiet_seconds)
        if not due:
            return Reconciled()
        cutoff_us = doubts[0].now_us - int(quiet_seconds * 1e6)
        expired = self._forget_expired()
        due = [hour for hour in due if hour >= expired]
        if not due:
            return Reconciled()
        hours = self._claim(due, COMPARING, doubts[0].now_us - int(LEASES * quiet_seconds * 1e6))
        if not hours or self._is_changing():
            return Reconciled()
        differing = self._differing(hours)
        agreed = [hour for hour in hours if hour not in differing]
        if agreed:
            self._rely_on(agreed, cutoff_us)
        mine = self._claim(sorted(differing), "rebuilding", cutoff_us) if differing else []
        if mine:
            self._rebuild(mine)
        return Reconciled(agreed, mine)

    def _forget_expired(self) -> Hour:
        """Delete doubts of hours whose rows may have expired; return the first hour that is later."""
        days = migrations.ttl_days(self._store)
        if not days:
            return 0
        closed = _expired(days)
        (row,) = self._query(
            "SELECT toUnixTimestamp(toStartOfHour(now('UTC'))) AS now,"  # noqa: S608 - numbers of our own
            f" (SELECT count() FROM llm_usage_doubts WHERE {closed}) AS expired"
        )
        if row["expired"]:
            deleting = f"DELETE FROM llm_usage_doubts WHERE {closed}"  # noqa: S608 - as above
            self._run(deleting, settings=self._store.placement("llm_usage_doubts").settings)
        return int(row["now"]) - (days - EXPIRY_MARGIN_DAYS) * 24 * HOUR_SECONDS + HOUR_SECONDS

    def _is_changing(self) -> bool:
        """Return whether rows are about to change: a mutation is under way, here or on a replica.

        Recomputing costs takes as long as it takes, and on a cluster no mutation waits for the replicas.
        """
        place = self._store.placement("llm_traces")
        source = (
            "clusterAllReplicas({cluster:String}, system.mutations)" if place.cluster else "system.mutations"
        )
        try:
            rows = self._query(
                f"SELECT count() AS n FROM {source} WHERE database = currentDatabase() AND table = {{table:String}}"  # noqa: S608 - our own texts, values are bound
                " AND NOT is_done SETTINGS skip_unavailable_shards = 1",
                {"cluster": place.cluster, "table": place.table},
            )
        except StoreBusy as error:
            if place.cluster or error.kind in UNAVAILABLE:
                raise
            return False  # a user that may not read this cannot recompute costs either
        return bool(rows[0]["n"])

    def _differing(self, hours: list[Hour]) -> set[Hour]:
        """Return the hours whose rollup differs from the rows."""
        rows = self._query(
            "SELECT toUnixTimestamp(hour) AS first FROM ("  # noqa: S608 - the view's own text, values are bound
            f"SELECT hour, requests, fingerprint AS of_rows, 0 AS of_rollup FROM ({self._of_rows()})"
            " UNION ALL SELECT hour, requests, 0, fingerprint FROM llm_usage_hourly"
            " WHERE hour IN {hours:Array(UInt32)}"
            ") GROUP BY hour HAVING sum(of_rows) != sum(of_rollup)",
            _bounds(hours),
        )
        return {row["first"] for row in rows}

    def _of_rows(self) -> str:
        """Return the view's SELECT, restricted to ``{hours}``: the correct rollup of these hours."""
        rows = self._query(
            "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {view:String}",
            {"view": VIEW},
        )
        if not rows:
            raise StoreBusy("missing_table", f"missing view {VIEW}; run `llmledgerd migrate`")
        # A shard's view reads the shard's rows; here all shards are needed.
        text = re.sub(rf"\b(llm_traces){LOCAL}\b", r"\1", str(rows[0]["as_select"]))
        before, grouped, after = text.rpartition(" GROUP BY ")
        narrowed = (
            " WHERE created_at >= fromUnixTimestamp64Micro({from_us:Int64})"
            " AND created_at < fromUnixTimestamp64Micro({to_us:Int64})"
            " AND toStartOfHour(created_at) IN {hours:Array(UInt32)}"
        )
        return f"{before}{narrowed}{grouped}{after}"

    def _rely_on(self, hours: list[Hour], cutoff_us: int) -> None:
        self._run(
            "DELETE FROM llm_usage_doubts WHERE hour IN {hours:Array(UInt32)}"
            " AND (at <= fromUnixTimestamp64Micro({cutoff:Int64}) OR reason = {comparing:String})",
            {"hours": hours, "cutoff": cutoff_us, "comparing": COMPARING},
            self._store.placement("llm_usage_doubts").settings,
        )

    def _claim(self, hours: list[Hour], reason: str, since_us: int) -> list[Hour]:
        """Record that this daemon works on the hours; return those that no other daemon has claimed since."""
        self._run(
            "INSERT INTO llm_usage_doubts (hour, reason, owner)"
            " SELECT arrayJoin({hours:Array(UInt32)}), {reason:String}, {owner:UUID}",
            {"hours": hours, "reason": reason, "owner": self._owner},
        )
        rows = self._query(
            "SELECT toUnixTimestamp(hour) AS first FROM llm_usage_doubts WHERE hour IN {hours:Array(UInt32)}"
            " AND reason = {reason:String} AND at > fromUnixTimestamp64Micro({since:Int64})"
            " GROUP BY hour HAVING uniqExact(owner) = 1 ORDER BY hour DESC",
            {"hours": hours, "reason": reason, "since": since_us},
        )
        return [row["first"] for row in rows]

    def _rebuild(self, hours: list[Hour]) -> None:
        place = self._store.placement("llm_usage_hourly")
        settings = {"max_execution_time": STATEMENT_SECONDS, **place.settings}
        deleting = f"DELETE FROM {place.changed} WHERE hour IN {{hours:Array(UInt32)}}"  # noqa: S608 - the table's own name, values are bound
        self._run(deleting, {"hours": hours}, settings)
        self._run(f"INSERT INTO llm_usage_hourly {self._of_rows()}", _bounds(hours), REBUILD_SETTINGS)


def _expired(days: int) -> str:
    """Return the condition for hours whose rows may have expired."""
    return f"hour < now('UTC') - toIntervalDay({days}) + toIntervalDay({EXPIRY_MARGIN_DAYS})"


def _bounds(hours: list[Hour]) -> dict[str, Any]:
    return {
        "hours": hours,
        "from_us": min(hours) * 1_000_000,
        "to_us": (max(hours) + HOUR_SECONDS) * 1_000_000,
    }
