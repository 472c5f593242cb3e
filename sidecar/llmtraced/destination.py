"""What the shipper needs of a store, as narrow as it can be.

Invariant: these methods block, and raise StoreBusy (time acts), OutcomeUnknown (ask first) or
BatchRejected (the rows are at fault), and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

STATEMENT_SECONDS = 600
"""How long one statement may take at all; the store ends it then."""


class Destination(Protocol):
    """Takes rows, and says which of them it has."""

    def encode(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> bytes | bytearray: ...
    def insert_blocks(
        self, table: str, columns: Sequence[str], blocks: Sequence[bytes | bytearray], token: str
    ) -> None: ...
    def landed_rows(self, table: str, batch_id: str, from_us: int, to_us: int) -> set[int]: ...
    def ids_present(self, ids: Sequence[str], from_us: int, to_us: int) -> set[str]: ...
    def delete_abandoned(self, ids: Sequence[str]) -> None: ...


class Doubts(Protocol):
    """Hears of it where the rollup may not have what the table has."""

    def doubt_batch(self, batch_id: str, from_us: int, to_us: int) -> None: ...
    def doubt_abandoned(self, ids: Sequence[str]) -> None: ...
