"""Dispatch: which convention a signal follows, and what it says by it. Pure.

Invariant: one signal follows one convention, the most specific one: Claude Code's spans, OpenInference, Vercel's AI
SDK, then the semantic conventions and their dialects. Nothing here raises.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

import msgspec

from llmledgerd.otlp import coding_agents, gen_ai, openinference, vercel
from llmledgerd.otlp.calls import NOTHING, Call, Reading, Role
from llmledgerd.otlp.common import add_course, context_of
from llmledgerd.otlp.signals import LogRecord, Span
from llmledgerd.records.twice_told import FORWARDED

DETAILS: Final = "gen_ai.client.inference.operation.details"
CONTENT: Final = frozenset(
    f"gen_ai.{name}"
    for name in ("system.message", "user.message", "assistant.message", "tool.message", "choice")
)
"""Events that carry one message of a call and no usage; the call's span tells of the call."""

FORWARDED_SPAN: Final = Reading(emitter=FORWARDED)
"""A span that a daemon made of a row: the row is stored where it was made."""

AGENT_NAMES: Final = ("invoke_agent ", "create_agent ")


def read(signal: Span | LogRecord) -> Reading:
    """Return what a signal says of models."""
    try:
        return read_span(signal) if isinstance(signal, Span) else read_log(signal)
    except Exception as error:  # noqa: BLE001 - the outer edge: attributes may hold anything, and cost their row at most
        return Reading(emitter="unread", puzzle=f"internal error: {type(error).__name__}")


def read_span(span: Span) -> Reading:
    """Return what a span says. An attribute of unforeseen content may raise."""
    found = span.attributes
    if span.origin.scope == FORWARDED:
        return FORWARDED_SPAN
    if span.name.startswith("claude_code."):
        return coding_agents.read_span(span)
    convention: ModuleType
    if openinference.KIND in found:
        name, convention = "openinference", openinference
    elif vercel.is_dialect(span):
        name, convention = "vercel", vercel
    elif gen_ai.is_dialect(found):
        name, convention = "gen_ai", gen_ai
    else:
        return NOTHING
    if coding_agents.is_gemini_cli(span):
        return Reading(emitter=coding_agents.GEMINI_CLI)  # its log records tell of its calls
    role, kind, operation = convention.role_of(span)
    context = context_of(found, span.origin.resource)
    call: Call | None = None
    if role is Role.CALL:
        call = add_course(convention.call_of(span, kind), span)
    elif role is Role.STEP:
        call = add_course(convention.tool_call_of(span, kind), span)
    elif role is Role.AGENT and not context.agent:
        context = msgspec.structs.replace(context, agent=_agent_of(span.name))
    puzzle = f"operation {operation[:60]}" if operation and role is not Role.CALL else ""
    return Reading(emitter=name, role=role, call=call, context=context, puzzle=puzzle)


def _agent_of(name: str) -> str:
    return next((name.removeprefix(start) for start in AGENT_NAMES if name.startswith(start)), name)


def read_log(record: LogRecord) -> Reading:
    """Return what a log record says."""
    if coding_agents.emitter_of(record)[0]:
        return coding_agents.read_log(record)
    if record.name == DETAILS and not coding_agents.is_gemini_cli(record):
        return _details(record)
    if record.name in CONTENT or record.name == DETAILS:
        return Reading(emitter="gen_ai")
    if record.name.startswith("gen_ai."):
        return Reading(emitter="gen_ai", puzzle=f"event {record.name[:60]}")
    return NOTHING


def _details(record: LogRecord) -> Reading:
    """Return what an event with all of a call says; without usage, its span says more."""
    body = record.body if isinstance(record.body, dict) else {}
    span = Span(
        origin=record.origin,
        trace_id=record.trace_id,
        span_id=record.span_id,
        name=record.name,
        start_ns=record.at_ns,
        attributes={**body, **record.attributes},
    )
    role, kind, _ = gen_ai.role_of(span)
    call = add_course(gen_ai.call_of(span, kind), span) if role is Role.CALL else None
    if call is None or not call.has_usage:
        return Reading(emitter="gen_ai")
    return Reading(
        emitter="gen_ai",
        role=Role.CALL,
        call=call,
        context=context_of(span.attributes, record.origin.resource),
    )
