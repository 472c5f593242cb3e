"""JSON as text: is it whole, and where do its members lie, without building any value.

Invariant: what RFC 8259 calls JSON is accepted however deep it nests and whatever escapes it
holds, and nothing else is. It exists because msgspec, which reads almost every line, refuses
nesting beyond the interpreter's recursion limit and escaped surrogates without their other half;
both are legal. Only lines that msgspec refused come here, so that plainness wins over speed, but
the time is linear in the text whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

MAX_DEPTH = 1_000_000
"""Deeper text is refused, as RFC 8259 section 9 allows: a line of brackets alone, at the limit of
lines, would otherwise keep one core for a minute."""

_FOLD_DEPTH = 400
"""How deep a piece given to msgspec may nest: well within the interpreter's usual limit of 1,000."""

# Possessive, and content with the text's end in place of a closing quote: never tried twice.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_MARK = re.compile(STRING + rb"|[\[\]{}]", re.DOTALL)
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
    """The text is no JSON value; the message says what is wrong, for people."""


class TooDeep(ValueError):
    """The text nests deeper than ``MAX_DEPTH``."""


def mended(text: bytes) -> bytes:
    """Return the text with each lone surrogate's escape made U+FFFD's, at the same length."""
    if _SURROGATE.search(text) is None:
        return text
    return _ESCAPE.sub(lambda found: found[1] or rb"\ufffd", text)


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
    for mark in _MARK.finditer(text):
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
    """Yield name, start and end of each member's value; the text is a whole, mended object."""
    position = _between_end(text, _space_end(text, 0) + 1)
    while text[position] != ord("}"):
        end = value_end(text, position)
        name = _decode_string(text[position:end])
        start = _between_end(text, end)
        end = value_end(text, start)
        yield name, start, end
        position = _between_end(text, end)


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
    """Return where the value ends that starts here. Raises NotJson."""
    scalar = _SCALAR.match(text, start)
    if scalar is not None:
        return scalar.end()
    depth = 0
    for mark in _MARK.finditer(text, start):
        match text[mark.start()]:
            case 0x5B | 0x7B:
                depth += 1
            case 0x5D | 0x7D:
                depth -= 1
                if depth == 0:
                    return mark.end()
    raise NotJson("a bracket is never closed")
