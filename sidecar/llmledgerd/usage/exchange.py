"""Extraction of facts from one exchange: response, requested model, URL and headers.

Invariant: a streamed answer is assembled first, and then read exactly like a non-streamed one.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmledgerd.json_text import TooMuch
from llmledgerd.usage import budget
from llmledgerd.usage.costs import cost_in
from llmledgerd.usage.decode import Json, join, members, text
from llmledgerd.usage.dispatch import rule_for
from llmledgerd.usage.exchange_facts import Exchange, Facts
from llmledgerd.usage.failures import failure
from llmledgerd.usage.providers.bedrock import usage_in_headers
from llmledgerd.usage.providers.openai_chat import plain_facts
from llmledgerd.usage.request import model_of
from llmledgerd.usage.response_fields import (
    Reply,
    finish_reason,
    kind_of,
    overlay,
    provider_of,
    reply_of,
    unwrapped,
    usage_in,
)
from llmledgerd.usage.streams.assembled import Whole
from llmledgerd.usage.streams.assembly import assemble
from llmledgerd.usage.url_rules import place

BATCH_TIER = "batch"
"""Anthropic's ``usage.service_tier`` of a message from a batch."""

ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-goog-request-id")


def read_exchange(exchange: Exchange) -> Facts:
    """Return the facts of an exchange. Never raises."""
    try:
        return read_unguarded(exchange)
    except TooMuch:
        return Facts(is_stream=_is_stream(exchange), unread="budget")
    except Exception:  # noqa: BLE001 - the outer edge: a payload may cost its facts, never its row
        return Facts(is_stream=_is_stream(exchange), unread="error")


def _is_stream(exchange: Exchange) -> bool:
    return bool(exchange.stream) or exchange.is_too_long


def read_usage(usage_json: bytes) -> Facts:
    """Return the facts of a stored ``usage_json``, without its exchange. Never raises."""
    try:
        return _usage_facts(usage_json)
    except Exception:  # noqa: BLE001 - as above: what cannot be read is unknown
        return Facts()


def read_unguarded(exchange: Exchange) -> Facts:
    """Return the facts of an exchange, and raise on errors, for tests."""
    response = exchange.response
    if exchange.is_too_long:
        raise TooMuch("a stream is too long")
    if response[:1] == b"[":  # Gemini's stream, kept as the JSON array that it is
        budget.fit(len(response), budget.STREAM_CHARACTERS)
        response = join(assemble(bytes(response).decode("utf-8", "replace")).response)
    if not exchange.stream:
        return _facts(reply_of(response), exchange)
    whole = assemble(exchange.stream)
    response = join(whole.response)
    reply = reply_of(response)
    overlay(reply, whole.beside)
    facts = _facts(reply, exchange)
    facts.response = response
    _mark_stream(facts, whole)
    return facts


def _mark_stream(facts: Facts, whole: Whole) -> None:
    """Set whether a stream is complete; counts from its middle are only a part of the call's."""
    facts.is_stream, facts.stream_complete = True, whole.complete
    if facts.usage_source == "reported" and not whole.usage_is_final:
        facts.usage_source = "partial"


def _facts(answer: Reply, exchange: Exchange) -> Facts:
    reply = unwrapped(answer) if answer.response or answer.result else answer
    budget.fit(len(reply.usage), budget.USAGE_BYTES)
    facts = (plain_facts(reply.usage) if reply.usage else None) or _usage_facts(
        usage_in(reply) or usage_in_headers(exchange.headers)
    )
    where = place(exchange.url)
    facts.provider = where.provider or provider_of(reply)
    facts.call_type = where.call_type or kind_of(reply)
    facts.request_model = where.model or model_of(exchange.request)
    facts.model = reply.model or _other_model(reply) or facts.request_model or where.deployment
    facts.finish_reason = finish_reason(reply)
    facts.service_tier = reply.service_tier or facts.service_tier
    facts.is_batch = where.is_batch or bool(answer.custom_id) or facts.service_tier == BATCH_TIER
    facts.provider_request_id = reply.id or _other_id(reply) or _id_in_headers(exchange.headers)
    facts.has_error, facts.error_type, facts.error_message = failure(
        reply, exchange.status_code, exchange.headers
    )
    return facts


def _usage_facts(usage: Json) -> Facts:
    """Return the facts of the usage object. Raises TooMuch."""
    budget.fit(len(usage), budget.USAGE_BYTES)
    return (plain_facts(usage) or _facts_by_shape(usage)) if usage else Facts()


def _facts_by_shape(usage: Json) -> Facts:
    fields = members(usage)
    rule = rule_for(fields)
    facts = rule(usage) if rule is not None else Facts()
    facts.usage_json = bytes(usage)
    facts.cost_usd = cost_in(fields)
    if "service_tier" in fields or "serviceTier" in fields:
        facts.service_tier = text(fields.get("service_tier")) or text(fields.get("serviceTier"))
    return facts


def _other_model(reply: Reply) -> str:
    """Return the model from members with other names than ``model``."""
    return reply.model_version or reply.model_id or reply.plain_model_version or reply.agent or ""


def _other_id(reply: Reply) -> str:
    """Return the answer's id from members with other names than ``id``; of an error, the id in its body."""
    return reply.response_id or reply.cohere_response_id or reply.generation_id or reply.request_id or ""


def _id_in_headers(headers: Mapping[str, str] | None) -> str:
    lowered = {name.lower(): content for name, content in (headers or {}).items()}
    return next((lowered[name] for name in ID_HEADERS if lowered.get(name)), "")
