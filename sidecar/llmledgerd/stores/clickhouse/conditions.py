"""Conditions of a query and their bound values. Pure.

Invariant: no value of a caller becomes SQL. Values are bound by the engine; names come from fixed
tables.
"""

from __future__ import annotations

from datetime import datetime

from llmledgerd.query.filters import OF_LISTS
from llmledgerd.query.requests import Narrowed
from llmledgerd.records.timestamps import microseconds


class Where:
    """Conditions over a table that the query calls ``t``."""

    def __init__(self, organization_id: str | None) -> None:
        """``None`` is every organization; an empty text is rows without one."""
        self.conditions: list[str] = []
        self.values: dict[str, object] = {}
        self.equal("organization_id", organization_id)

    @classmethod
    def near(cls, organization_id: str | None) -> Where:
        """Return conditions that skip what the index says has no row of the organization; others' rows may be left.

        The texts are not read, which takes five times what a number takes. It is for statements that compare
        hashes, which are an organization's own.
        """
        where = cls(None)
        where.add(
            "indexHint(t.organization_id = {organization_id:String})",
            organization_id=organization_id,
        )
        return where

    def add(self, condition: str, **values: object) -> None:
        """Add one condition whose placeholders are the names of ``values``; None leaves it out."""
        if all(value is not None for value in values.values()):
            self.conditions.append(condition)
            self.values.update(values)

    def equal(self, column: str, value: str | None) -> None:
        """Keep rows whose column is this text. ``column`` is a name of our own."""
        self.add(f"t.{column} = {{{column}:String}}", **{column: value})

    def narrow(self, question: Narrowed) -> None:
        """Keep what the question narrows to, but for its times."""
        for column, one in OF_LISTS.items():
            value = getattr(question, column, None)
            if one.is_list:
                self.add(f"has(t.{column}, {{{column}:String}})", **{column: value})
            else:
                self.equal(column, value)

    def between(self, start: datetime | None, end: datetime | None) -> None:
        """Keep calls that started at ``start`` or later and before ``end``."""
        self.add("t.created_at >= fromUnixTimestamp64Micro({start:Int64})", start=microseconds(start))
        self.add("t.created_at < fromUnixTimestamp64Micro({end:Int64})", end=microseconds(end))

    def copy(self) -> Where:
        """Return the same conditions, to which others can be added."""
        other = Where(None)
        other.conditions, other.values = [*self.conditions], {**self.values}
        return other

    def __str__(self) -> str:
        return " AND ".join(self.conditions) or "1"
