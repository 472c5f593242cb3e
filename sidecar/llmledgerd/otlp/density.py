"""Limits of the number of values that bytes may hold, which bound the memory of the objects made of them. Pure.

An object takes some hundred bytes, and two bytes of a request can ask for one: without limits, a request of 128 MiB,
which gzip makes half a megabyte, takes gigabytes. Bytes are counted before they are decoded, and only bytes that are
long enough to hold more than a limit.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from llmledgerd.json_text import STRING

MOST_SIGNALS: Final = 6_000_000
"""Limit of a request: resources, scopes and signals in protobuf, values separated by commas in JSON. 128 MiB of signals
that say anything have a comma per 25 bytes."""
MOST_VALUES: Final = 500_000
"""Limit of a signal, a resource and a JSON text within an attribute: attributes, events, links, values of lists. SDKs
have a limit of 128 attributes; embeddings of 300 texts are the largest lists that are known."""
TOO_MANY: Final = f"more than {MOST_VALUES:,} attributes, events and values"

_BYTES: Final = re.compile(STRING + rb"|,", re.DOTALL)
_TEXT: Final = re.compile(STRING.decode() + "|,", re.DOTALL)


def is_dense(found: bytes | bytearray | str | msgspec.Raw, most: int) -> bool:
    """Return whether JSON has more commas than that outside its strings."""
    if len(found) <= 2 * most:  # a value and its comma
        return False
    if isinstance(found, str):
        if found.count(",") <= most:
            return False
        lengths = (token.end() - token.start() for token in _TEXT.finditer(found))
    else:
        view = memoryview(found)
        lengths = (token.end() - token.start() for token in _BYTES.finditer(view))
    passed = 0
    for length in lengths:
        passed += length == 1  # a string has its quotes
        if passed > most:
            return True
    return False
