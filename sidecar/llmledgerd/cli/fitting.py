"""Fitting of a table's columns into a terminal's width. Pure.

Invariants:
- A column of rank 0 is never left out; a text in it is folded, never cut.
- A number or an amount is never cut: it is shown in full or in a shorter form, such as ``12.3M``.
- Where columns do not fit, those of the highest rank are left out first.
- In a width without limit, every column is shown in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final

import msgspec
from rich.cells import cell_len, set_cell_size

GAP: Final = 2
"""Spaces between columns."""

SHORTEST_ID: Final = 8
"""Characters of the shortest form of an id."""

EASY_READING: Final = 24
"""Width of a text above which ids, times and numbers are shown in full only if it fits too."""

UNFOLDED: Final = 28
"""Width below which a text of rank 0 is folded only when all columns above LEAST_FOLDED are left out."""

LEAST_FOLDED: Final = 2

ROOMY: Final = 14
"""Width below which a text is cut only when all columns above LEAST_CUT are left out."""

LEAST_CUT: Final = 4

UNITS: Final = ("", "K", "M", "B", "T")


class Column(msgspec.Struct, kw_only=True):
    """One column, and how it may be made narrower."""

    name: str
    cells: list[str]
    rank: int = 0
    """Columns of a higher rank are left out first; 0 is always shown."""
    short: list[str] | None = None
    """Shorter form of the cells."""
    shortened: int = 0
    """Order in which short forms are used: ids (1) before times (2) before numbers (3)."""
    narrowest: int | None = None
    """Width to which a text can be cut or folded; None if it cannot."""
    is_right: bool = False
    style: str = ""

    def width(self) -> int:
        """Return the width of the widest cell or the name."""
        return max(map(cell_len, [self.name, *self.cells]))


class Fitted(msgspec.Struct, frozen=True):
    """A column as it is shown, and its width."""

    column: Column
    width: int


def fit(columns: Sequence[Column], width: int) -> list[Fitted]:
    """Return the columns to show within ``width``, in their order."""
    shown = list(columns)
    while True:
        found = _formed(shown, width)
        if found is not None:
            return _spread(found, width)
        last = max(shown, key=lambda column: column.rank)
        if last.rank == 0:
            return _spread(_short(shown, 3), width)
        shown.remove(last)


def _formed(columns: Sequence[Column], width: int) -> list[Column] | None:
    """Return the columns in the fullest forms that fit; None if not even the shortest do."""
    for level in range(4):
        found = _short(columns, level)
        if _total([_easy(column) for column in found]) <= width:
            return found
    found = _short(columns, 3)
    last = max((column.rank for column in columns), default=0)
    folded = UNFOLDED if last > LEAST_FOLDED else 0
    cut = ROOMY if last > LEAST_CUT else 0
    least = [_least(column, cut if column.rank else folded) for column in found]
    return found if _total(least) <= width else None


def _short(columns: Sequence[Column], level: int) -> list[Column]:
    return [
        msgspec.structs.replace(column, cells=column.short)
        if column.short is not None and column.shortened <= level
        else column
        for column in columns
    ]


def _easy(column: Column) -> int:
    if column.narrowest is None:
        return column.width()
    return min(column.width(), EASY_READING if column.rank else UNFOLDED)


def _least(column: Column, wanted: int = 0) -> int:
    if column.narrowest is None:
        return column.width()
    return min(column.width(), max(column.narrowest, wanted, cell_len(column.name)))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _spread(columns: Sequence[Column], width: int) -> list[Fitted]:
    """Take what is too much from the widest texts; cut their cells, or leave them to be folded (rank 0)."""
    widths = [column.width() for column in columns]
    least = [_least(column) for column in columns]
    excess = _total(widths) - width
    while excess > 0:
        loose = [place for place, column in enumerate(columns) if widths[place] > least[place]]
        if not loose:
            break
        widest = max(loose, key=lambda place: widths[place])
        widths[widest] -= 1
        excess -= 1
    return [
        Fitted(column if column.rank == 0 else _cut(column, size), size)
        for column, size in zip(columns, widths, strict=True)
    ]


def _cut(column: Column, width: int) -> Column:
    cells = [cell if cell_len(cell) <= width else middle_cut(cell, width) for cell in column.cells]
    return msgspec.structs.replace(column, cells=cells)


def middle_cut(text: str, width: int) -> str:
    """Return a text without its middle: names of models and agents differ at both ends.

    >>> middle_cut("claude-sonnet-4-5-20250929", 14)
    'claude-…250929'
    """
    tail = (width - 1) // 2
    head = width - 1 - tail
    end = text[len(text) - tail :] if tail else ""
    return f"{set_cell_size(text, head)}…{set_cell_size(end, tail) if tail else ''}"


def short_ids(ids: Sequence[str]) -> list[str]:
    """Return the ids cut to the shortest common length, at least SHORTEST_ID, that tells them apart.

    >>> short_ids(["0123456789", "0123456780", "abcdefghijk"])
    ['0123456789', '0123456780', 'abcdefghij']
    """
    known = sorted(set(ids))
    length = SHORTEST_ID
    for one, next_one in pairwise(known):
        common = next(
            (place for place, (a, b) in enumerate(zip(one, next_one, strict=False)) if a != b), len(one)
        )
        length = max(length, common + 1)
    return [one[:length] for one in ids]


def compact(value: float | Decimal) -> str:
    """Return a count in at most five characters and its sign.

    >>> [compact(value) for value in (0, 999, 12_345, 999_950, 12_300_000)]
    ['0', '999', '12.3K', '1.0M', '12.3M']
    """
    number = Decimal(value)
    if abs(number) < 1000 and number == round(number):
        return f"{number:.0f}"
    return _scaled(number)


def compact_money(value: Decimal) -> str:
    """Return an amount with at least two significant digits.

    >>> [compact_money(Decimal(value)) for value in ("0", "0.00045", "0.5", "51.234567", "12345678.9")]
    ['0.00', '0.00045', '0.50', '51.23', '12.3M']
    """
    if abs(value) >= 1000:
        return _scaled(value)
    if value == 0 or abs(value) >= Decimal("0.1"):
        return f"{value:.2f}"
    return f"{value:.{1 - value.adjusted()}f}"


def _scaled(number: Decimal) -> str:
    for unit in UNITS:
        if abs(round(number, 1)) < 1000 or unit == UNITS[-1]:
            return f"{number:.1f}{unit}"
        number /= 1000
    raise AssertionError  # the last unit takes everything
