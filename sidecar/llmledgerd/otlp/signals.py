"""Spans and log records, independent of the encoding that they arrived in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

Attributes = Mapping[str, Any]
"""Attributes by key: text, numbers, booleans, bytes, lists and objects of these."""

OK: Final = 1
ERROR: Final = 2
"""Values of ``Status.code`` (opentelemetry-proto, ``trace.proto``)."""

NONE: Final[Attributes] = {}


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Resource and instrumentation scope of a signal."""

    resource: Attributes = NONE
    scope: str = ""
    version: str = ""


class Event(msgspec.Struct, frozen=True, gc=False):
    """Event of a span."""

    name: str
    attributes: Attributes = NONE
    at_ns: int = 0


class Span(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One span. Identifiers are lower-case hexadecimal; ``parent_id`` is empty for a root."""

    origin: Origin
    trace_id: str
    span_id: str
    parent_id: str = ""
    name: str = ""
    start_ns: int = 0
    end_ns: int = 0
    attributes: Attributes = NONE
    events: tuple[Event, ...] = ()
    status: int = 0
    status_message: str = ""


class LogRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One log record."""

    origin: Origin
    trace_id: str = ""
    span_id: str = ""
    name: str = ""
    """The event's name: the field, else the attribute ``event.name``, else a body that is text."""
    at_ns: int = 0
    attributes: Attributes = NONE
    body: Any = None
    severity: int = 0


Signal = Span | LogRecord


class Unreadable(ValueError):
    """A request, or one signal of it, that is not what OTLP allows."""


def event_name(field: str, attributes: Attributes, body: Any) -> str:
    """Return the name of a log record's event, wherever its version of the specification puts it."""
    for found in (field, attributes.get("event.name"), body):
        if isinstance(found, str) and found:
            return found if len(found) <= 128 else ""
    return ""
