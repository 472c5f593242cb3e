"""Encoding of rows as one block of ClickHouse's Native format.

Invariant: what is encoded is what was given, or BatchRejected names the column that cannot hold it.

Written here and not by the driver's own insert, because that one cuts blocks of 1 to 2 MB, puts the
encoding on the far side of the connection, and loads pandas (80 MB) where it is installed to look
whether the rows are its own. The driver's column types do the encoding; this module does not import
them.

Four kinds of column are written here, to the same bytes, since the driver is slow at them: one value
in every row (a third of a usual block: its empty texts, its batch), long texts, which the driver copies
once more, amounts of money, and maps of amounts.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any, Final, Literal, Protocol

from llmledgerd.errors import BatchRejected

Buffer = bytes | bytearray | memoryview

LARGE_BYTES: Final = 1 << 20
"""Minimum size of a value that is referenced instead of copied into its block."""
_LONG_TEXT: Final = 512
"""Bytes of a column's mean value from which a copy costs more than a value's own place in the block."""

_PLAIN_TYPES: Final = ("String", "UInt", "Int", "DateTime64(", "UUID", "Decimal(")
"""Beginnings of the types whose column is its values one after another, each alike wherever it stands."""
_MONEY: Final = "Decimal(18, 9)"
_MONEY_DIGITS: Final = 18
_MONEY_PLACES: Final = 9

_MAP: Final = re.compile(r"Map\(String, Decimal\(18, (\d+)\)\)")

_REPEATED: Final = (str, bytes, int, type(None))
"""Types of which equal values have equal bytes; 0.0 and -0.0 have not."""


class ColumnType(Protocol):
    """The methods of the driver's types that are used here."""

    @property
    def insert_name(self) -> str: ...
    def write_column(self, column: Sequence[Any], dest: bytearray, ctx: Any) -> None: ...


class Context(Protocol):
    """The driver's notes on the insert under way, which its types want to see."""

    def start_column(self, name: str) -> None: ...


def wire_type(declared: str) -> str:
    """Return the type that values of a column are sent as; the engine converts to the column's own.

    Dictionaries of LowCardinality are left to the engine, which builds them faster. Times go as
    microseconds, whatever precision the table keeps.
    """
    for wrapper in ("LowCardinality(", "SimpleAggregateFunction("):
        if declared.startswith(wrapper):
            declared = declared[len(wrapper) : -1].split(", ")[-1]
    declared = declared.replace("LowCardinality(String)", "String")  # inside of Map, Array and Tuple
    return "DateTime64(6, 'UTC')" if declared.startswith("DateTime") else declared


def native_block(
    names: Sequence[str], types: Sequence[ColumnType], rows: Sequence[Sequence[object]], context: Context
) -> bytearray:
    """Return the rows as one block. Raises BatchRejected.

    The block is joined once from its parts: a buffer that grows would be moved with its megabytes.
    """
    return bytearray().join(_parts(names, types, rows, context))


def native_pieces(
    names: Sequence[str], types: Sequence[ColumnType], rows: Sequence[Sequence[object]], context: Context
) -> list[Buffer]:
    """Return the same in pieces: a value that is large by itself is not copied. Raises BatchRejected."""
    parts = _parts(names, types, rows, context)
    pieces: list[Buffer] = []
    start = 0
    for at, part in enumerate(parts):
        if len(part) >= LARGE_BYTES:
            pieces += [bytearray().join(parts[start:at]), part]
            start = at + 1
    return [*pieces, bytearray().join(parts[start:])]


def _parts(
    names: Sequence[str], types: Sequence[ColumnType], rows: Sequence[Sequence[object]], context: Context
) -> list[Buffer]:
    parts: list[Buffer] = [_number(len(names)), _number(len(rows))]
    for name, kind, values in zip(names, types, zip(*rows, strict=True), strict=True):
        declared = kind.insert_name
        parts.append(_heading(name, declared))
        context.start_column(name)
        try:
            parts += _column(kind, declared, values, context)
        except Exception as error:  # the encoders raise any exception on an invalid value
            raise BatchRejected(0, f"column {name}: {error!r}") from error
    return parts


