"""Log records and spans of coding agents: Claude Code, Codex, Gemini CLI, Copilot. Pure.

Invariant: a call is told by one kind of event: ``claude_code.api_request``, ``codex.sse_event`` whose kind is
``response.completed``, ``gemini_cli.api_response``, or the event of an error; of Copilot by its ``chat`` span. Others are
context or nothing.

Sources: Codex's source, ``session_telemetry.rs`` (completed responses, also failed ones); Copilot Chat's source,
``agent_monitoring.md`` (each call is a ``chat`` span and an event of the same numbers). Claude Code docs, "Monitoring" (events, beta traces; Anthropic's counts, which leave the cache out; the cost is
its own estimate); Codex docs, "Observability and telemetry" (counts of the Responses API, cached tokens included);
Gemini CLI docs, "Observability" (Gemini's counts, cached tokens included, thoughts beside the output).
"""

from __future__ import annotations

from typing import Any, Final

from llmledgerd.otlp.calls import Call, Counts, Reading, Role
from llmledgerd.otlp.common import add_course, context_of
from llmledgerd.otlp.reading import count, flag, measure, structured, text
from llmledgerd.otlp.signals import Attributes, LogRecord, Span

CLAUDE_CODE: Final = "claude_code"
CODEX: Final = "codex"
GEMINI_CLI: Final = "gemini_cli"
COPILOT: Final = ("copilot-chat", "github-copilot", "github.copilot")
"""Services and scopes of Copilot Chat and of Copilot's command line."""

PREFIXES: Final = (f"{CLAUDE_CODE}.", f"{CODEX}.", f"{GEMINI_CLI}.")

_SHORT: Final = {
    "api_request": CLAUDE_CODE, "api_error": CLAUDE_CODE, "user_prompt": CLAUDE_CODE, "tool_result": CLAUDE_CODE,
    "tool_decision": CLAUDE_CODE,
}  # fmt: skip
"""Claude Code's ``event.name`` has no prefix; its body has."""


def emitter_of(record: LogRecord) -> tuple[str, str]:
    """Return the agent that wrote a record, and the event's name without its prefix; empty for another sender."""
    for name in (
        record.name,
        record.body if isinstance(record.body, str) else "",
        text(record.attributes, "event.name"),
    ):
        for prefix in PREFIXES:
            if name.startswith(prefix):
                return prefix[:-1], name.removeprefix(prefix)
    if record.origin.scope.startswith("com.anthropic.claude_code"):
        return CLAUDE_CODE, record.name
    return "", ""


def is_gemini_cli(signal: Span | LogRecord) -> bool:
    """Return whether a signal is of Gemini CLI, which tells of a call by two events and by spans as well."""
    return text(signal.origin.resource, "service.name") == "gemini-cli" or signal.origin.scope == "gemini-cli"


def is_copilot(signal: Span | LogRecord) -> bool:
    """Return whether a signal is of Copilot, which tells of a call by its span and by an event without that span."""
    return text(signal.origin.resource, "service.name").startswith(COPILOT) or signal.origin.scope.startswith(
        COPILOT
    )


def read_log(record: LogRecord) -> Reading:
    """Return what an agent's record says."""
    agent, event = emitter_of(record)
    found = record.attributes
    call: Call | None = None
    if agent == CLAUDE_CODE:
        call = _claude_code(event, found)
    elif agent == CODEX:
        call = _codex(event, found)
    elif agent == GEMINI_CLI:
        call = _gemini_cli(event, found)
    if call is None:
        return Reading(emitter=agent)
    latency = call.latency_ms or 0.0
    call.started_ns = max(0, record.at_ns - int(latency * 1e6))
    context = context_of(found, record.origin.resource)
    return Reading(emitter=agent, role=Role.CALL, call=call, context=context)


def _claude_code(event: str, found: Attributes) -> Call | None:
    if event not in ("api_request", "api_error"):
        return None
    return _claude(found, is_error=event == "api_error")


