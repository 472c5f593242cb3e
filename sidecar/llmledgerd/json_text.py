"""JSON scanner: validity and positions of members, without building values.

Invariant: exactly RFC 8259's JSON is accepted, with any nesting and any escapes up to the limits below.
It exists because msgspec, which parses almost every line, refuses nesting beyond the interpreter's
recursion limit and escaped lone surrogates; both are valid. It scans only lines that msgspec refused, so
that simplicity has priority over speed, but the time is always linear in the text.

Payloads need not be whole: ``cut_members`` and ``cut_items`` give what stands before the damage. They
stop at ``MAX_TOKENS``, since each token is a step of the interpreter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice

import msgspec

MAX_DEPTH = 1_000_000
"""Deeper text is refused, as RFC 8259 section 9 allows: a line of brackets alone, at the limit of
lines, would otherwise keep one core for a minute."""

MAX_MARKS, MAX_MEMBERS = 1 << 24, 1 << 21
"""Strings and brackets of one text, and members of one object, beyond which it is refused likewise: each
is a step of the interpreter, and these many are some seconds. Only what msgspec refuses is counted."""

MAX_TOKENS = 1 << 21
"""Strings and structural characters that are looked at in one damaged text: some half a second. The longest
answers that were seen have a tenth of it."""

_FOLD_DEPTH = 400
"""How deep a piece given to msgspec may nest: well within the interpreter's usual limit of 1,000."""

# Possessive, and content with the text's end in place of a closing quote: never tried twice.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_MARK = re.compile(STRING + rb"|[\[\]{}]", re.DOTALL)
_TOKEN = re.compile(STRING + rb"|[\[\]{},:]", re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
_BETWEEN = re.compile(rb"[ \t\r\n,:]*")
_SCALAR = re.compile(STRING + rb"|[^\[\]{}\",: \t\r\n]+", re.DOTALL)

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u])"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)

_skip = msgspec.json.Decoder(msgspec.Raw).decode
_decode_string = msgspec.json.Decoder(str).decode


class NotJson(ValueError):
    """The text is not a JSON value; the message describes the error."""


class TooDeep(ValueError):
    """The text nests deeper than ``MAX_DEPTH``, or has more in it than ``MAX_MARKS`` or ``MAX_MEMBERS``."""


class TooMuch(Exception):
    """Scanning the text would exceed the limit of tokens."""


def mended(text: bytes) -> bytes:
    """Return the text with each lone surrogate's escape made U+FFFD's, at the same length."""
    if _SURROGATE.search(text) is None:
        return text
    whole = bytearray(text)  # in place: a piece for each escape would take many times the text
    for found in _ESCAPE.finditer(text):
        if found.lastindex is None:
            whole[found.start() : found.end()] = rb"\ufffd"
    return bytes(whole)


