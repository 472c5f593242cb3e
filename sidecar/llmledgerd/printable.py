"""Escaping of control characters in text for terminals. Pure.

Invariant: JSON keeps its value, since such characters become JSON escapes.
"""

from __future__ import annotations

import re
from typing import Final

_HIDDEN: Final = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without newline and tab, DEL, C1
    r"\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, width none, breaks
    r"\ud800-\udfff"  # what is no character
)


CONTROLS: Final = re.compile(f"[{_HIDDEN}]")


def clean(text: str) -> str:
    """Return text without effect on a terminal; newline and tab stay."""
    return CONTROLS.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return the same as one line."""
    return clean(" ".join(text.split("\n")).replace("\t", " "))


def clean_json(text: str) -> str:
    """Return JSON of the same value, in which such characters are escapes; layout stays."""
    return CONTROLS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
