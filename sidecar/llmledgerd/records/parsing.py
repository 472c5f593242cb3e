"""Parsing of a line into a typed record, or its rejection with a reason.

Invariant: ``parse`` returns what a line says or raises ``Rejected``, and nothing else, whatever
the bytes; and no payload's content refuses a line that is JSON. Payloads stay raw: byte for byte
as they were received.

Nearly every line passes in one decoding, in which msgspec checks every limit and skips payloads
at the speed of C. What it refuses is read a second time, because it refuses lines that JSON
allows (see ``jsontext``), and because reasons have an order: a line that is no JSON is called
that, even where a wrong type comes first in it.
"""

from __future__ import annotations

import codecs
import math
from typing import Annotated, Any, Final, Literal, TypeVar, cast

import msgspec
from msgspec import Meta, Raw

from llmledger.protocol import (
    ABSENT,
    MAX_ID_CHARACTERS,
    SUPPORTED_VERSIONS,
    Begin,
    Billing,
    End,
    Record,
)
from llmledgerd import json_text
from llmledgerd.errors import Rejected

NOT_UTF8: Final = "not_utf8"
NOT_JSON: Final = "not_json"
TOO_DEEP: Final = "too_deep"
NOT_AN_OBJECT: Final = "not_an_object"
NO_PROTOCOL_VERSION: Final = "no_protocol_version"
UNSUPPORTED_PROTOCOL_VERSION: Final = "unsupported_protocol_version"
"""Anything but the integers 1 to 4: ``99``, and ``"4"``, ``4.0`` and ``true`` as well, so that a
sender sees one reason for whatever is wrong with its version."""
MISPLACED_HELLO: Final = "misplaced_hello"
WRONG_TYPE: Final = "wrong_type"
BAD_ID: Final = "bad_id"
NEGATIVE_NUMBER: Final = "negative_number"
TOO_LONG: Final = "too_long"
"""Given by whoever cuts the stream into lines; it stands here so that all reasons stand together."""

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
"""Every reason, in the order of precedence. Stable words: metrics, dead letters and senders have them."""

MAX_COUNT: Final = (1 << 63) - 1
"""What a report of losses is clamped to, so that its column and a sum of two hold it."""


class Dropped(msgspec.Struct):
    """The sender's own losses since its last report, by reason."""

    counts: dict[str, int]


_Id = Annotated[str, Meta(max_length=MAX_ID_CHARACTERS)]
_TraceId = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]
_Number = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]


LARGE_BYTES: Final = 48 << 20
"""A line, or the stream in it, beyond this is not made a text of: that may be four times as large."""
_CHECKED_BYTES: Final = 1 << 20
_RAW_NULL: Final = Raw(b"null")
_utf8: Final = codecs.getincrementaldecoder("utf-8")


class _AnyLine(Record, kw_only=True):
    """A record, or what makes a line none: types alone, without limits."""

    hello: Raw = ABSENT
    begin: Raw = ABSENT
    dropped: Raw = ABSENT
    end: Raw = ABSENT


class _StrictBilling(Billing, frozen=True):
    customer_id: _Id | None = None


class _StrictLine(_AnyLine, kw_only=True, gc=False):
    """The same, with the limits of SPEC section 2 in its types."""

    protocol_version: Literal[1, 2, 3, 4]
    provider_trace_id: _TraceId | None = None
    org_id: _Id | None = None
    project_id: _Id | None = None
    user_id: _Id | None = None
    agent_id: _Id | None = None
    run_id: _Id | None = None
    step_id: _Id | None = None
    trace_id: _Id | None = None
    span_id: _Id | None = None
    latency_ms: _Number | None = None
    time_to_first_token_ms: _Number | None = None
    attempt: _Number | None = None
    status_code: _Number | None = None
    billing: _StrictBilling | None = None


class _LargeLine(_StrictLine, kw_only=True, gc=False):
    """The same, of a line that is too large for its stream to be made a text of."""

    response_stream: Raw = _RAW_NULL  # type: ignore[assignment]  # until it is known how long it is


_IDS: Final = (
    "provider_trace_id",
    "org_id",
    "project_id",
    "user_id",
    "agent_id",
    "run_id",
    "step_id",
    "trace_id",
    "span_id",
)
_NUMBERS: Final = ("latency_ms", "time_to_first_token_ms", "attempt", "status_code")
_PAYLOADS: Final = frozenset({"request", "response", "error", "compaction_settings", "llm_config"})
_FIELDS: Final = frozenset(_AnyLine.__struct_fields__)
_VERSIONS: Final = frozenset(str(version).encode() for version in SUPPORTED_VERSIONS)
_NULL: Final = b"null"
_HUGE: Final = b"1e308"
"""In place of a number that no float holds; it is clamped to its column like any large one."""

_REFUSALS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_DETAIL_CHARACTERS: Final = 200

_Body = TypeVar("_Body", Begin, End, dict[str, int])

_decode = msgspec.json.Decoder(_StrictLine).decode
_decode_with_raw_stream = msgspec.json.Decoder(_LargeLine).decode
_decode_loosely = msgspec.json.Decoder(_AnyLine).decode


