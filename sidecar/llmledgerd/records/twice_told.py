"""Calls that both a hook of the SDK and an OpenTelemetry emitter reported. Pure.

Invariant: a row made of OTLP is left out where a record of the same call is in its batch or in the store, so that the
exchange as the hook saw it stays. No record is ever left out for a row made of OTLP, since anybody on the host may send
those. Both tell of one call if

- they have the same trace and span, since a hook records the span that was current, which is the emitter's; or
- they have the same answer's id, and the exchange began within the time of the span. The time is asked for because some
  servers give every answer the same id.

Tools and retrievals are never left out: an exchange within one is a call of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from llmledgerd.records.schema import COLUMNS, Row

OTLP: Final = "otlp"
"""The ``source`` of rows made of OTLP."""
FORWARDED: Final = "llmledgerd"
"""Instrumentation scope of spans that a daemon makes of rows; no row is made of them."""
STEPS: Final = frozenset({"tool", "retrieval"})
CLOCK_US: Final = 5_000
"""Difference between two clocks of one process: OpenTelemetry takes its times otherwise than the client."""
MARGIN_US: Final = 60_000_000
"""Margin of the times that a store is asked for."""

_SOURCE, _KIND = COLUMNS.index("source"), COLUMNS.index("call_type")
_ORGANIZATION, _TRACE, _SPAN = (COLUMNS.index(name) for name in ("organization_id", "trace_id", "span_id"))
_ANSWER, _STARTED = COLUMNS.index("provider_request_id"), COLUMNS.index("created_at")
_LATENCY = COLUMNS.index("latency_ms")


class Told(msgspec.Struct, frozen=True):
    """What a call is recognized by."""

    organization: str
    trace: str
    span: str
    answer: str
    started_us: int
    ended_us: int = 0


def is_of_otlp(row: Row) -> bool:
    """Return whether a row was made of OTLP and is one of a call."""
    return row[_SOURCE] == OTLP and row[_KIND] not in STEPS


def told(row: Row) -> Told:
    """Return what a row's call is recognized by."""
    started_us = row[_STARTED]
    return Told(
        str(row[_ORGANIZATION]),
        str(row[_TRACE]),
        str(row[_SPAN]),
        str(row[_ANSWER]),
        started_us,
        started_us + 1000 * row[_LATENCY],
    )


def told_by(row: Mapping[str, Any]) -> Told:
    """Return what a record is recognized by, from the columns of a store's row, and its start as ``at``."""
    return Told(
        organization=str(row["organization_id"]),
        trace=str(row["trace_id"]),
        span=str(row["span_id"]),
        answer=str(row["provider_request_id"]),
        started_us=int(row["at"]),
    )


def is_same(record: Told, span: Told) -> bool:
    """Return whether a record tells of the call of a span."""
    if record.organization and span.organization and record.organization != span.organization:
        return False
    if span.trace and span.span and (record.trace, record.span) == (span.trace, span.span):
        return True
    is_within = span.started_us - CLOCK_US <= record.started_us <= span.ended_us
    return bool(span.answer) and record.answer == span.answer and is_within


def recorded(spans: Iterable[tuple[int, Told]], records: Collection[Told]) -> set[int]:
    """Return the rows of spans whose calls are among the records."""
    by_span: dict[tuple[str, str], list[Told]] = {}
    by_answer: dict[str, list[Told]] = {}
    for one in records:
        by_span.setdefault((one.trace, one.span), []).append(one)
        by_answer.setdefault(one.answer, []).append(one)
    return {
        row
        for row, span in spans
        if any(
            is_same(one, span)
            for one in (*by_span.get((span.trace, span.span), ()), *by_answer.get(span.answer, ()))
        )
    }


def asked_between(spans: Collection[Told]) -> tuple[int, int]:
    """Return the earliest and the latest start of a record of any of these calls."""
    return min(one.started_us for one in spans) - MARGIN_US, max(one.ended_us for one in spans) + MARGIN_US
