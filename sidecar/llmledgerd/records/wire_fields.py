"""Facts about the wire's fields that the types in ``protocol`` declare. Pure.

Invariant: no field of the wire is named here; what parsing, redaction and offloading know of a field's
limits and kind is read from its type, once, when this module is imported.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Meta, Raw

from llmledger.protocol import Billing, Record

_Kind = TypeVar("_Kind", bound=msgspec.Struct)


class Limit(NamedTuple):
    """Limits of one field. Every minimum on the wire is 0, and every text with a limit is an identifier or a label."""

    path: tuple[str, ...]
    min_length: int = 0
    max_length: int | None = None
    """None: the field is a number; with a length it may be text or a number."""

    def value(self, of: object) -> Any:
        """Return the field's value, or None."""
        for name in self.path:
            of = getattr(of, name, None)
        return of


def limits(kind: Any) -> tuple[Limit, ...]:
    """Return the limits of a Struct's fields and of the Structs in it, identifiers first."""
    found = sorted(_limits(kind, ()), key=lambda limit: (limit.max_length is None, len(limit.path)))
    return tuple(found)


def _limits(kind: Any, above: tuple[str, ...]) -> list[Limit]:
    found: list[Limit] = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if name.startswith("__"):
            continue
        path = (*above, name)
        metas = _metas(hint)
        lengths = [meta for meta in metas if meta.max_length is not None]
        if lengths:
            found.append(Limit(path, lengths[0].min_length or 0, lengths[0].max_length))
        elif any(meta.ge is not None for meta in metas):
            found.append(Limit(path))
        for inner in _leaves(hint):
            found += _limits(inner, path) if _is_struct(inner) else []
    return found


def without_limits(kind: type[_Kind]) -> type[_Kind]:
    """Return a subtype of a Struct that decodes values of the right type, whatever their size."""
    fields = [
        (field.name, _bare(field.type), field.default)
        if field.default is not msgspec.NODEFAULT
        else (field.name, _bare(field.type))
        for field in msgspec.structs.fields(kind)
    ]
    frozen = kind.__struct_config__.frozen
    name = f"{kind.__name__}WithoutLimits"
    return cast("type[_Kind]", msgspec.defstruct(name, fields, bases=(kind,), kw_only=True, frozen=frozen))


def _bare(hint: Any) -> Any:
    """Return a type without its limits."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _bare(get_args(hint)[0])
    if origin in (Union, UnionType):
        return reduce(or_, map(_bare, get_args(hint)))
    if origin in (list, dict):
        return origin[tuple(map(_bare, get_args(hint)))]
    return without_limits(hint) if _is_struct(hint) else hint


def _metas(hint: Any) -> list[Meta]:
    """Return the metadata of a field's type and of its alternatives."""
    own = list(getattr(hint, "__metadata__", ()))
    if get_origin(hint) is Annotated:
        return own + _metas(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return [meta for one in get_args(hint) for meta in _metas(one)]
    return own


def _leaves(hint: Any) -> list[Any]:
    """Return the alternatives of a field's type, without metadata."""
    if get_origin(hint) is Annotated:
        return _leaves(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return [leaf for one in get_args(hint) for leaf in _leaves(one)]
    return [hint]


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _is_label(hint: Any) -> bool:
    metas = _metas(hint)
    is_marked = any((meta.extra or {}).get("is_label") for meta in metas)
    return is_marked or any(
        get_origin(leaf) is Literal and isinstance(get_args(leaf)[0], str) for leaf in _leaves(hint)
    )


def _ids(kind: Any) -> tuple[str, ...]:
    hints = get_type_hints(kind, include_extras=True)
    found = (limit.path[0] for limit in limits(kind) if limit.max_length and len(limit.path) == 1)
    return tuple(name for name in found if not _is_label(hints[name]))


def _labels(kind: Any) -> tuple[str, ...]:
    return tuple(name for name, hint in get_type_hints(kind, include_extras=True).items() if _is_label(hint))


IDS: Final = _ids(Record)
"""Identifiers of a record."""
LABELS: Final = _labels(Record)
"""Texts of a record by which calls are dated, priced and summed."""
BILLING_IDS: Final = _ids(Billing)
BILLING_LABELS: Final = _labels(Billing)
MEASURES: Final = tuple(limit.path[0] for limit in limits(Record) if limit.max_length is None)
"""Numbers of a record."""
JSON: Final = frozenset(name for name, hint in get_type_hints(Record).items() if Raw in _leaves(hint))
"""Fields that hold any JSON, which is kept byte for byte."""