def folded(text: bytes) -> bytes:
    """Return the text with what nests too deeply for msgspec made ``[]``; all of it is checked.

    The text has to be mended. Raises NotJson and TooDeep.
    """
    try:
        _skip(text)
    except RecursionError:
        return _fold(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(str(error)) from None
    return text


def _fold(text: bytes) -> bytes:
    """Cut the text into pieces by depth, innermost first, and check each with msgspec.

    A piece that was checked leaves ``[]`` in the piece around it: a value where a value may
    stand, and an error everywhere else (``[]`` cannot be a key, nor continue a number).
    """
    pieces: list[list[bytes]] = [[]]
    depth = copied = 0
    for mark in _marks(text, 0):
        match text[mark.start()]:
            case 0x5B | 0x7B:
                if depth and depth % _FOLD_DEPTH == 0:
                    pieces[-1].append(text[copied : mark.start()])
                    pieces.append([])
                    copied = mark.start()
                depth += 1
                if depth > MAX_DEPTH:
                    raise TooDeep(f"nested deeper than {MAX_DEPTH:,} levels")
            case 0x5D | 0x7D:
                depth -= 1
                if depth > 0 and depth % _FOLD_DEPTH == 0:
                    _check([*pieces.pop(), text[copied : mark.end()]])
                    pieces[-1].append(b"[]")
                    copied = mark.end()
    if len(pieces) != 1:
        raise NotJson("a bracket is never closed")
    return _check([*pieces[0], text[copied:]])


def _marks(text: bytes, start: int) -> Iterator[re.Match[bytes]]:
    """Yield strings and brackets. Raises TooDeep beyond ``MAX_MARKS``."""
    found = _MARK.finditer(text, start)
    yield from islice(found, MAX_MARKS)
    if next(found, None) is not None:
        raise TooDeep(f"more than {MAX_MARKS:,} strings and brackets")


def _check(parts: list[bytes]) -> bytes:
    piece = b"".join(parts)
    try:
        _skip(piece)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(str(error)) from None
    return piece


def is_object(text: bytes) -> bool:
    """Whether the text, which is whole JSON, is an object."""
    return text[_space_end(text, 0)] == ord("{")


def members(text: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield name, start and end of each member's value; the text is a whole, mended object. Raises TooDeep."""
    passed = 0
    position = _between_end(text, _space_end(text, 0) + 1)
    while text[position] != ord("}"):
        end = value_end(text, position)
        name = _decode_string(text[position:end])
        start = _between_end(text, end)
        end = value_end(text, start)
        yield name, start, end
        position = _between_end(text, end)
        passed += 1
        if passed > MAX_MEMBERS:
            raise TooDeep(f"more than {MAX_MEMBERS:,} members in an object")


def elements(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each value of an array; the text is a whole, mended one."""
    position = _between_end(text, _space_end(text, 0) + 1)
    while text[position] != ord("]"):
        end = value_end(text, position)
        yield position, end
        position = _between_end(text, end)


def _space_end(text: bytes, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _between_end(text: bytes, position: int) -> int:
    found = _BETWEEN.match(text, position)
    return found.end() if found else position


def value_end(text: bytes, start: int) -> int:
    """Return where the value ends that starts here. Raises NotJson and TooDeep."""
    scalar = _SCALAR.match(text, start)
    if scalar is not None:
        return scalar.end()
    depth = 0
    for mark in _marks(text, start):
        match text[mark.start()]:
            case 0x5B | 0x7B:
                depth += 1
            case 0x5D | 0x7D:
                depth -= 1
                if depth == 0:
                    return mark.end()
    raise NotJson("a bracket is never closed")


def _tokens(text: bytes) -> Iterator[re.Match[bytes]]:
    """Yield strings, whole or cut off by the text's end, and structural characters. Raises TooMuch."""
    for steps, token in enumerate(_TOKEN.finditer(text)):
        if steps == MAX_TOKENS:
            raise TooMuch(f"more than {MAX_TOKENS:,} tokens")
        yield token


def cut_members(text: bytes) -> dict[str, bytes]:
    """Return the members' raw values of an object that may be damaged, the last one of equal names.

    Text that is no object has none; damaged text has those before the damage. Raises TooMuch.
    """
    found: dict[str, bytes] = {}
    at = _space_end(text, 0)
    if text[at : at + 1] != b"{":
        return found
    depth, name = 0, b""
    start: int | None = None  # of the value that is being passed
    for token in _tokens(text):
        first = text[token.start()]
        depth += (first in b"{[") - (first in b"}]")
        if start is None:
            if first == ord(":"):
                start = token.end()
            name = token[0] if first == ord('"') else name
        elif depth == 0 or (depth == 1 and first == ord(",")):
            found[_name(name)] = text[start : token.start()].strip()
            start = None
        if depth == 0:
            break
    return found


def _name(token: bytes) -> str:
    try:
        return str(json.loads(token.decode("utf-8", "replace")))
    except ValueError:
        return ""


def cut_items(text: bytes) -> list[bytes]:
    """Return the whole objects and arrays that stand directly in an array, which may be damaged. Raises TooMuch."""
    found: list[bytes] = []
    depth = start = 0
    for token in _tokens(text):
        match text[token.start()]:
            case 0x5B | 0x7B:
                depth += 1
                if depth == 2:
                    start = token.start()
            case 0x5D | 0x7D:
                depth -= 1
                if depth == 1:
                    found.append(text[start : token.end()])
                elif depth == 0:
                    break
    return found


def _readable(line: bytes) -> bytes:
    """Return the line as msgspec reads it: JSON may nest deeper, and hold half a surrogate. Raises ValueError."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return folded(mended(line))
    return line


def is_json(line: bytes) -> bool:
    """Return whether the text is one JSON value, whatever msgspec makes of it."""
    try:
        _readable(line)
    except ValueError:
        return False
    return True
