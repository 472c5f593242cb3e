"""Reading of attributes whose type and spelling differ by emitter. Pure: nothing here raises."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from llmledgerd.otlp.density import MOST_VALUES, is_dense
from llmledgerd.otlp.signals import Attributes

LARGEST_COUNT: Final = 2**63 - 1
LITERAL_CHARACTERS: Final = 4096
"""Limit of texts that are read as Python's own notation of a dict."""


def text(attributes: Attributes, *names: str) -> str:
    """Return the first attribute that is text, or a number, and not empty."""
    for name in names:
        found = attributes.get(name)
        if found is None:  # most names are those of other conventions
            continue
        if isinstance(found, str):
            if found:
                return found
        elif isinstance(found, int | float) and not isinstance(found, bool):
            return str(found)
    return ""


def count(attributes: Attributes, *names: str) -> int | None:
    """Return the first attribute that is a count: a whole number, 0 or above, also as text."""
    for name in names:
        found = attributes.get(name)
        if found is not None and (number := whole(found)) is not None:
            return number
    return None


def whole(found: Any) -> int | None:
    """Return a value as a count; None for anything else."""
    if type(found) is int:
        return found if 0 <= found <= LARGEST_COUNT else None
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
        found = int(found)
    if isinstance(found, float) and math.isfinite(found) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int):
        return None
    return found if 0 <= found <= LARGEST_COUNT else None


def measure(attributes: Attributes, *names: str) -> float | None:
    """Return the first attribute that is a number of 0 or above, also as text."""
    for name in names:
        found = attributes.get(name)
        if found is None or isinstance(found, bool) or not isinstance(found, int | float | str):
            continue
        try:
            number = float(found)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(number) and number >= 0:
            return number
    return None


def flag(attributes: Attributes, *names: str) -> bool:
    """Return whether any of the attributes is true, also as text."""
    return any(str(attributes.get(name)).lower() == "true" for name in names)


def texts(attributes: Attributes, *names: str) -> list[str]:
    """Return the first attribute that is a list of texts; one text is a list of it."""
    for name in names:
        found = attributes.get(name)
        if isinstance(found, str) and found:
            inside = structured(found)
            found = inside if isinstance(inside, list) else [found]
        if isinstance(found, list) and found:
            return [one for one in found if isinstance(one, str)]
    return []


def structured(found: Any) -> Any:
    """Return what a text holds if it is a JSON object or list of limited density; anything else unchanged."""
    if not isinstance(found, str) or found.lstrip()[:1] not in ("{", "[") or is_dense(found, MOST_VALUES):
        return found
    try:
        return msgspec.json.decode(found)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return found


def mapping(found: Any) -> Attributes:
    """Return an object, also from JSON and from Python's notation of a dict; empty for anything else."""
    inside = structured(found)
    if isinstance(inside, str) and inside.startswith("{") and len(inside) <= LITERAL_CHARACTERS:
        try:
            inside = ast.literal_eval(inside)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return {}
    return inside if isinstance(inside, dict) else {}


def nested(attributes: Attributes, prefix: str) -> Any:
    """Return the value that flattened attributes make up: ``p.0.role`` is the role of the first of a list.

    None if no attribute begins with the prefix and a dot.
    """
    root: dict[str, Any] = {}
    start = len(prefix) + 1
    for name, found in attributes.items():
        if name.startswith(prefix) and name[start - 1 : start] == ".":
            _put(root, name[start:].split("."), found)
    return _lists(root) if root else None


def _put(root: dict[str, Any], path: Iterable[str], found: Any) -> None:
    *parents, last = path
    for part in parents:
        inner = root.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        root = inner
    root.setdefault(last, found)


def _lists(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    if found and all(name.isascii() and name.isdigit() and len(name) < 9 for name in found):
        return [_lists(found[name]) for name in sorted(found, key=int)]
    return {name: _lists(one) for name, one in found.items()}
