"""Incremental JSON encoding of a response.

Invariant: each piece is fast to produce, so that sending them one by one does not block the event loop; and
payloads, which are nearly all of a response, are never in memory as text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from llmledgerd.query.results import Call, Page, Payloads

SLICE: Final = 192 << 10
"""Bytes per piece of base64; a multiple of three."""
PIECE: Final = 256 << 10

NULL: Final = b'"payloads":null'
"""Placeholder of the payloads in an encoded call. No text contains it, because quotes are escaped."""


def size_of(answer: Any) -> int:
    """Return the bytes of payloads that a response holds in memory."""
    calls = answer if isinstance(answer, list) else [answer]
    held = [call.payloads for call in calls if isinstance(call, Call) and call.payloads is not None]
    return sum(len(getattr(payloads, name)) for payloads in held for name in Payloads.__struct_fields__)


def pieces(answer: Any) -> Iterator[bytes]:
    """Yield the JSON of a response."""
    gathered = bytearray()
    for part in _parts(answer):
        gathered += part
        if len(gathered) >= PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _parts(answer: Any) -> Iterator[bytes]:
    if isinstance(answer, Page):
        yield b'{"calls":'
        yield from _parts(answer.calls)
        yield b',"cursor":' + _json(answer.cursor) + b"}"
    elif isinstance(answer, list):
        for number, one in enumerate(answer):
            yield b"," if number else b"["
            yield from _parts(one)
        yield b"]" if answer else b"[]"
    elif isinstance(answer, Call) and answer.payloads is not None:
        head, tail = _json(replace(answer, payloads=None)).split(NULL)
        yield head + b'"payloads":'
        yield from _payloads(answer.payloads)
        yield tail
    else:
        yield _json(answer)


def _payloads(payloads: Payloads) -> Iterator[bytes]:
    for number, name in enumerate(Payloads.__struct_fields__):
        content = getattr(payloads, name)
        yield b'%s"%s":"' % (b"," if number else b"{", name.encode())
        for start in range(0, len(content), SLICE):
            yield base64.b64encode(content[start : start + SLICE])
        yield b'"'
    yield b"}"


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)
