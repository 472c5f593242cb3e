"""OTLP's JSON encoding: a request's bytes to neutral signals, and the answers.

Invariant: signals stay raw until each one is read, so that one span of another shape refuses itself alone.

Source: OTLP specification 1.x, "JSON Protobuf Encoding": keys in lowerCamelCase, trace and span ids in
hexadecimal, 64-bit integers as text or number, unknown keys ignored.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from llmledgerd import json_text
from llmledgerd.otlp.density import MOST_SIGNALS, MOST_VALUES, TOO_MANY, is_dense
from llmledgerd.otlp.signals import NONE, Attributes, Event, LogRecord, Origin, Span, Unreadable, event_name

Whole = int | str | None


class _Camel(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    pass


class _Value(_Camel):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Whole = None
    double_value: float | str | None = None
    bytes_value: str | None = None
    array_value: _Values | None = None
    kvlist_value: _Pairs | None = None


class _Values(_Camel):
    values: list[_Value] | None = None


class _Pair(_Camel):
    key: str = ""
    value: _Value | None = None


class _Pairs(_Camel):
    values: list[_Pair] | None = None


class _Resource(_Camel):
    attributes: list[_Pair] | None = None


class _Scope(_Camel):
    name: str | None = None
    version: str | None = None


class _Scoped(_Camel):
    scope: _Scope | None = None
    spans: list[Raw] | None = None
    log_records: list[Raw] | None = None


class _Group(_Camel):
    resource: Raw = Raw()
    scope_spans: list[_Scoped] | None = None
    scope_logs: list[_Scoped] | None = None


class _Request(_Camel):
    resource_spans: list[_Group] | None = None
    resource_logs: list[_Group] | None = None


class _Event(_Camel):
    name: str | None = None
    time_unix_nano: Whole = None
    attributes: list[_Pair] | None = None


class _Status(_Camel):
    code: int | str | None = None
    message: str | None = None


class _Span(_Camel):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: Whole = None
    end_time_unix_nano: Whole = None
    attributes: list[_Pair] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _LogRecord(_Camel):
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None
    time_unix_nano: Whole = None
    observed_time_unix_nano: Whole = None
    severity_number: int | str | None = None
    attributes: list[_Pair] | None = None
    body: _Value | None = None


_request = msgspec.json.Decoder(_Request)
_resource_decoder = msgspec.json.Decoder(_Resource | None)
_span_decoder = msgspec.json.Decoder(_Span)
_log_decoder = msgspec.json.Decoder(_LogRecord)

_STATUS: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_NUMBERS: Final = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_REFUSALS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


def spans(body: bytes | bytearray) -> Iterator[Span | Unreadable]:
    """Yield the spans of a trace request. Raises Unreadable where the request is not of OTLP's shape."""
    for group in _decoded(body).resource_spans or ():
        yield from _signals(group, group.scope_spans, lambda scoped: scoped.spans, _span)


def log_records(body: bytes | bytearray) -> Iterator[LogRecord | Unreadable]:
    """Yield the records of a log request. Raises Unreadable where the request is not of OTLP's shape."""
    for group in _decoded(body).resource_logs or ():
        yield from _signals(group, group.scope_logs, lambda scoped: scoped.log_records, _log_record)


def _decoded(body: bytes | bytearray) -> _Request:
    if is_dense(body, MOST_SIGNALS):
        raise Unreadable(f"more than {MOST_SIGNALS:,} values")
    try:
        return _request.decode(body)
    except _REFUSALS as error:
        first = error
    try:  # JavaScript writes lone surrogates, which are legal JSON and refused by msgspec
        return _request.decode(json_text.folded(json_text.mended(bytes(body))))
    except (*_REFUSALS, json_text.NotJson, json_text.TooDeep):
        raise Unreadable(str(first)) from None


def _signals(
    group: _Group,
    scopes: list[_Scoped] | None,
    of: Callable[[_Scoped], list[Raw] | None],
    read: Callable[[Raw, Origin], Any],
) -> Iterator[Any]:
    resource = _attributes(_decoded_resource(group.resource).attributes)
    for scoped in scopes or ():
        scope = scoped.scope or _Scope()
        origin = Origin(resource, scope.name or "", scope.version or "")
        for raw in of(scoped) or ():
            try:
                yield read(raw, origin)
            except _REFUSALS as error:
                yield Unreadable(str(error))


