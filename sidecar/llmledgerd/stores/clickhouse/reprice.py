"""Recomputation of the cost of stored rows.

Invariant: only cost columns change, and only where the new cost differs; a cost that a provider
reported stays. The hours that a change touches are in doubt before it is made, so that no reader
sees a rollup that has parted from its rows. Interrupted, it is run again.

Costs are computed from ``usage_json``, ``service_tier`` and ``is_batch``, at the list price of the day
of the call, by the same code that priced the rows when they came. New ones travel to the server in a
table of their own (an engine that ``joinGet`` looks up), so that one mutation changes them all.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

from llmledgerd.errors import ConfigError
from llmledgerd.records.pricing import PricedCall, Pricer
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.rollup import Rollup
from llmledgerd.stores.kind import Repriced
from llmledgerd.usage import read_usage

PAGE_ROWS = 20_000
COLUMNS = ("batch_id", "batch_row", "cost_usd", "cost_usd_source")

Key = tuple[int, str, int]
"""Key of the last row of a page: created_at in microseconds, batch_id, batch_row."""


def reprice(
    store: Store,
    pricer: Pricer,
    start_us: int,
    end_us: int,
    on_page: Callable[[Repriced], None] = lambda done: None,
) -> Repriced:
    """Compute the cost of the calls that started between two times again. Raises StoreBusy.

    ``end_us`` is exclusive; both are microseconds since 1970. Raises ConfigError for several servers
    and for replicas, since the table that is looked up would have to be on each.
    """
    if store.placement("llm_traces").is_replicated:
        raise ConfigError("reprice does not support replicated tables")
    if len(store.independent_addresses("llm_traces")) > 1:
        raise ConfigError("reprice supports a single server: use a URL with one address")
    done = Repriced()
    table = f"llmledger_reprice_{uuid.uuid4().hex}"
    store.run(
        f"CREATE TABLE {table} (batch_id UUID, batch_row UInt32, cost_usd Nullable(Decimal(18, 9)),"
        " cost_usd_source String) ENGINE = Join(ANY, LEFT, batch_id, batch_row)"
    )
    try:
        for page in _pages(store, start_us, end_us):
            changes = list(_changes(page, pricer, done))
            done.looked_at += len(page)
            if changes:
                store.insert(table, COLUMNS, changes, token=str(uuid.uuid4()))
                done.changed += len(changes)
            on_page(done)
        if done.changed:
            _apply(store, table, {"start": start_us, "end": end_us})
    finally:
        store.run(f"DROP TABLE {table}")
    return done


def _changes(page: list[dict[str, Any]], pricer: Pricer, done: Repriced) -> Iterator[tuple[object, ...]]:
    for row in page:
        facts = read_usage(row["usage_json"])
        facts.model, facts.service_tier = row["model"], row["service_tier"]
        facts.is_batch, facts.usage_source = bool(row["is_batch"]), row["usage_source"]
        call = PricedCall(row["provider"], row["model"], row["url"], row["created_us"])
        price = pricer.price(facts, call)
        done.unknown += price.usd is None and row["usage_source"] != "unknown"
        if (price.usd, price.source) != (row["cost_usd"], row["cost_usd_source"]):
            yield str(row["batch_id"]), row["batch_row"], price.usd, price.source


def _pages(store: Store, start_us: int, end_us: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of the range whose cost is ours to say, in an order that inserts do not disturb."""
    after: Key = (start_us, str(uuid.UUID(int=0)), 0)
    while True:
        page = store.query(
            "SELECT batch_id, batch_row, toUnixTimestamp64Micro(created_at) AS created_us, provider, model, url,"
            " service_tier, is_batch, usage_json, usage_source, cost_usd, cost_usd_source FROM llm_traces"
            " WHERE created_at >= fromUnixTimestamp64Micro({start:Int64})"
            " AND created_at < fromUnixTimestamp64Micro({end:Int64}) AND cost_usd_source != 'provider'"
            " AND (toUnixTimestamp64Micro(created_at), batch_id, batch_row)"
            " > ({start:Int64}, {batch:UUID}, {row:UInt32})"
            " ORDER BY created_us, batch_id, batch_row LIMIT {limit:UInt32}",
            {"start": after[0], "end": end_us, "batch": after[1], "row": after[2], "limit": PAGE_ROWS},
            raw=["usage_json"],
        )
        if page:
            yield page
        if len(page) < PAGE_ROWS:
            return
        last = page[-1]
        after = (last["created_us"], str(last["batch_id"]), last["batch_row"])


def _apply(store: Store, table: str, bounds: dict[str, int]) -> None:
    # Named with its database, because a mutation runs in none.
    full_name = f"{store.query('SELECT currentDatabase() AS name')[0]['name']}.{table}"
    chosen = (
        "created_at >= fromUnixTimestamp64Micro({start:Int64})"  # noqa: S608 - our own table's name, values are bound
        " AND created_at < fromUnixTimestamp64Micro({end:Int64})"
        f" AND (batch_id, batch_row) IN (SELECT batch_id, batch_row FROM {full_name})"
    )
    Rollup(store).doubt_rows("repriced", chosen, bounds)
    store.run(
        "ALTER TABLE llm_traces UPDATE"
        f" cost_usd = joinGet('{full_name}', 'cost_usd', batch_id, batch_row),"
        f" cost_usd_source = joinGet('{full_name}', 'cost_usd_source', batch_id, batch_row)"
        f" WHERE {chosen}",
        bounds,
        {"mutations_sync": 2},
    )
