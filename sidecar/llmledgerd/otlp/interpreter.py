"""Signals of a request to lines: conventions, nesting, context, and what is counted.

Invariant: the lines of a part are returned after its decisions are in the journal. Parts hold a limited number of
signals and bytes, so that a request of a million spans needs no more memory than its own bytes and one part.

Used on one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from llmledgerd.otlp import conventions
from llmledgerd.otlp.calls import Call, Context, Reading, Role
from llmledgerd.otlp.content import Contents
from llmledgerd.otlp.journal import Journal
from llmledgerd.otlp.lines import line_of
from llmledgerd.otlp.nesting import COVERED, ROW, Node, key_of
from llmledgerd.otlp.reading import count, text
from llmledgerd.otlp.senders import Senders
from llmledgerd.otlp.signals import LogRecord, Signal, Span, Unreadable
from llmledgerd.otlp.spans_above import contexts_of, lend_payloads
from llmledgerd.otlp.tokens import usage_of
from llmledgerd.otlp.twins import Told, Twins

PART_SIGNALS: Final = 2048
PART_BYTES: Final = 4 << 20
"""Limits of one part. The usual exporters send 512 spans at a time, so that a request is one part."""
VALUE_BYTES: Final = 100
"""Memory that a value takes beside its text, with its name and place, in whole hundreds."""

NO_IDS: Final = "without trace id or span id"


class Part(msgspec.Struct):
    """Result of a part of a request."""

    lines: list[bytearray] = []
    refused: int = 0
    reason: str = ""
    """Why the first signal was refused."""

    def refuse(self, reason: str) -> None:
        self.refused += 1
        self.reason = self.reason or reason


class Interpreter:
    """Makes lines of signals."""

    def __init__(self, journal: Journal, senders: Senders, limit: int) -> None:
        """``limit``: the most bytes of a line."""
        self._journal = journal
        self._senders = senders
        self._limit = limit
        self._twins = Twins()
        self._contents = Contents()

    def parts(self, signals: Iterable[Signal | Unreadable], scope: Callable[[str], str]) -> Iterator[Part]:
        """Yield the lines of a request part by part.

        ``scope`` returns the organization of a call for the one that it names, and raises ValueError where the
        sender may not send for it. Raises Unreadable and OSError, between parts.
        """
        part, size = Part(), 0
        some: list[Signal] = []
        waiting = iter(signals)
        while (signal := next(waiting, None)) is not None:
            if isinstance(signal, Unreadable):
                part.refuse(f"unreadable: {signal}"[:200])
                continue
            if isinstance(signal, Span) and not is_identified(signal):
                part.refuse(NO_IDS)
                continue
            # Asked with the next signal at hand: of a request of one part the body is released by then.
            if len(some) >= PART_SIGNALS or size >= PART_BYTES:
                yield self._made(part, some, scope)
                part, some, size = Part(), [], 0
            some.append(signal)
            size += _size(signal)
        yield self._made(part, some, scope)

    def _made(self, part: Part, signals: list[Signal], scope: Callable[[str], str]) -> Part:
        readings = [conventions.read(signal) for signal in signals]
        spans = [index for index, signal in enumerate(signals) if isinstance(signal, Span)]
        contexts = contexts_of(signals, readings)
        nodes = [_node(signals[index], readings[index]) for index in spans]
        are_rows, marks = self._journal.nesting.decide(nodes)
        chosen = {index for index, is_row in zip(spans, are_rows, strict=True) if is_row}
        absorbed = self._absorbed(signals, readings, chosen)
        marks += [(key_of(signals[index].trace_id, signals[index].span_id), COVERED) for index in absorbed]
        chosen -= absorbed.keys()
        lend_payloads(signals, readings, chosen, absorbed)
        for index, signal in enumerate(signals):
            if isinstance(signal, LogRecord):
                self._contents.note(signal)
                if readings[index].call is not None:
                    chosen.add(index)
        rows: set[int] = set()
        for index in sorted(chosen):
            call = readings[index].call
            if call is None:
                continue
            try:
                context = msgspec.structs.replace(
                    contexts[index], organization=scope(contexts[index].organization)
                )
            except ValueError as error:
                part.refuse(str(error))
                continue
            self._contents.lend(signals[index], call)
            self._add(part, signals[index], call, context, readings[index].emitter)
            rows.add(index)
        marks += _marks_of_logs(signals, readings, rows)
        self._journal.add(marks)
        for index, signal in enumerate(signals):
            self._senders.note(signal, readings[index], is_row=index in rows)
        signals.clear()  # while the part waits for its sync, its lines alone are in memory
        return part

    def _absorbed(self, signals: list[Signal], readings: list[Reading], chosen: set[int]) -> dict[int, int]:
        """Return the spans that another instrumentation's span beside them stands for."""
        told: list[Told] = []
        settled: set[int] = set()
        for index in sorted(chosen):
            signal, reading = signals[index], readings[index]
            if reading.call is None or reading.role is not Role.CALL or not isinstance(signal, Span):
                continue
            told.append(_told(index, signal, reading.call))
            if self._journal.nesting.mark(key_of(signal.trace_id, signal.span_id)) == ROW:
                settled.add(index)
        return self._twins.absorbed(told, settled)

    def _add(self, part: Part, signal: Signal, call: Call, context: Context, emitter: str) -> None:
        try:
            part.lines.append(line_of(signal, call, context, emitter, self._limit))
        except (ValueError, TypeError, RecursionError, OverflowError) as error:
            part.refuse(f"not encodable: {error}"[:200])


