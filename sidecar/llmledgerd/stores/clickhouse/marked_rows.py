"""Calls with one ``source``: those that ``llmledger demo`` generates.

Invariant: nothing here changes or deletes a call with another ``source``, and the hours of deleted calls
are in doubt before they go, so that no reader sees a rollup that disagrees with the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llmledgerd.records.schema import COLUMNS, TRACES, Row
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.rollup import Rollup

_OURS: Final = "source = {source:String}"


class ClickHouseMarkedRows:
    """The calls with one ``source``, as ``kind.MarkedRows``."""

    def __init__(self, store: Store, source: str) -> None:
        self._store = store
        self._parameters = {"source": source}

    def are_alone(self) -> bool:
        return not self._store.query(
            f"SELECT 1 AS found FROM llm_traces WHERE NOT {_OURS} LIMIT 1",  # noqa: S608 - a fixed fragment, values are bound
            self._parameters,
        )

    def insert(self, rows: Sequence[Row], batch_id: str) -> None:
        self._store.insert(TRACES, COLUMNS, rows, token=batch_id)

    def delete(self) -> int:
        if not self._store.columns(TRACES):
            return 0
        (found,) = self._store.query(
            f"SELECT count() AS calls FROM llm_traces WHERE {_OURS}",  # noqa: S608 - as above
            self._parameters,
        )
        if found["calls"]:
            Rollup(self._store).doubt_rows("rows_deleted", _OURS, self._parameters)
            table = self._store.placement(TRACES).changed
            self._store.run(f"DELETE FROM {table} WHERE {_OURS}", self._parameters)  # noqa: S608 - as above
        return int(found["calls"])
