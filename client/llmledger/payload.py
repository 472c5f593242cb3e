"""The work on a payload that the caller was spared: bytes or text in, slices of the line out.

Invariant: the slices, joined, are one JSON value in UTF-8 without a newline, and the same however
often they are asked for. Between two slices anybody may have the interpreter's lock.

- JSON is passed through, raw newlines made spaces;
- what is no JSON (an HTML page, a truncated body, lines of JSON) becomes a JSON string, and so does
  the text of a stream;
- bytes that are no UTF-8 become U+FFFD.

Whether a payload is JSON is decided by reading it whole up to ``JUDGED_BYTES``, and by its first and
last significant character above, because one reading of some megabytes would stall the application's
threads. Large bytes that look like JSON and are none make a dead letter.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Iterator
from typing import Final

import msgspec

SLICE: Final = 32 << 10
"""Larger slices gain nothing: measured, 64 Ki characters cost twice as much each, because malloc
maps blocks of 128 KiB and more anew every time."""

JUDGED_BYTES: Final = 256 << 10
"""msgspec skips JSON at 1 to 5 GB/s, so this is a quarter of a millisecond at worst."""

LONGEST_ESCAPE: Final = 6
r"""One byte of text is at most ``\u0000`` in a JSON string."""

_ENDS_OF_BYTES = {b"{": b"}", b"[": b"]", b'"': b'"'}
_ENDS_OF_TEXT = {"{": "}", "[": "]"}
_encode = msgspec.json.Encoder().encode
_skip = msgspec.json.Decoder(msgspec.Raw).decode


def rendered(data: bytes | str, *, is_stream: bool) -> Iterator[bytes]:
    """Yield the JSON value that stands for the payload; a stream is text, whatever it looks like."""
    return _as_string(data) if is_stream or not is_json(data) else _as_json(data)


def passed(document: msgspec.Raw) -> Iterator[bytes]:
    """Yield what is JSON already."""
    view = memoryview(document)
    for start in range(0, len(view), SLICE):
        yield bytes(view[start : start + SLICE]).replace(b"\n", b" ")


def is_json(data: bytes | str) -> bool:
    """Return whether a payload travels as it is.

    Text counts only where it is an object or an array: ``"42"`` was a string in the application
    and stays one, while bytes are what came over a network.
    """
    if isinstance(data, str):
        looks_right = _ENDS_OF_TEXT.get(data[:256].lstrip()[:1], "?") == data[-256:].rstrip()[-1:]
        return looks_right and (len(data) > JUDGED_BYTES or _reads(_utf8_or_escape(data), looks_right))
    looks_right = _ENDS_OF_BYTES.get(data[:256].lstrip()[:1], b"?") == data[-256:].rstrip()[-1:]
    return looks_right if len(data) > JUDGED_BYTES else _reads(data, looks_right)


def _reads(document: bytes, looks_right: bool) -> bool:
    try:
        _skip(document.replace(b"\n", b" "))
    except RecursionError:
        return looks_right  # deep nesting is legal, and the daemon reads it
    except msgspec.DecodeError:
        # msgspec refuses lone surrogates (`\ud800`), which are legal too.
        return looks_right and (b"\\ud" in document or b"\\uD" in document)
    return True


def _as_json(data: bytes | str) -> Iterator[bytes]:
    for piece in _utf8(data) if isinstance(data, bytes) else map(_utf8_or_escape, _slices(data)):
        yield piece.replace(b"\n", b" ")


def _as_string(data: bytes | str) -> Iterator[bytes]:
    yield b'"'
    for text in _slices(data) if isinstance(data, str) else map(bytes.decode, _utf8(data)):
        yield _escaped(text)
    yield b'"'


def _escaped(text: str) -> bytes:
    try:
        return _encode(text)[1:-1]
    except UnicodeEncodeError:
        import json  # rare, and not free to import

        return json.dumps(text)[1:-1].encode()


def _utf8_or_escape(text: str) -> bytes:
    # A lone surrogate has no UTF-8; its backslash form is also its JSON escape.
    return text.encode(errors="backslashreplace")


def _slices(text: str) -> Iterator[str]:
    for start in range(0, len(text), SLICE):
        yield text[start : start + SLICE]


def _utf8(data: bytes) -> Iterator[bytes]:
    """Yield slices that end between characters, with whatever is no UTF-8 replaced."""
    start = 0
    while start < len(data):
        piece = data[start : start + SLICE]
        used = len(piece)
        if not piece.isascii():
            piece, used = _repaired(piece, is_last=start + used >= len(data))
        start += used
        yield piece


def _repaired(piece: bytes, is_last: bool) -> tuple[bytes, int]:
    """Return valid UTF-8, and how many bytes of the piece it stands for."""
    try:
        _, used = utf_8_decode(piece, "strict", is_last)
    except UnicodeDecodeError:
        text, used = utf_8_decode(piece, "replace", is_last)
        return text.encode(), used
    return piece[:used], used
