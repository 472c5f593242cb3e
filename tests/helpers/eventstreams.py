"""Amazon's event stream, written: the reverse of what the client reads."""

from __future__ import annotations

import struct
import zlib


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """Return one message with text headers, lengths and checksums right."""
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", len(head) + len(payload) + 16, len(head))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(name: str, payload: bytes) -> bytes:
    """Return an event of that name."""
    return message(
        {":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload
    )
