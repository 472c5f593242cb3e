"""Encoding of any Python value as JSON, synchronously on the caller's thread.

Invariant: ``encode`` returns immutable bytes and never fails because of the value: an object that no
encoder supports is replaced by the nearest JSON value, and the rest is unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set, ValuesView
from datetime import datetime
from types import NoneType
from typing import Any, Final
from uuid import UUID

import msgspec

SCALARS: Final = frozenset({int, float, bool, NoneType, datetime, UUID})
"""Exact types with immutable values: a subclass may have a ``__dict__``."""

IMMUTABLE: Final = SCALARS | {str, bytes, msgspec.Raw}

LONGEST_INT_BITS: Final = 14_000
"""Python formats no integer of more than 4,300 digits: ``sys.set_int_max_str_digits``."""

DEEPEST: Final = 100
"""Limit of nesting in the fallback encoder. Providers' payloads have some twenty levels."""


def freeze(fields: dict[str, Any]) -> None:
    """Encode mutable values in place, for fields that are kept for later records."""
    for name, value in fields.items():
        if type(value) not in IMMUTABLE:
            fields[name] = msgspec.Raw(encode(value))


_NOT_QUICKLY: Final = (TypeError, ValueError, RuntimeError, msgspec.MsgspecError)
"""Errors of msgspec for a key that is not a string, a lone surrogate, a cycle, or a concurrent change."""


def encode(value: Any) -> bytes:
    """Return the value as JSON in UTF-8."""
    try:
        return _encode_quickly(value)
    except _NOT_QUICKLY:
        import json  # rare, and not free to import

        return json.dumps(_plain(value, ()), separators=(",", ":")).encode()


def _plain(value: object, above: tuple[int, ...]) -> Any:
    """Return the value as dicts, lists and scalars; slow, but never fails."""
    if value is None or isinstance(value, bool):
        return value
    if id(value) in above or len(above) > DEEPEST:
        return f"<{type(value).__name__}: {'in itself' if id(value) in above else 'nested too deep'}>"
    within = (*above, id(value))
    if isinstance(value, Mapping):
        return {_key(key): _plain(item, within) for key, item in dict(value).items()}
    if isinstance(value, list | tuple | Set):
        return [_plain(item, within) for item in tuple(value)]
    leaf = _builtin(value)
    return _plain(leaf, within) if isinstance(leaf, dict | list) else leaf


def _key(key: object) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    leaf = _builtin(key)
    return leaf if isinstance(leaf, str) else str(leaf)


def _builtin(value: object) -> Any:
    try:
        if isinstance(value, msgspec.Raw):
            return msgspec.json.decode(value)
        leaf = msgspec.to_builtins(value, enc_hook=stand_in)
    except _NOT_QUICKLY:
        return f"<{type(value).__name__}>"
    if isinstance(leaf, int) and leaf.bit_length() > LONGEST_INT_BITS:
        return f"<int: {leaf.bit_length()} bits>"
    is_finite = not isinstance(leaf, float) or abs(leaf) < float("inf")
    return leaf if is_finite else None


def stand_in(value: object) -> Any:
    """Return the replacement of a value that msgspec does not support: msgspec's ``enc_hook``."""
    for convert in (_converted, repr):
        try:
            return convert(value)
        except Exception:  # noqa: BLE001, S112 - foreign code, and one bad object must not cost the record
            continue
    return f"<{type(value).__name__}>"


def _converted(value: object) -> Any:
    kind: Any = type(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):  # numpy.float64 too
        return float.__float__(value)
    if hasattr(kind, "model_dump"):  # pydantic, and so the objects of most SDKs
        return kind.model_dump(value, mode="json", warnings=False)
    if hasattr(kind, "tolist"):  # numpy, torch, pandas
        return kind.tolist(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | Set | ValuesView):
        return list(value)
    if isinstance(value, BaseException):
        return f"{kind.__name__}: {value}"
    return str(value) if isinstance(value, os.PathLike) else repr(value)


_encode_quickly = msgspec.json.Encoder(enc_hook=stand_in).encode
"""Raises one of ``_NOT_QUICKLY`` for a value that JSON cannot represent."""
