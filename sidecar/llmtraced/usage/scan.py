"""Cut an object's members out of JSON text without building values.

Invariant: nothing here recurses, so no depth of nesting can end it; strings are skipped whole, so
brackets inside them never count. Text that is no object gives no members; damaged text gives those
before the damage. Slow next to msgspec, and used only for what msgspec refuses.
"""

from __future__ import annotations

import json
import re

TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]', re.DOTALL)
"""A string whole, or one structural character."""

OPEN, CLOSE = b"{[", b"}]"

NOT_IN_A_VALUE = -1


def split_object(raw: bytes) -> dict[str, bytes]:
    """Return the members' raw values by name, the last one of equal names."""
    found: dict[str, bytes] = {}
    if not raw.lstrip().startswith(b"{"):
        return found
    depth, start, name = 0, NOT_IN_A_VALUE, b""
    for match in TOKEN.finditer(raw):
        token = match.group()
        depth += (token[0] in OPEN) - (token[0] in CLOSE)
        if start == NOT_IN_A_VALUE:
            if token == b":":
                start = match.end()
            name = token if token[:1] == b'"' else name
        elif depth == 0 or (depth == 1 and token == b","):
            found[_name(name)] = raw[start : match.start()].strip()
            start = NOT_IN_A_VALUE
        if depth == 0:
            break
    return found


def _name(token: bytes) -> str:
    try:
        return str(json.loads(token.decode("utf-8", "replace")))
    except ValueError:
        return ""


def split_array(raw: bytes) -> list[bytes]:
    """Return the whole objects that stand directly in an array; one that was cut off is left out."""
    found: list[bytes] = []
    depth, start = 0, 0
    for match in TOKEN.finditer(raw):
        token = match.group()
        if token[0] in OPEN:
            depth += 1
            if depth == 2:
                start = match.start()
        elif token[0] in CLOSE:
            depth -= 1
            if depth == 1:
                found.append(raw[start : match.end()])
            elif depth == 0:
                break
    return found
