"""JSON decoding: by msgspec, with a slower and tolerant fallback.

Invariant: for any bytes, no function here raises anything except TooMuch, beyond the budget. An unreadable
value is absent, and a readable one is exact: a number that no double holds keeps its digits.

msgspec refuses some texts that RFC 8259 allows (nesting beyond the interpreter's recursion limit,
lone surrogates, numbers beyond a double); those take the second reading.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, lru_cache
from math import isinf
from typing import Any, TypeGuard, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Raw

from llmledgerd import json_text
from llmledgerd.usage import budget

Json = bytes | memoryview | Raw
"""JSON as it was received: the bytes, or a view of a part of them."""

Members = dict[str, Json]
"""Top-level members of an object, as received."""

NULL = Raw(b"null")
OPENING_BRACE = ord("{")

LEVELS_OF_A_SECOND_READING = 3
"""Levels that the fallback reads of deeply nested JSON: ``response.body.usage`` is the deepest place of a count."""

_HEAD = 64

LARGEST_COUNT = 2**63 - 1
"""Maximum of a count; also the limit of the store's integers."""

LARGEST_AMOUNT, SMALLEST_AMOUNT = 10**11, Decimal("1e-6")
"""What the column of such amounts holds: Decimal(18, 6)."""

DIGITS_OF_A_DOUBLE = 17
"""A float literal up to this length survives a round trip through a double (IEEE 754)."""

REFUSED = (msgspec.MsgspecError, RecursionError, ValueError)
"""Exceptions of a decoder for invalid input."""

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_skip = msgspec.json.Decoder(Raw).decode
_encode = msgspec.json.Encoder(enc_hook=str).encode
"""What is no JSON value is a text that is still in pieces."""

_view = cast("Callable[[Json | None], memoryview]", memoryview)
"""Return a view; msgspec's stubs do not declare Raw as a buffer."""

T = TypeVar("T", bound=msgspec.Struct)


def _keep_digits(literal: str) -> float | Raw:
    """Return the float, or the literal if a double would change its value."""
    found = float(literal)
    if isinf(found) or (len(literal) > DIGITS_OF_A_DOUBLE and Decimal(literal) != Decimal(repr(found))):
        return Raw(literal.encode())
    return found


_decode_any = msgspec.json.Decoder(float_hook=_keep_digits).decode


def members(raw: Json | str) -> Members:
    """Return an object's members by name, the last one of equal names; {} for anything else."""
    if len(raw) > budget.UNCOUNTED_BYTES:
        budget.spend(raw, budget.OBJECT)
    try:
        return cast("Members", _decode_members(raw))
    except REFUSED:
        return dict(json_text.cut_members(as_bytes(raw))) if _begins(raw, b"{") else {}


def items(raw: Json) -> list[Json]:
    """Return an array's items; [] for anything else. Of deeply nested ones, only the objects."""
    if len(raw) > budget.UNCOUNTED_BYTES:
        budget.spend(raw, budget.LIST)
    try:
        return cast("list[Json]", _decode_list(raw))
    except REFUSED:
        return list(json_text.cut_items(as_bytes(raw))) if _begins(raw, b"[") else []


def _begins(raw: Json | str, mark: bytes) -> bool:
    """Return whether the text may be an object or an array, without copying it."""
    start = as_bytes(raw[:_HEAD]) if isinstance(raw, str) else bytes(_view(raw)[:_HEAD])
    return start.lstrip()[:1] in (mark, b"")


def value(raw: Json | str | None) -> Any:
    """Return the decoded value, or None if it is absent or not JSON."""
    if raw is None:
        return None
    if len(raw) > budget.UNCOUNTED_BYTES:
        budget.spend(raw, budget.VALUE)
    try:
        return _decode_any(raw)
    except REFUSED:
        return _second_reading(as_bytes(raw), LEVELS_OF_A_SECOND_READING)


def _second_reading(raw: bytes, levels: int) -> Any:
    """Decode with the standard library; of deeply nested JSON, the shallow members."""
    try:
        return json.loads(raw.decode("utf-8", "replace"), parse_float=_keep_digits)
    except ValueError:
        return None
    except RecursionError:
        if not levels:
            return None
        return {name: _second_reading(part, levels - 1) for name, part in json_text.cut_members(raw).items()}


