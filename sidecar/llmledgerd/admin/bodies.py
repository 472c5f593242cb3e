"""Bodies of requests that change data.

Invariant: a body says each thing once and leaves nothing to guess, because it decides what is changed.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def decoded(body: bytes, kind: type[T]) -> T:
    """Parse a body. Raises ValueError, also for duplicate members and for null."""
    try:
        json.loads(body, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    return msgspec.json.decode(body, type=kind)


def _once(members: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in members}) != len(members):
        raise ValueError("duplicate member")
    for name, value in members:
        if value is None:  # a template that lost its value must not widen what is changed
            raise ValueError(f"`{name}` is null; omit it")
