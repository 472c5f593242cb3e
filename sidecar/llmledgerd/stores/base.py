"""Interface of a store to the shipper.

Invariant: these methods block, and raise nothing but StoreBusy (retry later), OutcomeUnknown (query the
store first) and BatchRejected (the rows are invalid). Tables and columns are named as those of
``llm_traces`` and ``llm_trace_losses``, whatever names the store uses.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from llmledgerd.records.repeats import Call
    from llmledgerd.records.schema import Row
    from llmledgerd.records.twice_told import Told
    from llmledgerd.stores.receipt_window import StoreClock


Buffer = bytes | bytearray | memoryview
"""A part of an encoded block."""


class Destination(Protocol):
    """Inserts rows, and reports which of them are stored."""

    def encode(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> bytes | bytearray:
        """Return the rows as a block for ``insert_blocks``. Raises BatchRejected for a value that its column cannot hold."""

    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[Buffer], token: str
    ) -> set[int]:
        """Store all of the blocks or none under the deduplication token; return after they are durable.

        Returns the ``batch_row`` of rows left out because another row has their id, in stores with
        unique ids. A repeat with the same rows returns the same result.
        """

    def clock(self) -> StoreClock:
        """Return the time of the clock that expires rows, and their retention."""

    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]:
        """Return the stored ``batch_row`` of a batch that was received between the two times."""

    def calls_present(self, calls: Collection[Call], from_us: int, to_us: int, *, besides: str) -> set[Call]:
        """Return which calls that started between the two times are stored with their record.

        Rows of the batch ``besides`` do not count.
        """

    def calls_abandoned(self, calls: Collection[Call], from_us: int, to_us: int) -> set[Call]:
        """Return which calls that started between the two times have a row that stands for them, and is to be deleted.

        Stores whose inserts delete such rows return none.
        """

    def records_of(self, spans: Collection[Told], *, besides: str) -> list[Told]:
        """Return stored records that may tell of the calls of these spans; those of the batch ``besides`` do not count."""

    def delete_abandoned(self, calls: Sequence[Call]) -> None:
        """Delete the rows that stand for these calls without their records."""


class Doubts(Protocol):
    """Records hours whose rollup may differ from the rows."""

    def doubt_batch(self, batch_id: str, from_us: int, to_us: int) -> None: ...
    def doubt_abandoned(self, ids: Sequence[str]) -> None: ...


class NoDoubts:
    """Does nothing, for stores without a rollup."""

    def doubt_batch(self, batch_id: str, from_us: int, to_us: int) -> None: ...

    def doubt_abandoned(self, ids: Sequence[str]) -> None: ...


class Part(msgspec.Struct, frozen=True):
    """Rows of one segment received in a time range."""

    batch_id: str
    rows: int
    size: int
    """Bytes of their payloads."""


class Source(Protocol):
    """Reads stored rows by segment. Times are times of receipt; the end is exclusive."""

    def span(self, from_us: int, to_us: int) -> tuple[int, int] | None:
        """Return the times of the first and the last row in the range; None without rows."""

    def count(self, from_us: int, to_us: int) -> int:
        """Return how many rows were received in the time."""

    def parts(self, from_us: int, to_us: int) -> list[Part]:
        """Return the part of each segment in the range, oldest first."""

    def rows(self, batch_ids: Sequence[str], from_us: int, to_us: int) -> list[Row]:
        """Return rows with the values of COLUMNS, of the types that the daemon inserts."""