def encode(value: Any) -> bytes:
    """Return the value as JSON; a lone surrogate is kept as its escape."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError):
        return _encode_tolerantly(value)


def _encode_tolerantly(value: Any) -> bytes:
    """Encode with the standard library; null for values nested too deeply."""
    try:
        return json.dumps(value, default=_readable, separators=(",", ":")).encode()
    except (RecursionError, TypeError, ValueError):
        return b"null"


def _readable(found: Any) -> Any:
    """Return raw JSON as values; a number that no double holds becomes text."""

    def finite(literal: str) -> float | str:
        return literal if isinf(float(literal)) else float(literal)

    return json.loads(as_bytes(found), parse_float=finite) if isinstance(found, Raw) else str(found)


def join(parts: Mapping[str, Json]) -> bytes:
    """Return the object of the members, unchanged."""
    return b"{%b}" % b",".join([_named(name) + bytes(part) for name, part in parts.items()])


@lru_cache(1024)
def _named(name: str) -> bytes:
    return encode(name) + b":"


def as_bytes(raw: Json | str) -> bytes:
    """Return JSON as bytes; a lone surrogate in a str becomes three bytes that are invalid UTF-8."""
    return raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else bytes(raw)


def text(raw: Json | None) -> str:
    """Return a JSON string's text, and "" for anything else, an absent value included."""
    found = value(raw) if raw else None
    return plain(found) if isinstance(found, str) else ""


def plain(found: str) -> str:
    """Return the text with lone surrogates replaced: neither UTF-8 nor a column can hold them."""
    return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")


def count(found: object) -> int | None:
    """Return a count of tokens, or None if the value is not one.

    Integers, floats without a fraction (Cohere's), and texts of digits (headers, careless
    proxies) are counts; booleans, negative and non-finite numbers, fractions and the rest are not.
    """
    if isinstance(found, bool):
        return None
    if isinstance(found, str):
        found = int(found) if found.isascii() and found.isdigit() and len(found) < 20 else None
    if isinstance(found, float):
        found = int(found) if found.is_integer() else None
    return found if isinstance(found, int) and 0 <= found <= LARGEST_COUNT else None


def number(found: object) -> Decimal | None:
    """Return an amount that is no count of tokens (seconds, pages), or None for what is none."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= LARGEST_AMOUNT:
        return None
    return Decimal(str(found)).quantize(SMALLEST_AMOUNT)


def is_null(raw: Json | None) -> bool:
    """Return whether a member is absent or null."""
    return not raw or raw == NULL


def is_object(raw: Json | None) -> TypeGuard[Json]:
    """Return whether a member is an object, by its first byte."""
    return bool(raw) and _view(raw)[0] == OPENING_BRACE


def is_json(raw: Json | str) -> bool:
    """Return whether the text is one JSON value, without decoding it."""
    try:
        _skip(raw)
    except REFUSED:
        return False
    return True


def fit(raw: Json, shape: type[T], strict: Callable[[Json], T]) -> tuple[T, bool]:
    """Return the object as a struct of counts, and whether every leaf could be read.

    ``strict`` is the shape's decoder. Where something has a type that no count has, each leaf is
    read by itself through ``count``, so that one bad number costs only itself.
    """
    try:
        return strict(raw), True
    except REFUSED:
        return _fit_leniently(value(raw), shape)


def _fit_leniently(found: Any, shape: type[T]) -> tuple[T, bool]:
    if not isinstance(found, dict):
        return shape(), False
    fields = _fields(shape)
    leaves = {
        field.name: _leaf(found[field.encode_name], field.type)
        for field in fields
        if found.get(field.encode_name) is not None
    }
    return shape(**{name: leaf for name, (leaf, _) in leaves.items()}), all(
        whole for _, whole in leaves.values()
    )


@cache
def _fields(shape: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(shape)


def _leaf(found: Any, annotation: Any) -> tuple[Any, bool]:
    """Return one field's value in its declared type, and whether it could be read."""
    inner, is_list = _inner_shape(annotation)
    if inner is str:
        return (plain(found), True) if isinstance(found, str) else (None, False)
    if inner is int:
        counted = count(found)
        return counted, counted is not None
    if not is_list:
        return _fit_leniently(found, inner)
    if not isinstance(found, list):
        return None, False
    fitted = [_fit_leniently(one, inner) for one in found]
    return [one for one, _ in fitted], all(whole for _, whole in fitted)


def _inner_shape(annotation: Any) -> tuple[Any, bool]:
    """Return the ``X`` of ``X | None`` or ``list[X] | None``, and whether it is the latter."""
    for part in get_args(annotation):
        if get_origin(part) is list:
            return get_args(part)[0], True
        if part is str or (isinstance(part, type) and issubclass(part, msgspec.Struct)):
            return part, False
    return int, False