def _claude(found: Attributes, *, is_error: bool) -> Call:
    model = text(found, "model", "gen_ai.request.model")
    request = text(found, "request_id", "gen_ai.response.id")
    call = Call(
        provider=text(found, "provider") or "anthropic",
        model=model,
        request_model=model,
        response_id=request,
        counts=Counts(
            input=count(found, "input_tokens"),
            output=count(found, "output_tokens"),
            cache_read=count(found, "cache_read_tokens", "cache_read_input_tokens"),
            cache_write=count(found, "cache_creation_tokens", "cache_creation_input_tokens"),
            cache_is_beside=True,
        ),
        service_tier="fast" if text(found, "speed") == "fast" else "",
        request={"model": model} if model else None,
        response={},
        status_code=count(found, "status_code"),
        attempt=count(found, "attempt"),
        latency_ms=measure(found, "duration_ms"),
        first_token_ms=measure(found, "ttft_ms"),
        cost_usd=measure(found, "cost_usd"),
        name=f"anthropic-{request}" if request else "",
    )
    if is_error:
        call.outcome, call.error = "error", text(found, "error")
        call.error_type = text(found, "error_type", "error.type")
    return call


def read_span(span: Span) -> Reading:
    """Return what a span of Claude Code says: ``claude_code.llm_request`` is a call."""
    found = span.attributes
    context = context_of(found, span.origin.resource)
    if span.name == "claude_code.llm_request":
        failed = "success" in found and not flag(found, "success")
        call = add_course(_claude(found, is_error=failed), span)
        return Reading(emitter=CLAUDE_CODE, role=Role.CALL, call=call, context=context)
    role = Role.AGENT if span.name in ("claude_code.interaction", "claude_code.tool") else Role.OTHER
    return Reading(emitter=CLAUDE_CODE, role=role, context=context)


def _codex(event: str, found: Attributes) -> Call | None:
    kind = text(found, "event.kind")
    counts = Counts(
        input=count(found, "input_token_count"),
        output=count(found, "output_token_count"),
        cache_read=count(found, "cached_token_count"),
        cache_write=count(found, "cache_write_token_count"),
        reasoning=count(found, "reasoning_token_count"),
    )
    status = count(found, "http.response.status_code", "status")
    error = text(found, "error.message", "error", "error.type")
    if event in ("sse_event", "websocket_event"):
        if not (kind == "response.completed" and counts.is_known) and not error:
            return None
    elif event != "api_request" or not (error or (status or 0) >= 400):
        return None
    model = text(found, "model", "slug")
    return Call(
        provider="openai",
        model=model,
        request_model=model,
        counts=counts,
        request={"model": model} if model else None,
        response={},
        status_code=status,
        attempt=count(found, "attempt"),
        latency_ms=measure(found, "duration_ms") if event == "api_request" else None,
        first_token_ms=measure(found, "ttft_ms"),
        service_tier=text(found, "service_tier"),
        outcome="error" if error else "",
        error=error,
        error_type=text(found, "error.type"),
    )


def _gemini_cli(event: str, found: Attributes) -> Call | None:
    if event not in ("api_response", "api_error"):
        return None
    model = text(found, "model", "model_name")
    names = {
        "promptTokenCount": "input_token_count", "candidatesTokenCount": "output_token_count",
        "cachedContentTokenCount": "cached_content_token_count", "thoughtsTokenCount": "thoughts_token_count",
        "toolUsePromptTokenCount": "tool_token_count", "totalTokenCount": "total_token_count",
    }  # fmt: skip
    usage = {name: value for name, sent in names.items() if (value := count(found, sent)) is not None}
    is_error = event == "api_error"
    return Call(
        provider="vertex" if "vertex" in text(found, "auth_type") else "google",
        model=model,
        request_model=model,
        usage=usage if usage and not is_error else None,
        request={"model": model} if model else None,
        response=_gemini_body(found),
        status_code=count(found, "status_code", "http.status_code"),
        latency_ms=measure(found, "duration_ms"),
        outcome="error" if is_error else "",
        error=text(found, "error", "error.message", "error_message"),
        error_type=text(found, "error_type", "error.type"),
    )


def _gemini_body(found: Attributes) -> dict[str, Any]:
    inside = structured(found.get("response_text"))
    if isinstance(inside, dict):
        return inside
    if isinstance(inside, list) and inside and isinstance(inside[-1], dict):
        return inside[-1]
    return {"text": inside} if isinstance(inside, str) and inside else {}
