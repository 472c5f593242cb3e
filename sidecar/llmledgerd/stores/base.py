"""Interface of a store to the shipper.

Invariant: these methods block, and raise StoreBusy (time acts), OutcomeUnknown (ask first) or
BatchRejected (the rows are at fault), and nothing else. Tables and columns are ``llm_traces``'s and
``llm_trace_losses``'s, whatever the store calls its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from llmledgerd.records.repeats import Call
from llmledgerd.records.schema import Row
from llmledgerd.stores.receipt_window import StoreClock

Buffer = bytes | bytearray | memoryview
"""A part of an encoded block."""


class Destination(Protocol):
    """Takes rows, and says which of them it has."""

    def encode(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> bytes | bytearray:
        """Return the rows as a block for ``insert_blocks``. Raises BatchRejected for a value that no column holds."""

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        """Store all of the blocks or none, under the token; return when they are as safe as they will be.

        Returns which ``batch_row`` were left out because another row has their id, in stores whose
        ids are unique: the same ones however often the same rows are offered.
        """

    def clock(self) -> StoreClock:
        """Return what the time is where rows expire, and how long they are kept."""

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        """Return which ``batch_row`` of a batch received between the two times is stored."""

    def calls_present(self, calls: Collection[Call], from_us: int, to_us: int, *, besides: str) -> set[Call]:
        """Return which calls that started between the two times are stored with their record.

        Rows of the batch ``besides`` do not count.
        """

    def delete_abandoned(self, ids: Sequence[str]) -> None:
        """Delete the rows that stand for these calls without their records."""


class Doubts(Protocol):
    """Hears of it where the rollup may not have what the table has."""

    def doubt_batch(self, batch_id: str, from_us: int, to_us: int) -> None: ...
    def doubt_abandoned(self, ids: Sequence[str]) -> None: ...


class NoDoubts:
    """Of a store that sums nothing up."""

    def doubt_batch(self, batch_id: str, from_us: int, to_us: int) -> None: ...

    def doubt_abandoned(self, ids: Sequence[str]) -> None: ...


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

    def count(self, from_us: int, to_us: int) -> int:
        """Return how many rows were received in the time."""

    def parts(self, from_us: int, to_us: int) -> list[Part]:
        """Return what each segment has of the time, the oldest first."""

    def rows(self, batch_ids: Sequence[str], from_us: int, to_us: int) -> list[Row]:
        """Return rows with the values of COLUMNS, as the daemon makes them."""
