"""OTLP's protobuf encoding: a request's bytes to neutral signals, and the answers.

Invariant: one signal is in memory as an object at a time, and none that holds more values than ``density`` allows. The
outer messages are walked by their lengths, since a request of a million spans as one message object takes ten times its
bytes.

Source: opentelemetry-proto 1.x, ``trace_service.proto``, ``logs_service.proto``, ``trace.proto``, ``logs.proto``;
Protocol Buffers, "Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from llmledgerd.otlp.density import MOST_SIGNALS, MOST_VALUES, TOO_MANY
from llmledgerd.otlp.signals import NONE, Attributes, Event, LogRecord, Origin, Span, Unreadable, event_name

_span_type: Any = trace_pb2.Span
_log_record_type: Any = logs_pb2.LogRecord
# The generated classes are untyped where it matters: what they parse and serialize.

BYTES: Final = 2
"""Wire type of a message, text or bytes."""
FIXED: Final = {1: 8, 5: 4}
LONGEST_VARINT: Final = 10

RESOURCE: Final = 1
SCOPES: Final = 2
SCOPE: Final = 1
SIGNALS: Final = 2
"""Numbers of the fields, the same for spans and for log records."""

Fields = dict[int, Any]
"""The fields of a message that hold messages, with the fields of these."""
_any_value: Fields = {}
_attribute: Fields = {2: _any_value}
_any_value |= {5: {1: _any_value}, 6: {1: _attribute}}
_RESOURCE: Final[Fields] = {1: _attribute}
_SCOPE: Final[Fields] = {3: _attribute}
_SPAN: Final[Fields] = {9: _attribute, 11: {3: _attribute}, 13: {4: _attribute}}
_LOG_RECORD: Final[Fields] = {5: _any_value, 6: _attribute}
DEEPEST: Final = 100
"""Limit of protobuf's own parsers."""


def spans(body: bytes | bytearray) -> Iterator[Span | Unreadable]:
    """Yield the spans of a trace request. Raises Unreadable where the request's framing is invalid."""
    return _signals(body, _span_type, _SPAN, _span)


def log_records(body: bytes | bytearray) -> Iterator[LogRecord | Unreadable]:
    """Yield the records of a log request. Raises Unreadable where the request's framing is invalid."""
    return _signals(body, _log_record_type, _LOG_RECORD, _log_record)


def _signals(
    body: bytes | bytearray, kind: Any, fields: Fields, read: Callable[[Any, Origin], Any]
) -> Iterator[Any]:
    view, passed = memoryview(body), 0
    for _, start, end in _messages(view, 0, len(view), (1,)):
        found = _parsed(Resource, _RESOURCE, view, _first(view, start, end, RESOURCE))
        resource = _attributes(found.attributes)
        for _, inner, inner_end in _messages(view, start, end, (SCOPES,)):
            scope = _parsed(InstrumentationScope, _SCOPE, view, _first(view, inner, inner_end, SCOPE))
            origin = Origin(resource, scope.name, scope.version)
            for _, at, until in _messages(view, inner, inner_end, (SIGNALS,)):
                passed = _passed(passed)
                try:
                    yield read(_parsed(kind, fields, view, (at, until)), origin)
                except Unreadable as error:
                    yield error
            passed = _passed(passed)
        passed = _passed(passed)


def _passed(count: int) -> int:
    """Count one more. Raises Unreadable beyond the limit."""
    if count == MOST_SIGNALS:
        raise Unreadable(f"more than {MOST_SIGNALS:,} resources, scopes and signals")
    return count + 1


def _parsed(kind: Any, fields: Fields, view: memoryview, place: tuple[int, int]) -> Any:
    """Return a message. Raises Unreadable."""
    start, end = place
    # Each value takes two bytes at least.
    if end - start > 2 * MOST_VALUES and _values(view, start, end, fields, MOST_VALUES, 0) > MOST_VALUES:
        raise Unreadable(TOO_MANY)
    message = kind()
    try:
        message.ParseFromString(bytes(view[start:end]))  # the bytes end with the parsing
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from None
    return message


