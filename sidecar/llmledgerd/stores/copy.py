"""Copy of rows from one store to another, for a store that was added later.

Invariant: a row has the same key (``batch_id``, ``batch_row``) in both stores, and a row that the target
has is not stored again. A row that the target refuses is counted, and costs no other row. So an interrupted copy can be run again and continues. It proceeds by hours of
receipt and a few segments at a time, so that its memory does not depend on the amount of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import xxhash

from llmledgerd.errors import BatchRejected
from llmledgerd.records.schema import COLUMNS, TRACES
from llmledgerd.stores.base import Destination, Part, Source

HOUR_US = 3_600_000_000
GROUP_ROWS = 10_000
GROUP_BYTES = 16 << 20
BATCH_ID, BATCH_ROW = COLUMNS.index("batch_id"), COLUMNS.index("batch_row")

Row = tuple[object, ...]


class Copied(msgspec.Struct):
    """Counts of a copy."""

    looked_at: int = 0
    copied: int = 0
    repeated: int = 0
    """Rows left out because another row has their id, in stores with unique ids."""
    refused: dict[str, int] = {}
    """Rows that the target refused, by its reason."""


def copy(
    source: Source,
    target: Destination,
    from_us: int,
    to_us: int,
    on_step: Callable[[Copied], None] = lambda done: None,
) -> Copied:
    """Copy the rows received between two times that the target lacks. Raises StoreBusy."""
    done = Copied()
    first, last = source.span(from_us, to_us) or (0, -1)
    for start in range(first, last + 1, HOUR_US):
        end = min(start + HOUR_US, last + 1)
        for group in _groups(source.parts(start, end)):
            rows = source.rows([part.batch_id for part in group], start, end)
            done.looked_at += len(rows)
            _store_missing(target, [part.batch_id for part in group], rows, (start, end), done)
            on_step(done)
    return done


def _store_missing(
    target: Destination, batches: Sequence[str], rows: Sequence[Row], span: tuple[int, int], done: Copied
) -> None:
    there = {batch: target.landed_rows(TRACES, batch, *span) for batch in batches}
    missing = [row for row in rows if row[BATCH_ROW] not in there[str(row[BATCH_ID])]]
    if missing:
        _store(target, missing, done)


def _store(target: Destination, rows: Sequence[Row], done: Copied) -> None:
    """Store rows; what is refused is halved, down to the rows at fault."""
    try:
        block = target.encode(TRACES, COLUMNS, rows)
        repeated = target.insert_blocks(TRACES, COLUMNS, [block], _token(rows))
    except BatchRejected as error:
        if len(rows) == 1:
            reason = f"code {error.code}" if error.code else str(error)
            done.refused[reason] = done.refused.get(reason, 0) + 1
            return
        middle = len(rows) // 2
        _store(target, rows[:middle], done)
        _store(target, rows[middle:], done)
    else:
        done.repeated += len(repeated)
        done.copied += len(rows) - len(repeated)


def _token(rows: Iterable[Row]) -> str:
    places = sorted(f"{row[BATCH_ID]}:{row[BATCH_ROW]}" for row in rows)
    return f"copy:{xxhash.xxh3_128_hexdigest(' '.join(places).encode())}"


def _groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield groups of segments; each group is one insert."""
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
