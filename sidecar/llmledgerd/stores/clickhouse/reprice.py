"""Recomputation of the cost of stored rows.

Invariants:
- Only columns of the cost change, and only where cost, reason or parts differ; a cost that a provider
  reported stays.
- A page of rows is one step: its hours are doubted, so that no reader takes a rollup that has parted from
  its rows; the step is recorded in ``llm_price_changes``; its rows are changed; its end is recorded.
- Interrupted anywhere, a run is repeated: what has its new cost already is left as it is.

Costs are computed by the code that priced the rows on arrival (``records.pricing.stored``). Changes are
mutations that wait for nothing, on each shard, and are polled until every host that can be reached has
made them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from llmledgerd.errors import LlmledgerdError
from llmledgerd.query.repricing import Reprice, Repriced
from llmledgerd.records.pricing import Pricer, stored
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.price_updates import PLACE_KEY, Update, statements
from llmledgerd.stores.clickhouse.rollup import Rollup
from llmledgerd.stores.clickhouse.topology import DDL_SETTINGS

TABLE: Final = "llm_traces"
CHANGES: Final = "llm_price_changes"
CHANGE_COLUMNS: Final = (
    "at", "run", "step", "state", "by", "from_at", "to_at", "first_call_at", "last_call_at", "provider", "model",
    "price_list", "calls", "old_unknown", "new_unknown", "old_usd", "new_usd",
)  # fmt: skip
PAGE_ROWS: Final = 20_000
HOUR_US: Final = 3_600_000_000
POLL_SECONDS: Final = 0.05
LONGEST_POLL_SECONDS: Final = 2.0
FAILING_SECONDS: Final = 60.0
"""How long a mutation may fail before the run ends: the server tries it again by itself."""

_OURS: Final = (
    "created_at >= fromUnixTimestamp64Micro({start:Int64}) AND created_at < fromUnixTimestamp64Micro({end:Int64})"
    " AND cost_usd_source != 'provider'"
)
_COLUMNS: Final = ", ".join(
    (*stored.COLUMNS, "batch_id", "batch_row", "cost_usd", "cost_usd_source", "cost_reason", "cost_parts")
)

Key = tuple[int, str, int]
"""Where a page ended: created_at in microseconds, batch_id, batch_row."""
OnPage = Callable[[Repriced], None]


def windows(hours: Sequence[tuple[int, int]], wanted: Reprice) -> Iterator[tuple[int, int]]:
    """Yield ranges of whole hours, each up to the first hour that fills a page: few, and quick to sort.

    ``hours`` are the first microseconds of hours and their numbers of rows, ascending.
    """
    start, rows = 0, 0
    for hour, count in hours:
        start = start if rows else hour
        rows += count
        if rows >= PAGE_ROWS:
            yield max(start, wanted.from_us), min(hour + HOUR_US, wanted.to_us)
            rows = 0
    if rows:
        yield max(start, wanted.from_us), wanted.to_us


class Repricing:
    """One run over one store. Its methods block, and raise StoreBusy."""

    def __init__(self, store: Store, pricer: Pricer, wanted: Reprice, by: str) -> None:
        """``by`` is the user and the host of who asks, for the record."""
        self._store = store
        self._pricer = pricer
        self._wanted = wanted
        self._by = by
        self._done = Repriced(run=wanted.run or str(uuid.uuid4()))

    def run(self, on_page: OnPage = lambda done: None) -> Repriced:
        """Compute the costs of the range again, and change those that differ."""
        addresses = self._store.independent_addresses(TABLE)
        hours = {at: self._hours(at) for at in addresses}
        self._done.total = sum(count for found in hours.values() for _, count in found)
        for at in () if self._wanted.dry_run else addresses:
            self._pending(at)  # a user without the right to see it would not know when a change is made
        for at in addresses:
            for start, end in windows(hours[at], self._wanted):
                for page in self._pages(start, end, at):
                    self._reprice(page, at)
                    on_page(self._done)
        return self._done

    def _hours(self, at: int | None) -> list[tuple[int, int]]:
        """Return the hours that have rows, in microseconds since 1970, and how many each has."""
        rows = self._store.query(
            "SELECT toInt64(toUnixTimestamp(toStartOfHour(created_at))) * 1000000 AS hour, count() AS n"  # noqa: S608 - our own texts, values are bound
            f" FROM {TABLE} WHERE {_OURS} GROUP BY hour ORDER BY hour",
            {"start": self._wanted.from_us, "end": self._wanted.to_us},
            at=at,
        )
        return [(row["hour"], row["n"]) for row in rows]

    def _pages(self, start: int, end: int, at: int | None) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows of a window whose cost is ours to say, in an order that inserts do not disturb."""
        after: Key = (start, str(uuid.UUID(int=0)), 0)
        while True:
            page = self._store.query(
                f"SELECT toUnixTimestamp64Micro(created_at) AS created_us, {PLACE_KEY} AS place_key, {_COLUMNS}"  # noqa: S608 - as above
                f" FROM {TABLE} WHERE {_OURS} AND (toUnixTimestamp64Micro(created_at), batch_id, batch_row)"
                " >= ({start:Int64}, {batch:UUID}, {row:Int64})"
                " ORDER BY created_us, batch_id, batch_row LIMIT {limit:UInt32}",
                {
                    "start": after[0],
                    "end": end,
                    "batch": after[1],
                    "row": after[2],
                    "limit": PAGE_ROWS,
                },
                raw=["usage_json"],
                at=at,
            )
            if page:
                yield page
            if len(page) < PAGE_ROWS:
                return
            last = page[-1]
            after = (last["created_us"], str(last["batch_id"]), last["batch_row"] + 1)

    def _reprice(self, page: Sequence[dict[str, Any]], at: int | None) -> None:
        step, updates = Repriced(), list[Update]()
        for row in page:
            step.looked_at += 1
            if stored.is_emptied(row):
                step.erased += 1
                continue
            price = stored.price(self._pricer, row, row["created_us"])
            step.unpriced += price.usd is None and row["cost_usd"] is None
            if stored.is_same(price, row):
                continue
            step.changed += 1
            step.change(row["provider"], row["model"], price.price_list).add(row["cost_usd"], price.usd)
            place = str(row["batch_id"]), row["batch_row"], row["place_key"], row["created_us"]
            updates.append(Update(*place, price))
        if updates and not self._wanted.dry_run:
            self._apply(step, updates, at)
        step.run = self._done.run
        self._done.add_all(step)

    def _apply(self, step: Repriced, updates: Sequence[Update], at: int | None) -> None:
        hours = sorted({one.created_us // HOUR_US * 3600 for one in updates})
        number = str(uuid.uuid4())
        self._record("begun", number, step, updates, at)
        Rollup(self._store).doubt_hours("repriced", hours, at)
        place = self._store.placement(TABLE)
        settings = {"mutations_sync": 0, **(DDL_SETTINGS if place.cluster else {})}
        for statement, values in statements(updates, place.changed):
            self._store.run(statement, values, settings, at=at)
        self._wait(at)
        self._record("done", number, step, updates, at)

    def _record(
        self, state: str, number: str, step: Repriced, updates: Sequence[Update], at: int | None
    ) -> None:
        times = [one.created_us for one in updates]
        rows = [
            (
                time.time_ns() // 1000, self._done.run, number, state, self._by, self._wanted.from_us,
                self._wanted.to_us, min(times), max(times), one.provider, one.model, one.price_list, one.calls,
                one.old_unknown, one.new_unknown, one.old_usd, one.new_usd,
            )
            for one in step.models
        ]  # fmt: skip
        block = self._store.encode(CHANGES, CHANGE_COLUMNS, rows)
        self._store.insert_blocks(CHANGES, CHANGE_COLUMNS, [block], f"reprice:{number}:{state}", at=at)

    def _wait(self, at: int | None) -> None:
        """Wait until the table has no change to make. Raises LlmledgerdError for one that keeps failing."""
        pause, failing_since = POLL_SECONDS, 0.0
        while True:
            pending, why = self._pending(at)
            if not pending:
                return
            now = time.monotonic()
            failing_since = (failing_since or now) if why else 0.0
            if why and now - failing_since > FAILING_SECONDS:
                raise LlmledgerdError(
                    f"the store cannot change the rows; see system.mutations, KILL MUTATION ends it: {why}"
                )
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_POLL_SECONDS)

    def _pending(self, at: int | None) -> tuple[int, str]:
        """Return how many changes of the table are to be made yet, and why one of them fails."""
        place = self._store.placement(TABLE)
        source = (
            "clusterAllReplicas({cluster:String}, system.mutations)" if place.cluster else "system.mutations"
        )
        # A host that is down makes its changes when it is back; nobody waits for it.
        further = " SETTINGS skip_unavailable_shards = 1" if place.cluster else ""
        (row,) = self._store.query(
            f"SELECT count() AS n, max(latest_fail_reason) AS why FROM {source}"  # noqa: S608 - as above
            f" WHERE database = currentDatabase() AND table = {{table:String}} AND NOT is_done{further}",
            {"table": place.table, "cluster": place.cluster},
            at=at,
        )
        return int(row["n"]), str(row["why"])


def reprice(
    store: Store, pricer: Pricer, wanted: Reprice, by: str, on_page: OnPage = lambda done: None
) -> Repriced:
    """Compute the cost of the calls of a range again. Raises StoreBusy, LlmledgerdError."""
    return Repricing(store, pricer, wanted, by).run(on_page)
