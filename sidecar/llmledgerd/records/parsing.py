"""Parsing of a line into a typed record, or its rejection with a reason.

Invariant: for any bytes, ``parse`` returns the line's content or raises ``Rejected``, and nothing else. The
content of a payload never rejects a line that is JSON. Payloads stay raw: byte for byte as they were
received.

Nearly every line passes in one decoding, in which msgspec checks every limit and skips payloads
at the speed of C. A refused line is read a second time, because msgspec refuses some legal JSON (see
``json_text``), and because reasons have an order: a line that is not JSON is ``not_json``, even if a wrong type
comes first in it.
"""

from __future__ import annotations

import codecs
import math
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import Raw

from llmledger.protocol import (
    ABSENT,
    SUPPORTED_VERSIONS,
    Begin,
    End,
    Record,
)
from llmledgerd import json_text
from llmledgerd.errors import Rejected
from llmledgerd.records.wire_fields import JSON, MEASURES, Limit, limits, without_limits

NOT_UTF8: Final = "not_utf8"
NOT_JSON: Final = "not_json"
TOO_DEEP: Final = "too_deep"
NOT_AN_OBJECT: Final = "not_an_object"
NO_PROTOCOL_VERSION: Final = "no_protocol_version"
UNSUPPORTED_PROTOCOL_VERSION: Final = "unsupported_protocol_version"
"""Any value other than the integers 1 to 4, including ``"4"``, ``4.0`` and ``true``, so that a sender sees one
reason for every wrong version."""
MISPLACED_HELLO: Final = "misplaced_hello"
WRONG_TYPE: Final = "wrong_type"
BAD_ID: Final = "bad_id"
NEGATIVE_NUMBER: Final = "negative_number"
TOO_LONG: Final = "too_long"
"""Set by the framing of the stream; listed here with the other reasons."""

REASONS: Final = (
    TOO_LONG,
    NOT_UTF8,
    NOT_JSON,
    TOO_DEEP,
    NOT_AN_OBJECT,
    NO_PROTOCOL_VERSION,
    UNSUPPORTED_PROTOCOL_VERSION,
    MISPLACED_HELLO,
    WRONG_TYPE,
    BAD_ID,
    NEGATIVE_NUMBER,
)
"""All reasons, in the order of precedence. They are stable, because metrics, dead letters and senders use them."""

MAX_COUNT: Final = (1 << 63) - 1
"""Limit that a reported loss is clamped to, so that the column holds it and a sum of two."""


class Dropped(msgspec.Struct):
    """The sender's own losses since its last report, by reason."""

    counts: dict[str, int]


LARGE_BYTES: Final = 48 << 20
"""Size above which a line or stream is not decoded to text, which may be four times as large."""
_CHECKED_BYTES: Final = 1 << 20
_RAW_NULL: Final = Raw(b"null")
_utf8: Final = codecs.getincrementaldecoder("utf-8")


class _Line(Record, kw_only=True, gc=False):
    """A record, or the key that makes the line a control line."""

    hello: Raw = ABSENT
    begin: Raw = ABSENT
    dropped: Raw = ABSENT
    end: Raw = ABSENT


class _LargeLine(_Line, kw_only=True, gc=False):
    """A line whose stream stays raw until its length is known."""

    response_stream: Raw = _RAW_NULL  # type: ignore[assignment]  # until it is known how long it is


_FIELDS: Final = frozenset(_Line.__struct_fields__)
_VERSIONS: Final = frozenset(str(version).encode() for version in SUPPORTED_VERSIONS)
_NULL: Final = b"null"
_HUGE: Final = b"1e308"
"""Replacement of a number beyond a float; it is clamped to its column like any large one."""

_REFUSALS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_DETAIL_CHARACTERS: Final = 200

_Body = TypeVar("_Body", Begin, End)

