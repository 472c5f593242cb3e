"""One line of the protocol: fields from the caller, encoded by the sender.

Invariants:
- A line holds only immutable values: mutable ones are encoded on the caller's thread, and the sender does
  the rest (the envelope, checking and escaping payloads).
- The pieces of a line, joined, are one JSON object in UTF-8 that ends with its only newline; each
  iteration yields the same pieces, including the generated id and timestamp.
- URL and headers lose confidential parts (``harmless``), from any source. Payloads are unchanged.
- In a record the payloads precede the envelope. The last one of duplicate keys counts, so large bytes
  that are invalid JSON, and were not fully checked, cannot override the envelope.

A payload (``request``, ``response``, ``llm_config``, ``compaction_settings``) may be

- ``bytes``: JSON already encoded (``bytearray`` and ``memoryview`` are copied, because they can change);
- ``str``: an object or array of JSON, or any other text, which travels as a JSON string;
- anything else: encoded at once.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from llmledger.encoding import encode
from llmledger.harmless import bare_url, harmless_headers
from llmledger.lifecycle import in_forked_child
from llmledger.payload import LONGEST_ESCAPE, at_once, passed, rendered
from llmledger.protocol import CONTROL_BODIES, PROTOCOL_VERSION, frame

OVERHEAD_BYTES: Final = 512
"""Upper bound of a line's memory beside its fields: the objects that hold them (430 measured)."""

FIELD_BYTES: Final = 80
"""Memory of a field beside its value's length: dict entry and object header (53 to 65 measured)."""

SHORT: Final = 128
"""Shorter text counts by its length; longer text by its memory, up to four bytes per character."""

RESERVED: Final = frozenset({"protocol_version", *CONTROL_BODIES})
"""Keys of control lines; not fields of an application."""

STREAM: Final = "response_stream"
_PAYLOADS: Final = ("request", "response", STREAM, "llm_config", "compaction_settings")
_BINARY: Final = (bytes, bytearray, memoryview)
_READY: Final = frozenset({bytes, str, Raw})
_LONGEST_LEAD_BYTES: Final = 64
_LONGEST_LATENCY_MS: Final = 7 * 24 * 3600 * 1000


class Line(msgspec.Struct, gc=False):
    """One line of the session. ``size`` is its share of the buffer, in bytes."""

    kind: Literal["record", "begin", "dropped", "end"]
    size: int
    fields: dict[str, Any] | None = None
    """Fields from the caller, until the sender has encoded them."""
    at: float = 0.0
    """Time of the call to ``record``, in seconds since 1970."""
    envelope: bytes = b""
    """Encoded line after its payloads; for a control line, the whole line."""
    payloads: tuple[tuple[str, bytes | str | Raw], ...] = ()


def control(kind: Literal["dropped", "end"], body: dict[str, int]) -> Line:
    """Return a control line of the sender."""
    return Line(kind, OVERHEAD_BYTES, envelope=frame(kind, body))


def complete(line: Line) -> None:
    """Complete the line once: generate a missing id and time, and encode the envelope."""
    fields = line.fields
    if fields is None:
        return
    payloads: list[tuple[str, bytes | str | Raw]] = []
    for name in _PAYLOADS:
        payload = fields.pop(name, None)
        if payload is not None:
            payloads.append((name, payload if type(payload) in _READY else Raw(encode(payload))))
    for name in RESERVED & fields.keys():
        del fields[name]
    if fields.get("provider_trace_id") is None:
        fields["provider_trace_id"] = new_id()
    if fields.get("timestamp") is None:
        fields["timestamp"] = _start(line.at, fields.get("latency_ms"))
    if type(fields.get("url")) is str:
        fields["url"] = bare_url(fields["url"])
    if fields.get("response_headers") is not None:
        fields["response_headers"] = _without_credentials(fields["response_headers"])
    if line.kind == "record":
        fields["protocol_version"] = PROTOCOL_VERSION
    end = b"\n" if line.kind == "record" else b"}\n"
    line.payloads = tuple(payloads)
    # The application's own JSON, passed as ``msgspec.Raw``, can contain newlines.
    line.envelope = encode(fields)[1:].replace(b"\n", b" ") + end
    line.fields = None


def pieces(line: Line) -> Iterator[bytes]:
    """Yield the line's bytes; payloads are processed one slice at a time."""
    complete(line)
    if line.kind not in ("record", "begin"):
        yield line.envelope
        return
    lead = b"{" if line.kind == "record" else b'{"protocol_version":%d,"begin":{' % PROTOCOL_VERSION
    for name, payload in line.payloads:
        yield b'%s"%s":' % (lead, name.encode())
        yield from _values(name, payload)
        lead = b","
    yield lead
    yield line.envelope


def whole(line: Line) -> bytes:
    """Return the line's bytes at once: a short line costs half as much so as by its pieces."""
    complete(line)
    if line.kind != "record":
        return b"".join(pieces(line))
    lead = b"{"
    parts: list[bytes] = []
    for name, payload in line.payloads:
        parts.append(b'%s"%s":' % (lead, name.encode()))
        if type(payload) is bytes and payload and name != STREAM:
            parts.append(at_once(payload))
        else:
            parts.append(b"".join(_values(name, payload)))
        lead = b","
    return b"".join((*parts, lead, line.envelope))


def _values(name: str, payload: bytes | str | Raw) -> Iterator[bytes]:
    if isinstance(payload, Raw):
        return passed(payload)
    if payload or name == STREAM:
        return rendered(payload, is_stream=name == STREAM)
    return iter((b"null",))  # an empty body is no payload; an empty stream is a stream without events


def most_bytes(line: Line) -> int:
    """Return an upper bound of the line's length, without reading payloads."""
    complete(line)
    payloads = sum(LONGEST_ESCAPE * len(payload) + len(name) + 8 for name, payload in line.payloads)
    return len(line.envelope) + payloads + _LONGEST_LEAD_BYTES


def new_id() -> str:
    """Return a new ``provider_trace_id``: the prefix and a UUID in the form of RFC 9562, version 4.

    Its first 74 random bits are fixed per process, the last 48 are a counter: as unique as a random
    UUID but guessable, at a fifth of the cost.

    >>> llmledger.new_id()
    'provider_trace-1c0f…'
    """
    return f"{_process_part[0]}{next(_count) & 0xFFFFFFFFFFFF:012x}"


def _draw_process_part() -> None:
    text = os.urandom(16).hex()
    variant = "89ab"[int(text[16], 16) & 3]
    _process_part[:] = [f"provider_trace-{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-"]


_process_part: list[str] = []
_draw_process_part()
in_forked_child(_draw_process_part)
_count = count(random.getrandbits(48))


def frozen(name: str, value: Any) -> bytes | Raw:
    """Return an immutable encoding of the value."""
    of = type(value)
    if of is dict or of is list:  # the common case, checked first
        return Raw(encode(value))
    if name in _PAYLOADS and isinstance(value, _BINARY):
        return bytes(value)
    return value if isinstance(value, Raw) else Raw(encode(value))


def _without_credentials(headers: Any) -> dict[str, Any] | None:
    """Return the allowed headers; None if the value is not a mapping."""
    given = msgspec.json.decode(headers) if isinstance(headers, Raw) else None
    return harmless_headers(given.items()) if isinstance(given, dict) else None


def _start(at: float, latency_ms: object) -> datetime:
    """Return the start of the call: the time of its record minus its latency."""
    if not isinstance(latency_ms, int | float) or not 0 < latency_ms < _LONGEST_LATENCY_MS:
        latency_ms = 0
    return datetime.fromtimestamp(at - latency_ms / 1000, UTC)