def parse(line: bytes | memoryview) -> Record | Begin | Dropped | End:
    """Return what the line says; it comes without its newline.

    Null and absent are the same for every optional field, unknown fields are ignored, and of two
    fields with one name the later counts (SPEC section 2). Raises Rejected with one of ``REASONS``.

    Payloads refer to the line's memory. The stream of a line beyond ``LARGE_BYTES`` stays raw as well.
    """
    read: _AnyLine
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


def _decode_large(line: bytes | memoryview) -> _AnyLine:
    read: Any = _decode_with_raw_stream(line)
    if read.response_stream == _RAW_NULL:
        read.response_stream = None
    elif len(read.response_stream) <= LARGE_BYTES:
        read.response_stream = msgspec.json.decode(read.response_stream, type=str)
    elif bytes(memoryview(read.response_stream)[:1]) != b'"':
        raise msgspec.ValidationError("Expected `str | null` - at `$.response_stream`")
    return cast("_AnyLine", read)


def _check_utf8(line: bytes | memoryview) -> None:
    """Check a part at a time: as text, a line may be four times as large."""
    decoder = _utf8()
    for start in range(0, len(line), _CHECKED_BYTES):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(line[start : start + _CHECKED_BYTES], start + _CHECKED_BYTES >= len(line))
        except UnicodeDecodeError as error:
            raise Rejected(NOT_UTF8, f"byte {start - held + error.start}: {error.reason}") from None


def _read_again(line: bytes) -> _AnyLine:
    """Read what the fast decoding refused; raise the first reason in the order of ``REASONS``."""
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
        _check_limits(read)
    return read


def _members(line: bytes, text: bytes) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the payloads as received, and the other known fields made fit for msgspec."""
    payloads: dict[str, bytes] = {}
    others: dict[str, bytes] = {}
    for name, start, end in json_text.members(text):
        if name in _PAYLOADS:
            payloads[name] = line[start:end]
        elif name in _FIELDS:
            others[name] = json_text.folded(text[start:end])
    for name in _NUMBERS:
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


def _decode_others(others: dict[str, bytes]) -> _AnyLine:
    pairs = (b'"%s":%s' % (name.encode(), value) for name, value in others.items())
    try:
        return _decode_loosely(b"{%s}" % b",".join(pairs))
    except msgspec.ValidationError as error:
        raise Rejected(WRONG_TYPE, str(error)) from None


def _is_record(read: _AnyLine) -> bool:
    return all(bytes(body) == _NULL for body in (read.hello, read.begin, read.dropped, read.end))


def _check_limits(read: Record | Begin) -> None:
    """Check what the types of ``_StrictLine`` say, with the reason."""
    if read.provider_trace_id == "":
        raise Rejected(BAD_ID, "provider_trace_id is empty")
    for name in _IDS:
        _check_id(name, getattr(read, name))
    if read.billing is not None:
        _check_id("billing.customer_id", read.billing.customer_id)
    for name in _NUMBERS:
        if (getattr(read, name, None) or 0) < 0:
            raise Rejected(NEGATIVE_NUMBER, name)


def _check_id(name: str, value: str | None) -> None:
    if value is not None and len(value) > MAX_ID_CHARACTERS:
        raise Rejected(BAD_ID, f"{name} has {len(value):,} characters, the limit is {MAX_ID_CHARACTERS}")


def _control(read: _AnyLine) -> Record | Begin | Dropped | End:
    """Return the body of a line that is no record; one whose bodies are all null is a record."""
    if bytes(read.hello) != _NULL:
        raise Rejected(MISPLACED_HELLO, "a hello is the first line of its connection")
    bodies = {"begin": read.begin, "dropped": read.dropped, "end": read.end}
    kinds = [name for name, body in bodies.items() if bytes(body) != _NULL]
    if len(kinds) > 1:  # one of them would be lost silently
        raise Rejected(WRONG_TYPE, f"one line has {' and '.join(kinds)}")
    if bytes(read.begin) != _NULL:
        begin = _body(read.begin, Begin)
        _check_limits(begin)
        return begin
    if bytes(read.dropped) != _NULL:
        counts = _body(read.dropped, dict[str, int])
        for reason, count in counts.items():
            _check_count(f"dropped.{reason}", count)
        return Dropped({reason: min(count, MAX_COUNT) for reason, count in counts.items()})
    if bytes(read.end) != _NULL:
        end = _body(read.end, End)
        _check_count("end.taken", end.taken)
        return end
    return read


def _body(raw: Raw, kind: type[_Body]) -> _Body:
    """Decode what a control line carries. On the fast path it may still hold what msgspec refuses."""
    try:
        return msgspec.json.decode(json_text.folded(json_text.mended(bytes(raw))), type=kind)
    except msgspec.ValidationError as error:
        raise Rejected(WRONG_TYPE, str(error)) from None


def _check_count(name: str, count: int) -> None:
    if count < 0:
        raise Rejected(NEGATIVE_NUMBER, name[:_DETAIL_CHARACTERS])
