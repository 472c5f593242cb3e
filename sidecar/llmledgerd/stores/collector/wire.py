"""Protocol Buffers' encoding of the messages of a trace request. Pure.

The few messages that are written need no generated classes, so that forwarding needs no extra.

Source: Protocol Buffers, "Encoding"; opentelemetry-proto 1.x, ``trace.proto``, ``common.proto``, ``resource.proto``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

Value = str | bool | int | float | list[str]
"""Value of an attribute."""


def varint(number: int) -> bytes:
    """Return a number that is not negative."""
    if number < 0x80:
        return bytes((number,))
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def message(field: int, body: bytes | bytearray) -> bytes:
    """Return a field with a message, bytes or text."""
    return varint(field << 3 | 2) + varint(len(body)) + body


def text(field: int, value: str) -> bytes:
    """Return a field with text; nothing for empty text."""
    return message(field, value.encode("utf-8", "replace")) if value else b""


def number(field: int, value: int) -> bytes:
    """Return a field with a number or an enumeration; negative numbers take 64 bits."""
    return varint(field << 3) + varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def fixed64(field: int, value: int) -> bytes:
    """Return a field with a number of eight bytes."""
    return varint(field << 3 | 1) + struct.pack("<Q", value)


def attributes(field: int, values: Mapping[str, Value]) -> bytes:
    """Return ``KeyValue`` fields."""
    return b"".join(
        message(field, text(1, name) + message(2, _value(value))) for name, value in values.items()
    )


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return message(1, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return number(2, int(value))
    if isinstance(value, int):
        return number(3, value)
    if isinstance(value, float):
        return varint(4 << 3 | 1) + struct.pack("<d", value)
    return message(5, b"".join(message(1, _value(one)) for one in value))


def refused(answer: bytes) -> int:
    """Return ``partial_success.rejected_spans`` of an ``ExportTraceServiceResponse``; 0 of bytes that are none."""
    try:
        partial = next(
            (body for field, body in _fields(answer) if field == 1 and isinstance(body, bytes)), b""
        )
        return next((found for field, found in _fields(partial) if field == 1 and isinstance(found, int)), 0)
    except IndexError:
        return 0


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of fields up to one that is neither a number nor bytes. Raises IndexError."""
    at = 0
    while at < len(body):
        tag, at = _read_varint(body, at)
        found, at = _read_varint(body, at)
        if tag & 7 == 0:
            yield tag >> 3, found
        elif tag & 7 == 2:
            yield tag >> 3, body[at : at + found]
            at += found
        else:
            return


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
