"""What the spans around a call add to its row: who it is for, and what was said. Pure.

Invariant: a row's own words win. Only spans of the same part of a request are looked at, and no count is taken over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from llmledgerd.otlp.calls import Call, Context, Reading, Role
from llmledgerd.otlp.nesting import DEEPEST
from llmledgerd.otlp.signals import Signal, Span

ASKED: Final = frozenset({"messages", "input", "prompt", "contents", "system"})
ANSWERED: Final = frozenset({"choices", "content", "output", "candidates", "results", "data"})

Places = Mapping[tuple[str, str], int]


def contexts_of(signals: list[Signal], readings: list[Reading]) -> list[Context]:
    """Return each signal's context, with what the spans above it say."""
    at = _places(signals)
    found = []
    for index, signal in enumerate(signals):
        context = readings[index].context
        if readings[index].call is not None and isinstance(signal, Span):
            for above in _above(signals, at, signal):
                context = context.over(readings[above].context)
        found.append(context)
    return found


def lend_payloads(
    signals: list[Signal], readings: list[Reading], rows: Collection[int], absorbed: Mapping[int, int]
) -> None:
    """Give rows without payloads those of spans that tell of the same call and are no rows."""
    at = _places(signals)
    beside: dict[int, list[int]] = {}
    for lender, row in absorbed.items():
        beside.setdefault(row, []).append(lender)
    for index in rows:
        call, signal = readings[index].call, signals[index]
        if call is None or readings[index].role is not Role.CALL or not isinstance(signal, Span):
            continue
        lenders = list(beside.get(index, ()))
        for above in _above(signals, at, signal):
            if readings[above].role in (Role.AGENT, Role.STEP):
                break
            if above not in rows:
                lenders.append(above)
        for lender in lenders:
            found = readings[lender].call
            if found is not None:
                _lend(call, found)


def _lend(call: Call, lender: Call) -> None:
    if not _has(call.request, ASKED) and _has(lender.request, ASKED):
        call.request = {**lender.request, **(call.request or {})}
    if not _says(call.response) and _says(lender.response):
        own = {name: one for name, one in (call.response or {}).items() if name not in ANSWERED}
        call.response = {**lender.response, **own}


def _has(body: Any, names: Collection[str]) -> bool:
    return isinstance(body, Mapping) and any(body.get(name) for name in names)


def _says(body: Any) -> bool:
    """Return whether an answer says more than why it ended."""
    if not _has(body, ANSWERED):
        return False
    choices = body.get("choices")
    return not isinstance(choices, list) or any(
        isinstance(one, Mapping) and one.get("message") for one in choices
    )


def _places(signals: list[Signal]) -> Places:
    return {
        (signal.trace_id, signal.span_id): index
        for index, signal in enumerate(signals)
        if isinstance(signal, Span)
    }


def _above(signals: list[Signal], at: Places, span: Span) -> Iterator[int]:
    """Yield the spans above one, nearest first."""
    above = at.get((span.trace_id, span.parent_id))
    for _ in range(DEEPEST):
        if above is None:
            return
        yield above
        upper = signals[above]
        above = at.get((upper.trace_id, upper.parent_id)) if isinstance(upper, Span) else None