def _column(kind: ColumnType, declared: str, values: tuple[Any, ...], context: Context) -> Iterable[Buffer]:
    """Return the bytes of a column, in parts."""
    is_nullable, inner = _shape(declared)
    if inner and _is_one_value(values):
        return _repeated(_driven(kind, values[:1], context), len(values), is_nullable=is_nullable)
    if declared == "String" and _is_long(values):
        return chain.from_iterable(zip(map(_number, map(len, values)), values, strict=True))
    if inner == _MONEY and is_nullable and {Decimal, type(None)}.issuperset(map(type, values)):
        return _amounts(values)
    if declared.startswith(("Array(", "Map(")) and not any(values):
        return (bytes(8 * len(values)),)  # where each ends
    amounts = _MAP.fullmatch(declared)
    if amounts and {dict}.issuperset(map(type, values)):
        return _maps(values, int(amounts[1]))
    return (_driven(kind, values, context),)


@lru_cache(256)
def _shape(declared: str) -> tuple[bool, str]:
    """Return whether a type is Nullable, and the type inside where it is a plain one; "" otherwise."""
    inner = declared.removeprefix("Nullable(")
    is_nullable = inner != declared
    inner = inner[:-1] if is_nullable else inner
    return is_nullable, inner if inner.startswith(_PLAIN_TYPES) else ""


def _is_one_value(values: tuple[Any, ...]) -> bool:
    first = values[0]
    # The last one differs in most columns that differ at all.
    return isinstance(first, _REPEATED) and first == values[-1] and values.count(first) == len(values)


def _is_long(values: tuple[Any, ...]) -> bool:
    return {bytes, memoryview}.issuperset(map(type, values)) and sum(map(len, values)) > _LONG_TEXT * len(
        values
    )


def _driven(kind: ColumnType, values: tuple[Any, ...], context: Context) -> bytearray:
    out = bytearray()
    kind.write_column(values, out, context)
    return out


def _repeated(one: bytearray, times: int, *, is_nullable: bool) -> tuple[bytes | bytearray, ...]:
    """Return a column of a single row so many times; Nullable's marks stand before all of the values."""
    return (one[:1] * times, one[1:] * times) if is_nullable else (one * times,)


def _amounts(values: tuple[Decimal | None, ...]) -> tuple[bytes, bytes]:
    """Return dollars as the whole nano-dollars that a column of money is sent as."""
    return bytes([value is None for value in values]), _scaled(values, _MONEY_PLACES)


def _maps(values: tuple[dict[str, Decimal], ...], places: int) -> tuple[bytes, bytes, bytes]:
    """Return maps of amounts: where each ends, all keys, all amounts."""
    ends = _little_endian("Q", accumulate(map(len, values)))
    keys = b"".join(map(_text, chain.from_iterable(values)))
    return ends, keys, _scaled(chain.from_iterable(one.values() for one in values), places)


def _scaled(values: Iterable[Decimal | None], places: int) -> bytes:
    units = Decimal(10**places)
    with localcontext() as context:
        context.prec = _MONEY_DIGITS
        return _little_endian("q", [int(value * units) if value else 0 for value in values])


def _little_endian(code: Literal["q", "Q"], numbers: Iterable[int]) -> bytes:
    found = array(code, numbers)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()


@lru_cache(1024)
def _text(text: str) -> bytes:
    encoded = text.encode()
    return _number(len(encoded)) + encoded


@lru_cache(1024)
def _heading(name: str, declared: str) -> bytes:
    """Return what stands before a column: its name and its type."""
    texts = (name.encode(), declared.encode())
    return b"".join(_number(len(text)) + text for text in texts)


@lru_cache(4096)
def _number(number: int) -> bytes:
    """Return an unsigned LEB128, the length prefix of the Native format."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
