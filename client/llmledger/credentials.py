"""Masking of credentials by key name, in settings beside a payload. Pure.

Invariant: the structure stays; a string under such a key is masked completely, and a URL loses its user and
query. A mapping under such a key (a schema, for example) is searched, except headers and credentials, in
which all strings are masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from llmledger.harmless import bare_url

MASK: Final = "***"
_DEEPEST: Final = 12

_is_credential = re.compile(
    r"(?i)(?:api|access|private|account|subscription)[-_]?key|secret|passw(?:or)?d|credential|authorization"
    r"|cookie|signature|bearer|(?:^|[-_])token$|^auth$"
).search
_is_all_credentials = re.compile(r"(?i)(?:headers|cookies|credentials)$").search
_is_address = re.compile(r"(?i)(?:url|uri|base|endpoint|proxy)$").search


def masked(value: Any, depth: int = 0) -> Any:
    """Return the value with credentials masked; the same object unless it is a mapping or list."""
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {name: _masked(str(name), item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        return [masked(item, depth + 1) for item in value]
    return value


def found(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the strings that ``masked`` would mask, and the URLs."""
    if isinstance(value, Mapping) and depth < _DEEPEST:
        for name, item in value.items():
            if _is_credential(str(name)) or _is_all_credentials(str(name)) or _is_address(str(name)):
                yield item
            else:
                yield from found(item, depth + 1)
    elif isinstance(value, list | tuple) and depth < _DEEPEST:
        for item in value:
            yield from found(item, depth + 1)


def _masked(name: str, item: Any, depth: int) -> Any:
    is_text = isinstance(item, str | bytes | bytearray)
    if _is_credential(name) and is_text:
        return MASK
    if _is_all_credentials(name) and isinstance(item, Mapping) and all(map(_is_text, item.values())):
        return dict.fromkeys(map(str, item), MASK)
    if isinstance(item, str) and _is_address(name):
        return bare_url(item)
    return masked(item, depth)


def _is_text(item: object) -> bool:
    return isinstance(item, str | bytes | bytearray)
