"""One line: what the caller left, and what the sender adds.

Invariants:
- A line holds bytes and text alone, so the application cannot change it any more. Payloads that came
  as bytes or text are referred to: neither copied nor looked at on the caller's thread.
- The pieces of a line, joined, are one JSON object in UTF-8 with one newline, its last byte; and
  they are the same however often they are asked for, the id and timestamp made here included.
- In a record such payloads stand before the envelope. Of a repeated key the last one counts, so large
  bytes that are no JSON, and were not read whole, cannot speak for the envelope.

A payload (``request``, ``response``, ``llm_config``, ``compaction_settings``) may be

- ``bytes``: JSON already encoded (``bytearray`` and ``memoryview`` are copied, because they can change);
- ``str``: an object or array of JSON, or any other text, which travels as a JSON string;
- anything else: encoded together with the envelope.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from sys import getsizeof
from typing import Any, Final, Literal

import msgspec

from llmtrace.encoding import NOT_QUICKLY, encode, encode_quickly, encode_slowly
from llmtrace.payload import LONGEST_ESCAPE, rendered
from llmtrace.protocol import PROTOCOL_VERSION, frame

OVERHEAD_BYTES: Final = 768
"""What a waiting line takes beside its values, at most: the objects that hold them (690 measured)."""

RESERVED: Final = frozenset({"protocol_version", "hello", "begin", "dropped", "end"})
"""Keys that make a line something else than a record; no application's field."""

STREAM: Final = "response_stream"
_PAYLOADS: Final = ("request", "response", STREAM, "llm_config", "compaction_settings")
_APART: Final = (*_PAYLOADS, *RESERVED)
_LONGEST_TAIL_BYTES: Final = 256
_LONGEST_LATENCY_MS: Final = 7 * 24 * 3600 * 1000


class Line(msgspec.Struct, gc=False):
    """``size`` is what it takes of the buffer, in bytes."""

    kind: Literal["record", "begin", "dropped", "end"]
    size: int
    envelope: bytes
    """One JSON object: the fields that are not among ``payloads``; of a control line, all of it."""
    payloads: tuple[tuple[str, bytes | str], ...] = ()
    needs_id: bool = False
    needs_timestamp: bool = False
    at: float = 0.0
    """When it was handed over, in seconds since 1970."""
    latency_ms: object = None
    tail: bytes = b""
    """The fields that the sender adds; empty until it has made them."""


def take(kind: Literal["record", "begin"], fields: dict[str, Any], now: float) -> Line:
    """Return the line of these fields, and use up the dict: all the work on the caller's thread.

    Written for few calls and little code: with cold caches, as between two calls of a model, the
    application pays for each call in here as for half the encoding of an envelope.
    """
    payloads: tuple[tuple[str, bytes | str], ...] = ()
    size = OVERHEAD_BYTES
    for name in _APART:
        if name in fields:
            payload = fields[name]
            if type(payload) is not bytes or name in RESERVED:
                payload = _apart(name, payload)
                if payload is None:
                    continue
            del fields[name]
            payloads += ((name, payload),)
            size += getsizeof(payload)
    needs_id = fields.get("provider_trace_id") is None
    needs_timestamp = fields.get("timestamp") is None
    latency_ms = fields.get("latency_ms")
    try:
        envelope = encode_quickly(fields)
    except NOT_QUICKLY:
        envelope = encode_slowly(fields)
    size += len(envelope)
    return Line(kind, size, envelope, payloads, needs_id, needs_timestamp, now, latency_ms)


def control(kind: Literal["dropped", "end"], body: dict[str, int]) -> Line:
    """Return a line of the sender's own."""
    return Line(kind, OVERHEAD_BYTES, frame(kind, body))


def pieces(line: Line) -> Iterator[bytes | memoryview]:
    """Yield the line's bytes; those that need work are worked on one slice at a time."""
    if line.kind not in ("record", "begin"):
        yield line.envelope
        return
    if not line.tail:
        _complete(line)
    lead = b"{" if line.kind == "record" else b'{"protocol_version":%d,"begin":{' % PROTOCOL_VERSION
    for name, payload in line.payloads:
        if name in RESERVED:
            continue
        yield b'%s"%s":' % (lead, name.encode())
        # An empty body is no payload; an empty stream is one that said nothing.
        is_stream = name == STREAM
        yield from rendered(payload, is_stream=is_stream) if payload or is_stream else (b"null",)
        lead = b","
    yield lead
    yield memoryview(line.envelope)[1:-1]
    yield line.tail


def most_bytes(line: Line) -> int:
    """Return a length that the line does not pass. It takes no look at payloads."""
    payloads = sum(LONGEST_ESCAPE * len(payload) + len(name) + 8 for name, payload in line.payloads)
    return len(line.envelope) + payloads + _LONGEST_TAIL_BYTES


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


def _apart(name: str, payload: Any) -> bytes | str | None:
    """Return what is not to be encoded with the envelope; None where it is."""
    if name in RESERVED:
        return b""
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload)
    return payload if type(payload) is str else None  # a subclass may carry more than its characters


def _start(line: Line) -> datetime:
    """Return when the call began: its latency before its record."""
    latency_ms = line.latency_ms
    if not isinstance(latency_ms, int | float) or not 0 < latency_ms < _LONGEST_LATENCY_MS:
        latency_ms = 0
    return datetime.fromtimestamp(line.at - latency_ms / 1000, UTC)


def _complete(line: Line) -> None:
    """Make an id and a timestamp where none was given, once and for all."""
    made: dict[str, Any] = {}
    if line.needs_id:
        made["provider_trace_id"] = new_id()
    if line.needs_timestamp:
        made["timestamp"] = _start(line)
    if line.kind == "record":
        made["protocol_version"] = PROTOCOL_VERSION
    members = encode(made)[1:-1]
    comma = b"," if members and len(line.envelope) > len(b"{}") else b""
    line.tail = comma + members + (b"}\n" if line.kind == "record" else b"}}\n")
    if b"\n" in line.envelope:  # the application's own JSON, in a ``msgspec.Raw``
        line.envelope = line.envelope.replace(b"\n", b" ")
