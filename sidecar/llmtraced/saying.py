"""Text for people, on a terminal or in a pipe: what of it came from elsewhere does nothing there.

Invariant: no byte that this module writes moves a cursor, colours, rings, or turns the direction of text,
whoever wrote the text: senders, stores, files' names, messages of libraries. JSON keeps its value, since
there such characters are escapes.
"""

from __future__ import annotations

import re
from typing import Final

import typer

_HIDDEN: Final = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without newline and tab, DEL, C1
    r"\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, width none, breaks
    r"\ud800-\udfff\U000e0000-\U000e007f"  # what is no character, and tags
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


def say(text: str, *, err: bool = False) -> None:
    """Write a line, or lines of our own that others' words stand in."""
    typer.echo(clean(text), err=err)


def say_json(text: str) -> None:
    """Write a line of JSON."""
    typer.echo(clean_json(text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