def is_identified(span: Span) -> bool:
    """Return whether a span has the ids that OTLP requires: 16 and 8 bytes, not all zeros."""
    return (
        len(span.trace_id) == 32
        and len(span.span_id) == 16
        and len(span.parent_id) in (0, 16)
        and span.trace_id.strip("0") != ""
        and span.span_id.strip("0") != ""
    )


def _told(index: int, span: Span, call: Call) -> Told:
    usage = usage_of(call.counts) or (call.usage if isinstance(call.usage, Mapping) else {})
    parts = (
        count(usage, "prompt_tokens", "input_tokens"),
        count(usage, "completion_tokens", "output_tokens"),
    )
    failure = "failed" if call.is_failure and not call.has_usage else ""
    return Told(
        index=index,
        service=text(span.origin.resource, "service.name"),
        scope=span.origin.scope,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        answer=call.response_id,
        counts=f"{parts[0]} {parts[1]}" if call.has_usage else failure,
        has_usage=call.has_usage,
    )


def _size(signal: Signal) -> int:
    """Return about the bytes that a signal takes in memory."""
    size = _values_size(signal.attributes.values())
    if isinstance(signal, LogRecord):
        return size + _value_size(signal.body)
    return size + sum(VALUE_BYTES + _values_size(event.attributes.values()) for event in signal.events)


def _values_size(found: Iterable[Any]) -> int:
    return sum(_value_size(one) for one in found)


def _value_size(found: Any) -> int:
    if isinstance(found, str | bytes):
        return VALUE_BYTES + len(found)
    if isinstance(found, list):
        return VALUE_BYTES + _values_size(found)
    if isinstance(found, dict):
        return VALUE_BYTES + _values_size(found.values())
    return VALUE_BYTES


def _node(signal: Signal, reading: Reading) -> Node:
    assert isinstance(signal, Span)  # noqa: S101 - the caller chose the spans
    call = reading.call
    return Node(
        key=key_of(signal.trace_id, signal.span_id),
        parent=key_of(signal.trace_id, signal.parent_id),
        role=reading.role,
        has_usage=call is not None and call.has_usage,
        is_failure=call is not None and call.is_failure,
        step=f"{call.kind} {call.model}" if call is not None and reading.role is Role.STEP else "",
    )


def _marks_of_logs(signals: list[Signal], readings: list[Reading], rows: set[int]) -> list[tuple[bytes, int]]:
    """Return the decisions that follow from log records: the span of such an event is that row."""
    return [
        (key_of(signals[index].trace_id, signals[index].span_id), ROW)
        for index in rows
        if isinstance(signals[index], LogRecord)
        and readings[index].emitter == "gen_ai"
        and len(signals[index].trace_id) == 32
        and len(signals[index].span_id) == 16
    ]
