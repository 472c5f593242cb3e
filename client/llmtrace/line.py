"""One line: as the caller left it, and as the sender makes it up.

Invariants:
- The fields of a waiting line are immutable values, so the application cannot change them any more.
- The pieces of a line, joined, are one JSON object in UTF-8 with one newline, its last byte; and
  they are the same however often they are asked for, the id and timestamp made here included.
- In a record payloads stand before the envelope. Of a repeated key the last one counts, so large
  bytes that are no JSON, and were not read whole, cannot speak for the envelope.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, Literal

import msgspec

from llmtrace.encoding import Encoded, encode
from llmtrace.payload import LONGEST_ESCAPE, rendered
from llmtrace.protocol import PROTOCOL_VERSION

OVERHEAD_BYTES: Final = 1280
"""What a waiting line takes beside its values, at most: the objects that hold them. Measured with
tracemalloc: 330 bytes where the payloads are bytes, 1,250 where they and the tags were encoded."""

RESERVED: Final = frozenset({"protocol_version", "hello", "begin", "dropped", "end"})
"""Keys that make a line something else than a record; no application's field."""

STREAM: Final = "response_stream"
_PAYLOADS = ("request", "response", STREAM, "llm_config", "compaction_settings")
_LONGEST_LATENCY_MS = 7 * 24 * 3600 * 1000


class Payload(msgspec.Struct, frozen=True, gc=False):
    """Bytes or text of the application, still to be worked on."""

    data: bytes | str
    is_stream: bool


class Line(msgspec.Struct, gc=False):
    """``size`` is what it takes of the buffer, in bytes; ``at`` is when it was handed over."""

    kind: Literal["record", "begin", "dropped", "end"]
    fields: dict[str, Any]
    size: int
    at: float = 0.0
    parts: tuple[bytes | Payload, ...] = ()
    """Empty until the sender has made them."""


def control(kind: Literal["dropped", "end"], body: dict[str, int]) -> Line:
    """Return a line of the sender's own."""
    return Line(kind, body, OVERHEAD_BYTES)


def pieces(line: Line) -> Iterator[bytes]:
    """Yield the line's bytes; those that need work are worked on one slice at a time."""
    for part in _made(line):
        if isinstance(part, bytes):
            yield part
        else:
            yield from rendered(part.data, is_stream=part.is_stream)


def most_bytes(line: Line) -> int:
    """Return a length that the line does not pass. It takes no look at payloads."""
    return sum(
        len(part) if isinstance(part, bytes) else LONGEST_ESCAPE * len(part.data) + 2 for part in _made(line)
    )


def new_id() -> str:
    """Return a ``provider_trace_id``: the prefix and a UUID in the form of RFC 9562, version 4.

    Its first 74 random bits are the process's, the last 48 are counted: as unique as random ones
    where nobody must be unable to guess them, at a fifth of their cost.
    """
    return f"{_process_part[0]}{next(_count) & 0xFFFFFFFFFFFF:012x}"


def _draw_process_part() -> None:
    text = os.urandom(16).hex()
    variant = "89ab"[int(text[16], 16) & 3]
    _process_part[:] = [f"provider_trace-{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-"]


_process_part: list[str] = []
_draw_process_part()
os.register_at_fork(after_in_child=_draw_process_part)
_count = count(random.getrandbits(48))


def _made(line: Line) -> tuple[bytes | Payload, ...]:
    if not line.parts:
        line.parts = _record(line) if line.kind == "record" else _control(line)
        line.fields = {}
    return line.parts


def _control(line: Line) -> tuple[bytes]:
    body = line.fields
    if line.kind == "begin":
        _identify(body, line.at)
    return (b'{"protocol_version":%d,"%s":%s}\n' % (PROTOCOL_VERSION, line.kind.encode(), _object(body)),)


def _object(fields: dict[str, Any]) -> bytes:
    return encode(
        {
            name: msgspec.Raw(value.data) if isinstance(value, Encoded) else value
            for name, value in fields.items()
        }
    )


def _record(line: Line) -> tuple[bytes | Payload, ...]:
    fields = line.fields
    if not RESERVED.isdisjoint(fields):
        fields = {name: value for name, value in fields.items() if name not in RESERVED}
    parts: list[bytes | Payload] = []
    for name in _PAYLOADS:
        payload = fields.pop(name, None)
        if payload is not None:
            parts += (b'%s"%s":' % (b"," if parts else b"{", name.encode()), _part(name, payload))
    _identify(fields, line.at)
    fields["protocol_version"] = PROTOCOL_VERSION
    rest = _object(fields) + b"\n"
    return (*parts, b"," + rest[1:]) if parts else (rest,)


def _part(name: str, payload: Any) -> bytes | Payload:
    if isinstance(payload, Encoded):
        return payload.data
    if not isinstance(payload, bytes | str):
        return encode(payload)  # a number
    # An empty body is no payload; an empty stream is one that said nothing.
    return Payload(payload, name == STREAM) if payload or name == STREAM else b"null"


def _identify(fields: dict[str, Any], at: float) -> None:
    """Make an id and a timestamp where none is given; a call began its latency before its record."""
    if fields.get("provider_trace_id") is None:
        fields["provider_trace_id"] = new_id()
    if fields.get("timestamp") is None:
        latency_ms = fields.get("latency_ms")
        if isinstance(latency_ms, int | float) and 0 < latency_ms < _LONGEST_LATENCY_MS:
            at -= latency_ms / 1000
        fields["timestamp"] = datetime.fromtimestamp(at, UTC)
