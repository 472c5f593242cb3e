"""Unescaped view of JSON bytes for pattern matching.

Invariant: a match in a view is a range of the bytes without quotation marks and newlines, so that it lies
within one string, at any level of JSON nested in JSON, and within one line.

Quotation marks become newlines, which no pattern matches (RE2's ``never_nl``). Escaped white space
becomes white space of the same length, or ``\\nsk-…`` would begin with a letter; so does an escaped
letter of another alphabet. What is left are ``\\/`` and ``\\u00XX``, which some encoders write where
others do not, and the control sequences of terminals, each of which becomes one ESC, however it was
written: a view with those has another length than its bytes, and remembers where.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

import msgspec

_RARE: Final = re.compile(rb"\\[tr/ubfx0e]")
"""Rare sequences, searched together at the cost of one ``replace``."""
_BARE: Final = (b"\x1b", b"%", b"^", b"\xc2\x9b", b"\xe2\x90\x9b")
"""Other first bytes of a terminal's control sequence, which are fast to search."""
_SPACES: Final = (rb"\t", rb"\r", rb"\b", rb"\f")
_WIDE: Final = re.compile(rb"\\u(?!00)[0-9a-fA-F]{4}(?=[0-9A-Za-z+(])")
# A run of backslashes is matched only from its start, because long runs would take quadratic time otherwise.
_ESCAPES: Final = re.compile(
    rb"((?:(?:\x1b|(?<!\\)\\++(?:u001[bB]|x1[bB]|033|e)|%1[bB]|\^\[|\xe2\x90\x9b)(?:(?:\[|%5[bB])(?:[0-9;:?]|%3[bB])*[A-Za-z]|\([A-Z0-9])"
    rb"|(?:\xc2\x9b|(?<!\\)\\++u009[bB])[0-9;:?]*[A-Za-z]))"
    rb"|(?<!\\)\\++(?:u00([0-9a-fA-F]{2})|/)"
)
_ESC: Final = b"\x1b"
_CUTS: Final = frozenset(b'"\n')


class View(msgspec.Struct, frozen=True):
    """Text that patterns match."""

    text: bytes
    starts: list[int] = []
    """Offsets at which the difference between text and bytes changes,"""
    distances: list[int] = []
    """and the difference from there on."""

    def place(self, position: int) -> int:
        """Return the offset in the bytes of an offset in the text."""
        found = bisect_right(self.starts, position)
        return position + self.distances[found - 1] if found else position


def view(raw: bytes) -> View:
    """Return the view of the bytes."""
    text = raw.replace(b'"', b"\n").replace(rb"\n", b"  ")
    if _RARE.search(text) is None and not any(start in text for start in _BARE):
        return View(text)
    for escape in _SPACES:
        text = text.replace(escape, b"  ")
    return _unescaped(_WIDE.sub(b" " * 6, text))


def _unescaped(text: bytes) -> View:
    pieces: list[bytes] = []
    starts: list[int] = []
    distances: list[int] = []
    copied = length = 0
    for escape in _ESCAPES.finditer(text):
        piece = text[copied : escape.start()] + (_ESC if escape[1] else _character(escape[2]))
        pieces.append(piece)
        length += len(piece)
        copied = escape.end()
        starts.append(length)
        distances.append(copied - length)
    if not pieces:
        return View(text)
    pieces.append(text[copied:])
    return View(b"".join(pieces), starts, distances)


def _character(code: bytes | None) -> bytes:
    if code is None:
        return b"/"
    value = int(code, 16)
    if value in _CUTS:
        return b"\n" if value == ord('"') else b" "
    return chr(value).encode() if value >= ord(" ") or value == ord(_ESC) else b" "
