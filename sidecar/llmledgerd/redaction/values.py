r"""Search for the value after a name such as ``api_key``, in any notation.

Invariant: a value lies within one string, and the search takes time linear in its length. The search uses
the bytes and not the view, because quotation marks separate a JSON member's name from its value, and no pattern
crosses them.

Known are ``name=value`` and ``name: value``, of environments, INI files, YAML, headers and commands; JSON's
members and Python's, at any depth of text in text; pairs in a list; ``{"name": …, "value": …}`` and XML's
``key="…" value="…"``; and all of it percent-encoded, with entities of HTML, or colored.
"""

from __future__ import annotations

import re
from typing import Final

MOST_BYTES: Final = 4096

_COLOR: Final = rb"(?:\\+u001[bB]|\x1b)\[[0-9;]*m"
_SPACE: Final = rb"(?:[ \t]|\\+[nrt]|\\+u0020|%%20|%s)" % _COLOR
_AND: Final = rb"(?:&|\\+u0026)"
_QUOTE: Final = rb"(?:\\*(?:[\"'`]|u0022|u0027)|%s(?:quot|apos|#0?3[49]|#[xX]2[27]);)" % _AND
_EQUALS: Final = rb"%s(?:#(?:58|61|[xX]3[AaDd])|colon|equals);" % _AND
_VALUE: Final = re.compile(
    # The rest of the name, as in API_KEY_2, and its closing characters.
    rb"[A-Za-z0-9_]{0,16}+(?![.-])(?:%s|[\])>])?%s{0,8}" % (_QUOTE, _SPACE)
    + rb"(?:[:=,]{1,2}>?|[|;]|\?=|<-|%s|%%3[AaDd]|=3D|\\+u003[AaDd]|\\+u002[cC])?%s{0,64}" % (_EQUALS, _SPACE)
    + rb"(?:(?:%s)?(?:value|values)(?:%s)?%s{0,4}(?:[:=]|%s|\\+u003[AaDd])%s{0,4})?"
    % (_QUOTE, _QUOTE, _SPACE, _EQUALS, _SPACE)
    + rb"(?:[\[(<{]|\$\{[A-Za-z0-9_]{1,32}:-|b?%s|%s){0,4}" % (_QUOTE, _SPACE)
    + rb"(?:(?i:basic|token|bearer|ssws|apikey)%s{1,4})?" % _SPACE
    + rb"((?:[A-Za-z0-9+/=_.~:%%!@#$^*-]|\\+/|\\+u00(?:2[bBdDfF]|3[dD]|5[fF])|(?:%s){1,4}(?=[A-Za-z0-9])){8,%d})"
    % (_COLOR, MOST_BYTES)
)


_COLORS: Final = re.compile(_COLOR)


def without_colors(value: bytes) -> bytes:
    """Return a value without a terminal's control sequences."""
    return _COLORS.sub(b"", value) if b"[" in value else value


def value_after(raw: bytes, end_of_name: int) -> tuple[int, int] | None:
    """Return the position of the value after a name; None without a value."""
    found = _VALUE.match(raw, end_of_name)
    return found.span(1) if found else None
