"""One line: what the caller left, and what the sender makes of it.

Invariants:
- A line holds values alone that nobody can change: what can change is encoded on the caller's thread,
  and everything else (the envelope, the judging and escaping of payloads) is the sender's work.
- The pieces of a line, joined, are one JSON object in UTF-8 with one newline, its last byte; and
  they are the same however often they are asked for, the id and timestamp made here included.
- URL and headers lose what is confidential (``harmless``), whoever gave them. Payloads are what they are.
- In a record the payloads stand before the envelope. Of a repeated key the last one counts, so large
  bytes that are no JSON, and were not read whole, cannot speak for the envelope.

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
from llmledger.payload import LONGEST_ESCAPE, passed, rendered
from llmledger.protocol import PROTOCOL_VERSION, frame

OVERHEAD_BYTES: Final = 512
"""What a waiting line takes beside its fields, at most: the objects that hold them (430 measured)."""

FIELD_BYTES: Final = 80
"""What a field takes beside its value's length: its place in the dict and its object's head (53 to 65 measured)."""

SHORT: Final = 128
"""Text below it is counted by its length; above, by its memory, which may be four bytes a character."""

RESERVED: Final = frozenset({"protocol_version", "hello", "begin", "dropped", "end"})
"""Keys that make a line something else than a record; no application's field."""

STREAM: Final = "response_stream"
_PAYLOADS: Final = ("request", "response", STREAM, "llm_config", "compaction_settings")
_BINARY: Final = (bytes, bytearray, memoryview)
_APART: Final = frozenset({*_PAYLOADS, *RESERVED})
_LONGEST_LEAD_BYTES: Final = 64
_LONGEST_LATENCY_MS: Final = 7 * 24 * 3600 * 1000


class Line(msgspec.Struct, gc=False):
    """``size`` is what it takes of the buffer, in bytes."""

    kind: Literal["record", "begin", "dropped", "end"]
    size: int
    fields: dict[str, Any] | None = None
    """What was handed over, until the sender has made the rest of it."""
    at: float = 0.0
    """When that was, in seconds since 1970."""
    envelope: bytes = b""
    """The line from behind its payloads on; of a control line, all of it."""
    payloads: tuple[tuple[str, bytes | str | Raw], ...] = ()


def control(kind: Literal["dropped", "end"], body: dict[str, int]) -> Line:
    """Return a line of the sender's own."""
    return Line(kind, OVERHEAD_BYTES, envelope=frame(kind, body))


def complete(line: Line) -> None:
    """Make what the caller was spared, once and for all: the id and time where none was given, the JSON."""
    fields = line.fields
    if fields is None:
        return
    made = {name: value for name, value in fields.items() if name not in _APART}
    if made.get("provider_trace_id") is None:
        made["provider_trace_id"] = new_id()
    if made.get("timestamp") is None:
        made["timestamp"] = _start(line.at, fields.get("latency_ms"))
    if type(made.get("url")) is str:
        made["url"] = bare_url(made["url"])
    if made.get("response_headers") is not None:
        made["response_headers"] = _without_credentials(made["response_headers"])
    if line.kind == "record":
        made["protocol_version"] = PROTOCOL_VERSION
    end = b"\n" if line.kind == "record" else b"}\n"
    line.payloads = tuple(
        [(name, value) for name in _PAYLOADS if (value := _payload(fields, name)) is not None]
    )
    # A newline can be in the application's own JSON, which it hands over in a ``msgspec.Raw``.
    line.envelope = encode(made)[1:].replace(b"\n", b" ") + end
    line.fields = None


def pieces(line: Line) -> Iterator[bytes]:
    """Yield the line's bytes; those that need work are worked on one slice at a time."""
    complete(line)
    if line.kind not in ("record", "begin"):
        yield line.envelope
        return
    lead = b"{" if line.kind == "record" else b'{"protocol_version":%d,"begin":{' % PROTOCOL_VERSION
    for name, payload in line.payloads:
        yield b'%s"%s":' % (lead, name.encode())
        if isinstance(payload, Raw):
            yield from passed(payload)
        elif payload or name == STREAM:
            yield from rendered(payload, is_stream=name == STREAM)
        else:  # an empty body is no payload; an empty stream is one that said nothing
            yield b"null"
        lead = b","
    yield lead
    yield line.envelope


def most_bytes(line: Line) -> int:
    """Return a length that the line does not pass. It takes no look at payloads."""
    complete(line)
    payloads = sum(LONGEST_ESCAPE * len(payload) + len(name) + 8 for name, payload in line.payloads)
    return len(line.envelope) + payloads + _LONGEST_LEAD_BYTES


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
in_forked_child(_draw_process_part)
_count = count(random.getrandbits(48))


def frozen(name: str, value: Any) -> bytes | Raw:
    """Return what nobody can change and stands for the value."""
    of = type(value)
    if of is dict or of is list:  # nearly all; the rest is not looked at then
        return Raw(encode(value))
    if name in _PAYLOADS and isinstance(value, _BINARY):
        return bytes(value)
    return value if isinstance(value, Raw) else Raw(encode(value))


def _payload(fields: dict[str, Any], name: str) -> bytes | str | Raw | None:
    """Return a payload as it was taken; numbers and the like, which are legal JSON too, encoded."""
    payload = fields.get(name)
    return payload if payload is None or type(payload) in (bytes, str, Raw) else Raw(encode(payload))


def _without_credentials(headers: Any) -> dict[str, Any] | None:
    """Return the headers that are recorded; None where what was given is no mapping of them."""
    given = msgspec.json.decode(headers) if isinstance(headers, Raw) else None
    return harmless_headers(given.items()) if isinstance(given, dict) else None


def _start(at: float, latency_ms: object) -> datetime:
    """Return when the call began: its latency before its record."""
    if not isinstance(latency_ms, int | float) or not 0 < latency_ms < _LONGEST_LATENCY_MS:
        latency_ms = 0
    return datetime.fromtimestamp(at - latency_ms / 1000, UTC)
