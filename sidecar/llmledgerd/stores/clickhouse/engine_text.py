"""The engine's error messages as one line: what is wrong, its code, and what to do. Pure.

Invariants: no stack trace, and nothing of a statement that the user has not written, is in the line; a
message that is not the engine's keeps its words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MOST_CHARACTERS: Final = 600

_SAID = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_BEHIND = re.compile(r",? ?Stack trace.*|\(version .*", re.DOTALL)
_NAME = re.compile(r"\s*\(([A-Z][A-Z0-9_]+)\)[\s.]*$")
_SCOPE = re.compile(r"[:.,]?\s*In scope .*$", re.DOTALL)
_EXPECTED = re.compile(r"\.?\s*Expected one of: .*$", re.DOTALL)
_NESTED = re.compile(r"^(?:Received from [^ ]+ )?DB::Exception: ")

ADVICE: Final[Mapping[int, str]] = {
    60: "run `llmledgerd migrate`",
    81: "correct the database in the URL, or run `llmledgerd migrate`",
    159: "ask for less, such as a shorter time range",
    164: "this user may only read",
    192: "correct user and password in the URL",
    193: "correct user and password in the URL",
    241: "ask for less, or give the engine more memory",
    243: "free space on the store's disk",
    497: "grant it to the user of the URL (docs/sql.md)",
    516: "correct user and password in the URL",
}
"""What to do, by code."""


def plain(message: str) -> str:
    """Return a message of the engine as one line.

    >>> plain("Code: 47. DB::Exception: Unknown identifier `x`. In scope SELECT x. (UNKNOWN_IDENTIFIER)")
    'Unknown identifier `x` (code 47, UNKNOWN_IDENTIFIER)'
    """
    found = list(_SAID.finditer(_BEHIND.sub("", message)))
    if not found:
        return _line(message)
    code, text = int(found[-1][1]), found[-1][2].strip()
    name = _NAME.search(text)
    text = _NAME.sub("", text)
    for unwanted in (_NESTED, _SCOPE, _EXPECTED):
        text = unwanted.sub("", text)
    label = f"code {code}, {name[1]}" if name else f"code {code}"
    advice = f"; {ADVICE[code]}" if code in ADVICE else ""
    return f"{_line(text).rstrip('. ')} ({label}){advice}"


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}…"