def _values(view: memoryview, start: int, end: int, fields: Fields, most: int, depth: int) -> int:
    """Return how many values a message holds, or a number above ``most``. Raises Unreadable."""
    if depth > DEEPEST:
        raise Unreadable(f"nested deeper than {DEEPEST} levels")
    count = 0
    for number, at, until in _messages(view, start, end, fields):
        count += 1
        if until - at > 1:
            count += _values(view, at, until, fields[number], most - count, depth + 1)
        if count > most:
            break
    return count


def _first(view: memoryview, start: int, end: int, number: int) -> tuple[int, int]:
    """Return the place of the first message with this number; an empty one without any."""
    for _, at, until in _messages(view, start, end, (number,)):
        return at, until
    return start, start


def _messages(
    view: memoryview, start: int, end: int, wanted: Container[int]
) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of the messages with one of the numbers. Raises Unreadable."""
    while start < end:
        tag, start = _varint(view, start, end)
        number, wire = tag >> 3, tag & 7
        if wire == BYTES:
            size, start = _varint(view, start, end)
            if size > end - start:
                raise Unreadable("a message is longer than the one that holds it")
            if number in wanted:
                yield number, start, start + size
            start += size
        elif wire == 0:
            _, start = _varint(view, start, end)
        elif wire in FIXED:
            start += FIXED[wire]
        else:
            raise Unreadable(f"wire type {wire}")
    if start != end:
        raise Unreadable("a field is cut off")


def _varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(end, at + LONGEST_VARINT)):
        byte = view[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise Unreadable("a number is cut off")


def _span(found: Any, origin: Origin) -> Span:
    return Span(
        origin=origin,
        trace_id=found.trace_id.hex(),
        span_id=found.span_id.hex(),
        parent_id=found.parent_span_id.hex(),
        name=found.name,
        start_ns=found.start_time_unix_nano,
        end_ns=found.end_time_unix_nano,
        attributes=_attributes(found.attributes),
        events=tuple(
            Event(one.name, _attributes(one.attributes), one.time_unix_nano) for one in found.events
        ),
        status=found.status.code,
        status_message=found.status.message,
    )


def _log_record(found: Any, origin: Origin) -> LogRecord:
    attributes, body = _attributes(found.attributes), _value(found.body)
    return LogRecord(
        origin=origin,
        trace_id=found.trace_id.hex(),
        span_id=found.span_id.hex(),
        name=event_name(found.event_name, attributes, body),
        at_ns=found.time_unix_nano or found.observed_time_unix_nano,
        attributes=attributes,
        body=body,
        severity=found.severity_number,
    )


def _attributes(found: Sequence[KeyValue]) -> Attributes:
    return {one.key: _value(one.value) for one in found} if found else NONE


def _value(found: AnyValue) -> Any:
    kind = found.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(one) for one in found.array_value.values]
    if kind == "kvlist_value":
        return {one.key: _value(one.value) for one in found.kvlist_value.values}
    return getattr(found, kind)


def trace_answer(rejected: int, message: str) -> bytes:
    """Return the answer to a trace request, with what was refused of it."""
    answer: Any = ExportTraceServiceResponse()
    if message:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


def log_answer(rejected: int, message: str) -> bytes:
    """Return the answer to a log request, with what was refused of it."""
    answer: Any = ExportLogsServiceResponse()
    if message:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


def metrics_answer() -> bytes:
    """Return the answer to a request with metrics, none of which are kept."""
    answer: Any = ExportMetricsServiceResponse()
    return bytes(answer.SerializeToString())


def status(message: str) -> bytes:
    """Return a ``google.rpc.Status`` with a message alone, the body of an error's answer."""
    text = message.encode()
    size, left = bytearray(), len(text)
    while left > 0x7F:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    return b"\x12" + bytes([*size, left]) + text
