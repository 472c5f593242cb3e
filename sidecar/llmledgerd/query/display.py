"""Display of a call's fields, shared by the terminal and the page."""

from __future__ import annotations

from llmledgerd.query.erasure import ERASED_URI
from llmledgerd.query.results import Call


def facts(call: Call) -> list[tuple[str, str]]:
    """Return the fields of one call except its payloads, by name; empty or a dash when unknown."""
    tokens = f"{_number(call.prompt_tokens)} in, {_number(call.completion_tokens)} out, {_number(call.total_tokens)} total"
    parts = [
        ("cached", call.cached_input_tokens),
        ("cache write", call.cache_write_tokens),
        ("reasoning", call.reasoning_tokens),
    ]
    within = "; ".join(f"{name} {number:,}" for name, number in parts if number is not None)
    return [
        ("id", call.id),
        ("started", call.created_at.isoformat()),
        ("organization", call.organization_id),
        ("project", call.project_id),
        ("agent", call.agent_id),
        ("tags", ", ".join(call.agent_tags)),
        ("run", call.run_id),
        ("step", call.step_id),
        ("trace", call.trace_id),
        ("user", call.user_id),
        ("service", call.service),
        ("call", f"{call.call_type}, attempt {call.attempt}" if call.attempt else call.call_type),
        ("model", f"{call.provider} {call.model}{' (own key)' if call.is_byok else ''}"),
        ("outcome", f"{call.outcome} {call.status_code or ''}".strip()),
        ("finish", call.finish_reason),
        ("error", ": ".join(filter(None, (call.error_type, call.error_message))) if call.is_error else ""),
        ("tokens", "unknown" if call.usage_source == "unknown" else f"{tokens} ({call.usage_source})"),
        ("token details", within),
        ("cost", f"${call.cost_usd}" if call.cost_usd is not None else "unknown"),
        ("latency", f"{call.latency_ms:,} ms" if call.latency_ms else ""),
        (
            "first token",
            f"{call.time_to_first_token_ms:,} ms" if call.time_to_first_token_ms is not None else "",
        ),
        ("payloads", f"{call.request_size_bytes:,} bytes sent, {call.response_size_bytes:,} received"),
        ("payload URI", "" if call.payload_uri == ERASED_URI else call.payload_uri),
        ("payloads missing", call.payloads_missing),
        ("billing", f"{call.billing_plan_type} {call.billing_customer_id}".strip()),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
