"""Rows of ``llm_traces`` read back whole, segment by segment, to be copied into another store."""

from __future__ import annotations

from collections.abc import Sequence

from llmledgerd.records.schema import BYTES_COLUMNS, COLUMNS, Row
from llmledgerd.records.stored_rows import as_made
from llmledgerd.stores.base import Part
from llmledgerd.stores.clickhouse.client import Store


class ClickHouseSource:
    """Rows of ``llm_traces``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def span(self, from_us: int, to_us: int) -> tuple[int, int] | None:
        (found,) = self._store.query(
            "SELECT count() AS n, toUnixTimestamp64Micro(min(ingested_at)) AS first,"
            " toUnixTimestamp64Micro(max(ingested_at)) AS last FROM llm_traces"
            " WHERE ingested_at >= fromUnixTimestamp64Micro({start:Int64})"
            " AND ingested_at < fromUnixTimestamp64Micro({end:Int64})",
            {"start": from_us, "end": to_us},
        )
        return (found["first"], found["last"]) if found["n"] else None

    def count(self, from_us: int, to_us: int) -> int:
        (found,) = self._store.query(
            "SELECT count() AS n FROM llm_traces WHERE ingested_at >= fromUnixTimestamp64Micro({start:Int64})"
            " AND ingested_at < fromUnixTimestamp64Micro({end:Int64})",
            {"start": from_us, "end": to_us},
        )
        return int(found["n"])

    def parts(self, from_us: int, to_us: int) -> list[Part]:
        rows = self._store.query(
            "SELECT batch_id, count() AS rows, sum(request_size_bytes + response_size_bytes) AS size"
            " FROM llm_traces WHERE ingested_at >= fromUnixTimestamp64Micro({start:Int64})"
            " AND ingested_at < fromUnixTimestamp64Micro({end:Int64}) GROUP BY batch_id ORDER BY min(ingested_at)",
            {"start": from_us, "end": to_us},
        )
        return [Part(str(row["batch_id"]), row["rows"], row["size"]) for row in rows]

    def rows(self, batch_ids: Sequence[str], from_us: int, to_us: int) -> list[Row]:
        rows = self._store.query(
            f"SELECT {', '.join(COLUMNS)} FROM llm_traces WHERE batch_id IN {{batches:Array(UUID)}}"  # noqa: S608 - our own names, values are bound
            " AND ingested_at >= fromUnixTimestamp64Micro({start:Int64})"
            " AND ingested_at < fromUnixTimestamp64Micro({end:Int64}) ORDER BY batch_id, batch_row",
            {"batches": list(batch_ids), "start": from_us, "end": to_us},
            raw=BYTES_COLUMNS,
        )
        return [as_made(row) for row in rows]
