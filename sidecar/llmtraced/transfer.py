"""Rows of one store into another: what a store that was named later is to have of before.

Invariant: a row is known by its place (``batch_id``, ``batch_row``) in both stores, and one that is there
is not stored again; so a transfer that was interrupted is run again, and takes up where it was. It goes
by hours of receipt, a few segments at a time, so that memory does not grow with what is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import xxhash

from llmtraced.destination import Destination
from llmtraced.rows import BYTES_COLUMNS, COLUMNS
from llmtraced.shipper import TRACES
from llmtraced.store import Store

HOUR_US = 3_600_000_000
GROUP_ROWS = 10_000
GROUP_BYTES = 16 << 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH_ID, BATCH_ROW = COLUMNS.index("batch_id"), COLUMNS.index("batch_row")

Row = tuple[object, ...]


class Part(msgspec.Struct, frozen=True):
    """What one segment has in an hour."""

    batch_id: str
    rows: int
    size: int
    """Bytes of its payloads."""


class Source(Protocol):
    """Gives rows out by segment. Times are of receipt, the later one exclusive."""

    def span(self, from_us: int, to_us: int) -> tuple[int, int] | None:
        """Return when the first and the last row of the time were received; None where there is none."""

    def parts(self, from_us: int, to_us: int) -> list[Part]:
        """Return what each segment has of the time, the oldest first."""

    def rows(self, batch_ids: Sequence[str], from_us: int, to_us: int) -> list[Row]:
        """Return rows with the values of COLUMNS, as the daemon makes them."""


class Copied(msgspec.Struct):
    """What was done."""

    looked_at: int = 0
    copied: int = 0
    repeated: int = 0
    """Rows whose id another row has, where ids are unique."""
    up_to_us: int = 0


def copy(
    source: Source,
    target: Destination,
    from_us: int,
    to_us: int,
    on_step: Callable[[Copied], None] = lambda done: None,
) -> Copied:
    """Store the rows received between two times that the target has not. Raises StoreBusy, BatchRejected."""
    done = Copied()
    first, last = source.span(from_us, to_us) or (0, -1)
    for start in range(first, last + 1, HOUR_US):
        end = min(start + HOUR_US, last + 1)
        for group in _groups(source.parts(start, end)):
            rows = source.rows([part.batch_id for part in group], start, end)
            done.looked_at += len(rows)
            _store_missing(target, [part.batch_id for part in group], rows, (start, end), done)
            done.up_to_us = end
            on_step(done)
    return done


def _store_missing(
    target: Destination, batches: Sequence[str], rows: Sequence[Row], span: tuple[int, int], done: Copied
) -> None:
    there = {batch: target.landed_rows(TRACES, batch, *span) for batch in batches}
    missing = [row for row in rows if row[BATCH_ROW] not in there[str(row[BATCH_ID])]]
    if missing:
        block = target.encode(TRACES, COLUMNS, missing)
        repeated = target.insert_blocks(TRACES, COLUMNS, [block], _token(missing))
        done.repeated += len(repeated)
        done.copied += len(missing) - len(repeated)


def _token(rows: Iterable[Row]) -> str:
    places = sorted(f"{row[BATCH_ID]}:{row[BATCH_ROW]}" for row in rows)
    return f"copy:{xxhash.xxh3_128_hexdigest(' '.join(places).encode())}"


def _groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield segments together, as many as make one insert."""
    group: list[Part] = []
    rows = size = 0
    for part in parts:
        if group and (rows + part.rows > GROUP_ROWS or size + part.size > GROUP_BYTES):
            yield group
            group, rows, size = [], 0, 0
        group.append(part)
        rows, size = rows + part.rows, size + part.size
    if group:
        yield group


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


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def as_made(row: dict[str, Any]) -> Row:
    """Return a row that was read as the daemon made it: times in microseconds, flags as numbers."""
    return tuple(_as_made(name, row[name]) for name in COLUMNS)


def _as_made(name: str, value: Any) -> object:
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, bool):
        return int(value)
    if name == "batch_id":
        return str(value)
    return value.encode() if name in BYTES_COLUMNS and isinstance(value, str) else value
