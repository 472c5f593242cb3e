"""Rows become encoded blocks as they come.

Invariant: a segment is in memory once and not three times: of the rows that are not encoded yet there
is less than a block. A row that its columns cannot hold costs itself and none of its neighbors.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final

from llmledgerd.delivery.faults import NOT_OF_A_LINE, described
from llmledgerd.errors import BatchRejected
from llmledgerd.records.schema import COLUMNS, Row
from llmledgerd.stores.base import Buffer

BLOCK_BYTES: Final = 1 << 20
"""Lines are encoded when so many bytes of them are read: small beside a segment, large beside a block's
own cost of some 2 KB."""

Encode = Callable[[Sequence[Row]], Buffer | list[Buffer]]
"""To a block, or to the pieces of one."""

_CREATED_AT: Final = COLUMNS.index("created_at")
_BATCH_ROW: Final = COLUMNS.index("batch_row")
_started_us: Final[Callable[[Row], int]] = itemgetter(_CREATED_AT)


class Rows:
    """The rows of one batch."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._waiting: list[Row] = []
        self._size = 0
        self.blocks: list[Buffer] = []
        self.started_us = array("q")
        self.refused: dict[int, str] = {}
        """Rows that their columns cannot hold, and why."""
        self.failed: dict[int, str] = {}
        """Rows that encoding fails at for another reason."""

    def add(self, row: Row, size: int) -> None:
        if size >= BLOCK_BYTES:  # a block of its own: nothing else is held up by its memory
            self.close()
        self._waiting.append(row)
        self._size += size
        if self._size >= BLOCK_BYTES:
            self.close()

    def close(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        self.started_us.extend(map(_started_us, waiting))
        try:
            if waiting:
                self._put(self._encode(waiting))
        except BatchRejected:
            for row in waiting:
                self._alone(row)
        except NOT_OF_A_LINE:
            raise
        except Exception:  # noqa: BLE001 - nobody foresaw it, and one of the rows is the cause
            for row in waiting:
                self._alone(row)

    def _alone(self, row: Row) -> None:
        try:
            self._put(self._encode([row]))
        except BatchRejected as error:
            self.refused[row[_BATCH_ROW]] = str(error)
        except NOT_OF_A_LINE:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self.failed[row[_BATCH_ROW]] = described(error)

    def _put(self, block: Buffer | list[Buffer]) -> None:
        if isinstance(block, list):
            self.blocks += block
        else:
            self.blocks.append(block)
