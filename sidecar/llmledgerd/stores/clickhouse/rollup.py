"""Hourly rollup, and its consistency with the rows.

Invariant: an hour of ``llm_usage_hourly`` that is not in ``llm_usage_doubts`` agrees with the rows of
``llm_traces``; readers answer the others from the rows.

How the two can part: the view behind the table fails after the table has committed; rows are
deleted or changed. Whoever does that, or cannot exclude it, writes the hours down first (before the
change) or as soon as it is known (after an insert whose answer was lost, before its segment is
settled). So a crash at any moment leaves an hour too many in doubt, and never one too few.

How an hour leaves the list: its doubts are all older than QUIET_SECONDS, and the rollup's
fingerprint equals that of the rows. Why that is enough while others go on inserting:

- Equal fingerprints mean that each row was added once, with the values that it has now. An insert
  that runs while the two are read is in one and not yet in the other, so that they differ, and the
  hour stays; or it is in both or in neither, and then its view adds it as usual.
- What remains is an insert that had committed its row before a rebuild read it, and whose view adds
  it again after the comparison. Its time between the two commits would have to exceed
  QUIET_SECONDS, since the rebuild put the hour in doubt anew. Servers end inserts before that
  (``max_execution_time`` of ``insert_settings``).
- Two daemons that rebuild one hour at once could double it. Each says so first, with a doubt of its
  own, and steps back where it sees another's; whichever says so second sees the first. Should both
  go on all the same, as on replicas that lag, the fingerprints differ, and it is done again.

Rebuilding (delete the hour, insert it anew) is therefore free to be interrupted, repeated, or
overtaken by inserts: the hour is in doubt all the while. The hour under way is compared but not
rebuilt, since it would hardly ever be quiet; until it is over it costs its readers an hour of rows.

Rows may expire before the rollup does. An hour of which rows may be gone is not rebuilt any more.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.topology import DDL_SETTINGS, LOCAL
from llmledgerd.stores.kind import Reconciled

VIEW = "llm_usage_hourly_view"
NEEDED: Mapping[str, Collection[str]] = {
    "llm_usage_hourly": ("hour", "fingerprint"),
    "llm_usage_doubts": ("hour", "at", "reason", "owner"),
}
"""Tables and columns without which no segment can be settled."""

QUIET_SECONDS = 900.0
"""How long an hour must have been left alone; half as much again as any insert may take."""

HOURS_AT_ONCE = 168
"""Hours that are compared or rebuilt by one statement: a week of rows, without their payloads."""

STATEMENT_SECONDS = 600
"""How long such a statement may run; less than QUIET_SECONDS, for the argument above."""

EXPIRY_MARGIN_DAYS = 2
"""A row expires by its receipt, and its call may have been dated a day ahead of that."""

REBUILD_SETTINGS: Mapping[str, Any] = {
    "max_execution_time": STATEMENT_SECONDS,
    # The hour may come out as it was before, and must not be taken for a repeat of that insert.
    "insert_deduplicate": 0,
    "deduplicate_insert": "disable",
    "deduplicate_insert_select": "disable",
    "distributed_foreground_insert": 1,
}

HOUR_SECONDS = 3600

Hour = int
"""Its first second since 1970."""


class Rollup:
    """The rollup of one store. Its methods block, and raise StoreBusy."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owner = str(uuid.uuid4())

    def doubt_batch(self, batch_id: str, from_us: int, to_us: int) -> None:
        """Doubt the hours of a batch of which rows were found stored that nobody had heard of.

        ``from_us`` and ``to_us`` bound ``ingested_at`` as in ``Landing.landed_rows``.
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
        """Doubt the hours of the rows that meet a condition; to be called before they are changed."""
        for at in self._store.apart("llm_traces"):
            self._store.run(
                "INSERT INTO llm_usage_doubts (hour, reason)"  # noqa: S608 - conditions are our own, values are bound
                f" SELECT DISTINCT toStartOfHour(created_at) AS hour, {{reason:String}} FROM llm_traces WHERE {condition}",
                {**parameters, "reason": reason},
                at=at,
            )

    def mend(self, quiet_seconds: float = QUIET_SECONDS) -> Reconciled:
        """Compare hours in doubt, the newest first; rely on those that agree, rebuild the others.

        At most HOURS_AT_ONCE of them; a further round takes further ones.
        """
        return _Round(self._store, self._owner).mend(quiet_seconds)

    def doubted_hours(self) -> int:
        """Return how many hours readers do without the rollup for."""
        return int(self._store.query("SELECT uniqExact(hour) AS hours FROM llm_usage_doubts")[0]["hours"])

    def forget_hours(self, organization_id: str, hours: Collection[Hour]) -> None:
        """Delete an organization's sums of hours that are in doubt, and so are answered from its rows."""
        condition = "organization_id = {org:String} AND toUnixTimestamp(hour) IN {hours:Array(UInt32)}"
        self._forget(condition, {"org": organization_id, "hours": sorted(hours)})

    def forget_expired_usage(self, organization_id: str, before_us: int | None = None) -> None:
        """Delete what is summed of an organization's rows that have expired; the rest follows its rows."""
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
        for at in self._store.apart("llm_usage_hourly"):
            place = self._store.placement("llm_usage_hourly")
            self._store.run(
                f"ALTER TABLE {place.changed} DELETE WHERE {condition}", values, {"mutations_sync": 2}, at=at
            )


