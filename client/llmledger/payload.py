"""Encoding of a payload by the sender: bytes or text in, slices of the line out.

Invariant: the slices, joined, are one JSON value in UTF-8 without a newline, and the same for each
iteration. Between two slices other threads can acquire the GIL.

- JSON is passed through, with raw newlines replaced by spaces;
- other content (an HTML page, a truncated body, JSON Lines) becomes a JSON string, and so does the
  text of a stream;
- invalid UTF-8 becomes U+FFFD.

Payloads up to ``JUDGED_BYTES`` are parsed to decide whether they are JSON; for larger ones the first and
last significant characters decide, because parsing some megabytes at once would stall the application's
threads. Large bytes that only look like JSON become a dead letter.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Iterator
from typing import Final

import msgspec

SLICE: Final = 32 << 10
"""Larger slices are slower: measured, 64 Ki characters cost twice as much each, because malloc
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
    """Yield the JSON value of the payload; a stream is always a string."""
    return _as_string(data) if is_stream or not is_json(data) else _as_json(data)


def at_once(data: bytes) -> bytes:
    """Return the JSON value of a short payload, without the slices."""
    line = data.replace(b"\n", b" ")
    if line.isascii():
        try:
            _skip(line)
        except (msgspec.DecodeError, RecursionError):
            pass  # what is not plain JSON is decided below
        else:
            return line
    return b"".join(rendered(data, is_stream=False))


def passed(document: msgspec.Raw) -> Iterator[bytes]:
    """Yield a payload that is already JSON."""
    view = memoryview(document)
    for start in range(0, len(view), SLICE):
        yield bytes(view[start : start + SLICE]).replace(b"\n", b" ")


def is_json(data: bytes | str) -> bool:
    """Return whether a payload is sent unchanged.

    Text counts as JSON only if it is an object or an array: ``"42"`` was a string in the application
    and stays one, while bytes come from a network.
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
        return looks_right and (b"\\ud" in document or b"\\uD" in document) and _is_legal(document)
    return True


def _is_legal(document: bytes) -> bool:
    """Return whether a document is JSON by RFC 8259, by the slower parser of the standard library.

    >>> _is_legal(b'["\\\\ud800"]'), _is_legal(b'["\\\\ud"]')
    (True, False)
    """
    import json  # rarely needed, and expensive to import

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        json.loads(document.decode(errors="replace"), parse_constant=refuse)
    except RecursionError:
        return True  # deep nesting is legal
    except ValueError:
        return False
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
        import json  # rarely needed, and expensive to import

        return json.dumps(text)[1:-1].encode()


def _utf8_or_escape(text: str) -> bytes:
    # A lone surrogate has no UTF-8; its backslash form is also its JSON escape.
    return text.encode(errors="backslashreplace")


def _slices(text: str) -> Iterator[str]:
    for start in range(0, len(text), SLICE):
        yield text[start : start + SLICE]


def _utf8(data: bytes) -> Iterator[bytes]:
    """Yield slices that end between characters, with invalid UTF-8 replaced."""
    start = 0
    while start < len(data):
        piece = data[start : start + SLICE]
        used = len(piece)
        if not piece.isascii():
            piece, used = _repaired(piece, is_last=start + used >= len(data))
        start += used
        yield piece


def _repaired(piece: bytes, is_last: bool) -> tuple[bytes, int]:
    """Return valid UTF-8, and the number of bytes of the piece that it replaces."""
    try:
        _, used = utf_8_decode(piece, "strict", is_last)
    except UnicodeDecodeError:
        text, used = utf_8_decode(piece, "replace", is_last)
        return text.encode(), used
    return piece[:used], used
