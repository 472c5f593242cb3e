"""Rows for a store without a record behind them: plausible where named, empty elsewhere."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence

from llmledgerd.records.schema import COMPUTED
from llmledgerd.stores.clickhouse.client import Store

PAYLOADS = {"request_json", "response_json", "llm_config_json", "compaction_settings_json", "usage_json"}


def trace_rows(
    store: Store, given: Sequence[Mapping[str, object]]
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return the columns of ``llm_traces`` and one row for each mapping, ready for ``Store.insert``."""
    computed = {one.name for one in COMPUTED}
    types = {name: kind for name, kind in store.columns("llm_traces").items() if name not in computed}
    now = time.time_ns() // 1000
    batch = str(uuid.uuid4())
    rows = []
    for number, values in enumerate(given):
        own = {"id": str(uuid.uuid4()), "batch_id": batch, "batch_row": number, **values}
        rows.append(tuple(own.get(name, _empty(name, kind, now)) for name, kind in types.items()))
    return tuple(types), rows


def _empty(name: str, kind: str, now: int) -> object:
    if name in PAYLOADS:
        return b""
    if kind.startswith("DateTime64"):
        return now
    if kind.startswith("Nullable"):
        return None
    if kind.startswith("Array"):
        return []
    if kind.startswith("Map"):
        return {}
    return "" if "String" in kind else 0


def add_traces(store: Store, given: Sequence[Mapping[str, object]]) -> None:
    """Insert one row for each mapping."""
    columns, rows = trace_rows(store, given)
    store.insert("llm_traces", columns, rows, token=str(uuid.uuid4()))


def replaced(url: str) -> list[str]:
    """Return the calls that have an abandoned row beside their record's: such a row goes within a time."""
    with contextlib.closing(Store(url)) as store:
        found = store.query(
            "SELECT id FROM llm_traces GROUP BY id HAVING countIf(outcome = 'abandoned') BETWEEN 1 AND count() - 1"
        )
    return [row["id"] for row in found]
