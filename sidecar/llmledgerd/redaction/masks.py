"""Masks: as long as the secret they replace, so that sizes stay correct.

Invariant: a mask has the length of what it hides, holds no quotation mark, and leaves every escape
whole. So JSON stays JSON, also JSON that is a string within JSON, and a string has the same number
of characters once its escapes are read.
"""

from __future__ import annotations

import re
from typing import Final

_PARTS: Final = re.compile(rb"(\\+)(?:(u[0-9a-fA-F]{4})|(.)|\Z)|[^\\]+", re.DOTALL)
CUT_ESCAPE: Final = re.compile(rb"\\u[0-9a-fA-F]{0,3}\Z")
_ESCAPE_BYTES: Final = 6
_STAR: Final = b"u002a"


def whole(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Widen a range so that it begins and ends between escapes."""
    cut = CUT_ESCAPE.search(raw, max(0, start - _ESCAPE_BYTES + 1), start)
    start = cut.start() if cut else start
    while start and raw[start - 1] == 0x5C:
        start -= 1
    cut = CUT_ESCAPE.search(raw, max(start, end - _ESCAPE_BYTES + 1), end)
    return start, cut.start() + _ESCAPE_BYTES if cut else end


def masked(secret: bytes, label: bytes) -> bytes:
    """Return the mask of a widened range: the label if it fits, stars, and the escapes."""
    labeled = False

    def hide(part: re.Match[bytes]) -> bytes:
        nonlocal labeled
        if part[1]:
            return part[1] + (_STAR if part[2] else part[3] or b"")
        size = part.end() - part.start()
        if labeled or size < len(label):
            return b"*" * size
        labeled = True
        return label.ljust(size, b"*")

    return _PARTS.sub(hide, secret)


def ones(number: bytes) -> bytes:
    """Return another number with as many digits that is not a card's by Luhn's sum."""
    return b"1" * len(number)
