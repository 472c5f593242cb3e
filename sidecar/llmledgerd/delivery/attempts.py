"""When to try again, and with which rows. Pure: the caller brings clock, dice and store.

Invariant: no row is offered again while it may have landed, unless the table was asked first;
no row is given up unless it was refused alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import msgspec
import xxhash

from llmledgerd.errors import BatchRejected, StoreBusy


class Ask(msgspec.Struct, frozen=True):
    """Ask the table which rows of the batch it has, and answer by ``Delivery.landed``."""


class Insert(msgspec.Struct, frozen=True):
    """Insert these rows in one block under this token."""

    rows: list[int]
    token: str


class Reject(msgspec.Struct, frozen=True):
    """Write down that this row becomes a dead letter, then say ``Delivery.row_rejected``."""

    row: int
    code: int
    message: str


class Wait(msgspec.Struct, frozen=True):
    """Wait, say ``Delivery.waited``, and ask again: no answer has shown yet that rows are missing."""


class Part(msgspec.Struct):
    """Rows that are offered together, under the token of those that were when the part was made."""

    rows: list[int]
    token: str
    is_rest: bool = False
    """Others of the token's rows have landed: an answer may mean that these were taken for a repeat."""
    is_cleared: bool = False
    """None of the rows can be stored under another token."""


class Delivery:
    """One batch on its way into one table, from the first attempt to the last row decided.

    What a store commits at once is a partition's or a shard's share of a block, and each share knows
    the token. So where one share has landed, the rest is offered under the token of the whole: should
    the first attempt still be running there, the two are one. Then the table is asked again, and what
    is missing even now goes under a token of its own.
    """

    def __init__(self, batch: str, rows: Iterable[int], *, uncertain: bool) -> None:
        """``uncertain``: some of the rows may be in the table already."""
        self._batch = batch
        self._parts = [self._part(list(rows))]
        self._parts[0].is_cleared = not uncertain  # an earlier process may have got further
        self._uncertain = uncertain
        self._is_whole = True
        self._refusal = BatchRejected(0, "")
        self._rejected_row: int | None = None
        self.found: set[int] = set()
        """Rows that an earlier attempt had stored although nobody heard of it."""

    def next(self) -> Ask | Insert | Reject | Wait | None:
        """Return what to do now; None when every row is stored or rejected."""
        if self._rejected_row is not None and not self._uncertain:
            if not self._is_whole:
                return Wait()
            return Reject(self._rejected_row, self._refusal.code, str(self._refusal))
        while self._parts and not self._parts[-1].rows:
            self._parts.pop()
        if self._uncertain and (self._parts or self._rejected_row is not None):
            return Ask()
        if not self._parts:
            return None
        if not self._parts[-1].is_cleared:
            return Wait()
        return Insert(self._parts[-1].rows, self._parts[-1].token)

    def waited(self) -> None:
        """Ask again."""
        self._uncertain = True

    def landed(self, rows: set[int], *, is_whole: bool = True) -> None:
        """The table has these rows of the batch, and of those still to do no others if the answer is whole."""
        self._uncertain = False
        self._is_whole = is_whole
        if self._rejected_row in rows:  # its refusal came after the commit, from a view behind the table
            self.found.add(self._rejected_row)
            self._rejected_row = None
        for part in self._parts:
            here = rows.intersection(part.rows)
            self.found |= here
            part.rows = [row for row in part.rows if row not in here]
            part.is_rest = part.is_rest or bool(here)
            part.is_cleared = part.is_cleared or is_whole

    def inserted(self) -> None:
        part = self._parts.pop()
        if part.is_rest:
            self._parts.append(self._part(part.rows))
            self._uncertain = True

    def busy(self, error: StoreBusy) -> None:
        """Offer the same rows again, later. Only where no byte was sent is it known that none landed.

        A server's own error is no proof either: a materialized view that fails does so after its
        source has committed.
        """
        # What was uncertain before stays so: that the store cannot be reached now says nothing of it.
        self._uncertain = self._uncertain or error.kind != "unreachable"

    def rejected(self, error: BatchRejected) -> None:
        """Halve the part to find the row at fault; a part of one row is that row."""
        rows = self._parts.pop().rows
        self._refusal = error
        self._uncertain = True
        if len(rows) == 1:
            self._rejected_row = rows[0]
            return
        middle = len(rows) // 2
        self._parts += [self._part(rows[middle:]), self._part(rows[:middle])]

    def row_rejected(self) -> None:
        self._rejected_row = None

    def _part(self, rows: list[int]) -> Part:
        return Part(rows, token(self._batch, rows) if rows else "")


def token(batch: str, rows: list[int]) -> str:
    """Return the deduplication token of some rows of a batch: equal rows, equal token, and no others."""
    if rows[-1] - rows[0] + 1 == len(rows):
        return f"{batch}:{rows[0]}-{rows[-1]}"
    return f"{batch}:{xxhash.xxh3_64_hexdigest(array('Q', rows).tobytes())}"
