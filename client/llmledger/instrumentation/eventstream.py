"""Amazon's event stream as text: ``event:`` and ``data:`` lines for the daemon. Pure.

Invariant: every complete, well-framed message is rendered, in order; a damaged or truncated end is left
out, and nothing raises. InvokeModel's chunks contain the model's own event in Base64, which is decoded.

Source: Amazon Transcribe developer guide, "Event stream encoding": total length, length of headers,
checksum of both (each 4 bytes, big-endian), headers, payload, checksum. The checksums are not looked
at: TLS has done that, and the SDK does.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM_BYTES: Final = 4
_STRING: Final = 7
_VALUE_BYTES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""By type: true, false, byte, short, int, long, timestamp, UUID. 6 and 7 carry their length."""


class _Chunk(msgspec.Struct):
    bytes: str


_read_chunk = msgspec.json.Decoder(_Chunk).decode


def rendered(stream: bytes) -> bytes:
    """Return the stream as text."""
    return b"".join(b"event: %s\ndata: %s\n\n" % message for message in _messages(stream))


def _messages(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start + _PRELUDE.size <= len(stream):
        total, headers_bytes, _ = _PRELUDE.unpack_from(stream, start)
        headers_end = start + _PRELUDE.size + headers_bytes
        payload_end = start + total - _CHECKSUM_BYTES
        if payload_end < headers_end or start + total > len(stream):
            return
        name = _name(stream[start + _PRELUDE.size : headers_end])
        yield name, _payload(name, stream[headers_end:payload_end])
        start += total


def _payload(name: bytes, payload: bytes) -> bytes:
    if name == b"chunk":
        with suppress(msgspec.DecodeError, ValueError):  # not a chunk of InvokeModel: unchanged
            payload = b64decode(_read_chunk(payload).bytes)
    return payload.replace(b"\n", b" ") or b"{}"


def _name(headers: bytes) -> bytes:
    """Return ``:event-type`` of an event, ``:exception-type`` of an exception, ``error`` else."""
    found = dict(_strings(headers))
    return found.get(b":event-type") or found.get(b":exception-type") or b"error"


def _strings(headers: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(headers):
        name_end = at + 1 + headers[at]
        name = headers[at + 1 : name_end]
        kind = headers[name_end] if name_end < len(headers) else -1
        at = name_end + 1
        length = _VALUE_BYTES.get(kind)
        if length is None:
            length = int.from_bytes(headers[at : at + 2])
            at += 2
        if kind == _STRING:
            yield name, headers[at : at + length]
        at += length