class _Round:
    """One round of mending, all of it at one address: what agrees there need not agree elsewhere."""

    def __init__(self, store: Store, owner: str) -> None:
        self._store = store
        self._owner = owner
        at = store.addresses.current
        self._query, self._run = partial(store.query, at=at), partial(store.run, at=at)

    def mend(self, quiet_seconds: float) -> Reconciled:
        cutoff_us = self._server_us() - int(quiet_seconds * 1e6)
        self._forget_expired()
        hours = self._quiet_hours(cutoff_us)
        if not hours or self._is_changing():
            return Reconciled()
        differing = self._differing(hours)
        agreed = [hour for hour in hours if hour not in differing]
        if agreed:
            self._rely_on(agreed, cutoff_us)
        over = [hour for hour in differing if (hour + HOUR_SECONDS) * 1_000_000 <= cutoff_us]
        mine = self._claim(over, cutoff_us) if over else []
        if mine:
            self._rebuild(mine)
        return Reconciled(agreed, mine)

    def _server_us(self) -> int:
        return int(self._query("SELECT toUnixTimestamp64Micro(now64(6, 'UTC')) AS us")[0]["us"])

    def _forget_expired(self) -> None:
        days = migrations.ttl_days(self._store)
        if days:
            closed = _expired(days)
            if self._query(f"SELECT 1 FROM llm_usage_doubts WHERE {closed} LIMIT 1"):  # noqa: S608 - numbers of our own
                self._run(f"DELETE FROM llm_usage_doubts WHERE {closed}")  # noqa: S608 - as above

    def _is_changing(self) -> bool:
        """Return whether a replica has yet to make a change of rows that the others may have made.

        One server's statements return when the change is made; a cluster's do not wait for its replicas.
        """
        cluster = self._store.placement("llm_traces").cluster
        if not cluster:
            return False
        rows = self._query(
            "SELECT count() AS n FROM clusterAllReplicas({cluster:String}, system.mutations)"
            " WHERE database = currentDatabase() AND NOT is_done SETTINGS skip_unavailable_shards = 1",
            {"cluster": cluster},
        )
        return bool(rows[0]["n"])

    def _quiet_hours(self, cutoff_us: int) -> list[Hour]:
        rows = self._query(
            "SELECT toUnixTimestamp(hour) AS first FROM llm_usage_doubts GROUP BY hour"
            " HAVING max(at) <= fromUnixTimestamp64Micro({cutoff:Int64}) ORDER BY hour DESC LIMIT {limit:UInt32}",
            {"cutoff": cutoff_us, "limit": HOURS_AT_ONCE},
        )
        return [row["first"] for row in rows]

    def _differing(self, hours: list[Hour]) -> set[Hour]:
        """Return the hours whose rollup is not that of the rows."""
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
        """Return the view's SELECT, narrowed to ``{hours}``: what the rollup of them has to be."""
        rows = self._query(
            "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {view:String}",
            {"view": VIEW},
        )
        if not rows:
            raise StoreBusy("missing_table", f"missing view {VIEW}; run `llmledgerd migrate`")
        # A shard's view reads its own rows, and what is wanted is that of all shards.
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
            " AND at <= fromUnixTimestamp64Micro({cutoff:Int64})",
            {"hours": hours, "cutoff": cutoff_us},
        )

    def _claim(self, hours: list[Hour], cutoff_us: int) -> list[Hour]:
        """Say that the hours are being rebuilt; return those of which nobody else says so."""
        self._run(
            "INSERT INTO llm_usage_doubts (hour, reason, owner)"
            " SELECT arrayJoin({hours:Array(UInt32)}), 'rebuilding', {owner:UUID}",
            {"hours": hours, "owner": self._owner},
        )
        rows = self._query(
            "SELECT toUnixTimestamp(hour) AS first FROM llm_usage_doubts WHERE hour IN {hours:Array(UInt32)}"
            " AND reason = 'rebuilding' AND at > fromUnixTimestamp64Micro({cutoff:Int64})"
            " GROUP BY hour HAVING uniqExact(owner) = 1 ORDER BY hour",
            {"hours": hours, "cutoff": cutoff_us},
        )
        return [row["first"] for row in rows]

    def _rebuild(self, hours: list[Hour]) -> None:
        place = self._store.placement("llm_usage_hourly")
        settings = {"max_execution_time": STATEMENT_SECONDS, **(DDL_SETTINGS if place.cluster else {})}
        deleting = f"DELETE FROM {place.changed} WHERE hour IN {{hours:Array(UInt32)}}"  # noqa: S608 - the table's own name, values are bound
        self._run(deleting, {"hours": hours}, settings)
        self._run(f"INSERT INTO llm_usage_hourly {self._of_rows()}", _bounds(hours), REBUILD_SETTINGS)


def _expired(days: int) -> str:
    """Return the hours of which rows may be gone."""
    return f"hour < now('UTC') - toIntervalDay({days}) + toIntervalDay({EXPIRY_MARGIN_DAYS})"


def _bounds(hours: list[Hour]) -> dict[str, Any]:
    return {
        "hours": hours,
        "from_us": min(hours) * 1_000_000,
        "to_us": (max(hours) + HOUR_SECONDS) * 1_000_000,
    }