def _decoded_resource(raw: Raw) -> _Resource:
    """Return a group's resource, if it has one. Raises Unreadable."""
    try:
        return _resource_decoder.decode(_limited(raw) or b"null") or _Resource()
    except _REFUSALS as error:
        raise Unreadable(str(error)) from None


def _limited(raw: Raw) -> Raw:
    """Return what may be decoded. Raises Unreadable."""
    if is_dense(raw, MOST_VALUES):
        raise Unreadable(TOO_MANY)
    return raw


def _span(raw: Raw, origin: Origin) -> Span:
    found = _span_decoder.decode(_limited(raw))
    status = found.status or _Status()
    code = _STATUS.get(status.code, 0) if isinstance(status.code, str) else status.code
    return Span(
        origin=origin,
        trace_id=_id(found.trace_id),
        span_id=_id(found.span_id),
        parent_id=_id(found.parent_span_id),
        name=found.name or "",
        start_ns=_whole(found.start_time_unix_nano),
        end_ns=_whole(found.end_time_unix_nano),
        attributes=_attributes(found.attributes),
        events=tuple(
            Event(one.name or "", _attributes(one.attributes), _whole(one.time_unix_nano))
            for one in found.events or ()
        ),
        status=code or 0,
        status_message=status.message or "",
    )


def _log_record(raw: Raw, origin: Origin) -> LogRecord:
    found = _log_decoder.decode(_limited(raw))
    attributes, body = _attributes(found.attributes), _value(found.body)
    return LogRecord(
        origin=origin,
        trace_id=_id(found.trace_id),
        span_id=_id(found.span_id),
        name=event_name(found.event_name or "", attributes, body),
        at_ns=_whole(found.time_unix_nano) or _whole(found.observed_time_unix_nano),
        attributes=attributes,
        body=body,
        severity=found.severity_number if isinstance(found.severity_number, int) else 0,
    )


def _id(text: str | None) -> str:
    """Return an identifier in lower case. Raises ValueError where it is not hexadecimal."""
    return bytes.fromhex(text).hex() if text else ""


def _whole(found: Whole) -> int:
    return int(found or 0)


def _attributes(found: list[_Pair] | None) -> Attributes:
    return {one.key: _value(one.value) for one in found} if found else NONE


def _value(found: _Value | None) -> Any:
    if found is None:
        return None
    if found.string_value is not None:
        return found.string_value
    if found.int_value is not None:
        return int(found.int_value)
    if found.bool_value is not None:
        return found.bool_value
    if found.double_value is not None:
        number = found.double_value
        return _NUMBERS[number] if isinstance(number, str) and number in _NUMBERS else float(number)
    if found.array_value is not None:
        return [_value(one) for one in found.array_value.values or ()]
    if found.kvlist_value is not None:
        return {one.key: _value(one.value) for one in found.kvlist_value.values or ()}
    if found.bytes_value is not None:
        try:
            return base64.b64decode(found.bytes_value)
        except binascii.Error as error:
            raise ValueError(str(error)) from None
    return None


def trace_answer(rejected: int, message: str) -> bytes:
    """Return the answer to a trace request, with what was refused of it."""
    return _answer("rejectedSpans", rejected, message)


def log_answer(rejected: int, message: str) -> bytes:
    """Return the answer to a log request, with what was refused of it."""
    return _answer("rejectedLogRecords", rejected, message)


def metrics_answer() -> bytes:
    """Return the answer to a request with metrics, none of which are kept."""
    return b"{}"


def _answer(name: str, rejected: int, message: str) -> bytes:
    if not message:
        return b"{}"
    return msgspec.json.encode({"partialSuccess": {name: str(rejected), "errorMessage": message}})


def status(message: str) -> bytes:
    """Return a ``google.rpc.Status`` with a message alone, the body of an error's answer."""
    return msgspec.json.encode({"message": message})