_decode = msgspec.json.Decoder(_Line).decode
_decode_with_raw_stream = msgspec.json.Decoder(_LargeLine).decode
_decode_without_limits = msgspec.json.Decoder(without_limits(_Line)).decode
_counts_decoder = msgspec.json.Decoder(dict[str, int])
_decoders: Final[dict[Any, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Begin, End)
}
_decoders_without_limits: Final[dict[Any, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(without_limits(kind)) for kind in (Begin, End)
}
_LIMITS: Final[dict[type[msgspec.Struct], tuple[Limit, ...]]] = {
    Record: limits(Record),
    Begin: limits(Begin),
    End: limits(End),
}


def parse(line: bytes | memoryview) -> Record | Begin | Dropped | End:
    """Return the content of a line without its newline.

    Null and absent are the same for every optional field, unknown fields are ignored, and of two
    fields with one name the later counts (SPEC section 2). Raises Rejected with one of ``REASONS``.

    Payloads refer to the line's memory. The stream of a line beyond ``LARGE_BYTES`` stays raw as well.
    """
    read: _Line
    try:
        read = _decode(line) if len(line) <= LARGE_BYTES else _decode_large(line)
    except _REFUSALS:
        read = _read_again(bytes(line))
    else:
        # msgspec checks the encoding of what it decodes, not of what it skips.
        if isinstance(line, memoryview) or not line.isascii():
            _check_utf8(line)
    if read.begin is read.dropped is read.end is read.hello is ABSENT:
        return read
    return _control(read)


def _decode_large(line: bytes | memoryview) -> _Line:
    read: Any = _decode_with_raw_stream(line)
    if read.response_stream == _RAW_NULL:
        read.response_stream = None
    elif len(read.response_stream) <= LARGE_BYTES:
        read.response_stream = msgspec.json.decode(read.response_stream, type=str)
    elif bytes(memoryview(read.response_stream)[:1]) != b'"':
        raise msgspec.ValidationError("Expected `str | null` - at `$.response_stream`")
    return cast("_Line", read)


def _check_utf8(line: bytes | memoryview) -> None:
    """Check the encoding in parts: as text, a line may be four times as large."""
    decoder = _utf8()
    for start in range(0, len(line), _CHECKED_BYTES):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(line[start : start + _CHECKED_BYTES], start + _CHECKED_BYTES >= len(line))
        except UnicodeDecodeError as error:
            raise Rejected(NOT_UTF8, f"byte {start - held + error.start}: {error.reason}") from None


def _read_again(line: bytes) -> _Line:
    """Decode a line that the fast path refused, or raise the first reason in the order of ``REASONS``."""
    _check_utf8(line)
    text = json_text.mended(line)
    try:
        json_text.folded(text)
    except json_text.NotJson as error:
        raise Rejected(NOT_JSON, str(error)) from None
    except json_text.TooDeep as error:
        raise Rejected(TOO_DEEP, str(error)) from None
    if not json_text.is_object(text):
        raise Rejected(NOT_AN_OBJECT)
    try:
        payloads, others = _members(line, text)
    except json_text.TooDeep as error:
        raise Rejected(TOO_DEEP, str(error)) from None
    _check_version(others.get("protocol_version", _NULL))
    read = _decode_others(others)
    for name, payload in payloads.items():
        setattr(read, name, Raw(payload))
    if _is_record(read):
        _check_limits(read, Record)
    return read


def _members(line: bytes, text: bytes) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the payloads as received, and the other known fields in a form that msgspec accepts."""
    payloads: dict[str, bytes] = {}
    others: dict[str, bytes] = {}
    for name, start, end in json_text.members(text):
        if name in JSON:
            payloads[name] = line[start:end]
        elif name in _FIELDS:
            others[name] = json_text.folded(text[start:end])
    for name in MEASURES:
        if _overflows(others.get(name, _NULL)):
            others[name] = b"-" + _HUGE if others[name].startswith(b"-") else _HUGE
    return payloads, others


def _overflows(text: bytes) -> bool:
    try:
        return math.isinf(float(text))
    except ValueError:
        return False


def _check_version(text: bytes) -> None:
    if text == _NULL:
        raise Rejected(NO_PROTOCOL_VERSION)
    if text not in _VERSIONS:
        raise Rejected(UNSUPPORTED_PROTOCOL_VERSION, text[:_DETAIL_CHARACTERS].decode(errors="replace"))


def _decode_others(others: dict[str, bytes]) -> _Line:
    pairs = (b'"%s":%s' % (name.encode(), value) for name, value in others.items())
    try:
        return _decode_without_limits(b"{%s}" % b",".join(pairs))
    except msgspec.ValidationError as error:
        raise Rejected(WRONG_TYPE, str(error)) from None


def _is_record(read: _Line) -> bool:
    return all(bytes(body) == _NULL for body in (read.hello, read.begin, read.dropped, read.end))


def _check_limits(read: msgspec.Struct, kind: type[msgspec.Struct], within: str = "") -> None:
    """Raise the first reason among the limits of the fields: identifiers precede numbers."""
    for limit in _LIMITS[kind]:
        value = limit.value(read)
        if value is None:
            continue
        name = within + ".".join(limit.path)
        if not isinstance(value, str):
            _check_count(name, value)
        elif len(value) < limit.min_length:
            raise Rejected(BAD_ID, f"{name} is empty")
        elif limit.max_length is not None and len(value) > limit.max_length:
            text = f"{name} has {len(value):,} characters, the limit is {limit.max_length}"
            raise Rejected(BAD_ID, text)


def _control(read: _Line) -> Record | Begin | Dropped | End:
    """Return the body of a control line; a line whose control keys are all null is a record."""
    if bytes(read.hello) != _NULL:
        raise Rejected(MISPLACED_HELLO, "a hello is the first line of its connection")
    bodies = {"begin": read.begin, "dropped": read.dropped, "end": read.end}
    kinds = [name for name, body in bodies.items() if bytes(body) != _NULL]
    if len(kinds) > 1:  # one of them would be lost silently
        raise Rejected(WRONG_TYPE, f"one line has {' and '.join(kinds)}")
    if bytes(read.begin) != _NULL:
        return _body(read.begin, Begin)
    if bytes(read.dropped) != _NULL:
        counts: dict[str, int] = _decoded(read.dropped, _counts_decoder)
        for reason, count in counts.items():
            _check_count(f"dropped.{reason}", count)
        return Dropped({reason: min(count, MAX_COUNT) for reason, count in counts.items()})
    if bytes(read.end) != _NULL:
        return _body(read.end, End, within="end.")
    return read


def _body(raw: Raw, kind: type[_Body], within: str = "") -> _Body:
    """Return the body of a control line, or raise the first reason in the order of ``REASONS``."""
    try:
        return cast("_Body", _decoded(raw, _decoders[kind]))
    except Rejected:
        _check_limits(_decoded(raw, _decoders_without_limits[kind]), kind, within)
        raise


def _decoded(raw: Raw, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode the value of a control line, which may still contain JSON that msgspec refuses."""
    try:
        return decoder.decode(json_text.folded(json_text.mended(bytes(raw))))
    except msgspec.ValidationError as error:
        raise Rejected(WRONG_TYPE, str(error)) from None


def _check_count(name: str, count: float) -> None:
    if count < 0:
        raise Rejected(NEGATIVE_NUMBER, name[:_DETAIL_CHARACTERS])
