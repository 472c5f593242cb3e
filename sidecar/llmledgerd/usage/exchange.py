"""Extraction of facts from one exchange: response, requested model, URL and headers.

Invariant: a streamed answer is assembled first, and then read exactly like a non-streamed one.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmledgerd.json_text import TooMuch
from llmledgerd.usage import budget
from llmledgerd.usage.costs import add_cost, is_estimate
from llmledgerd.usage.decode import Json, is_object, join, members
from llmledgerd.usage.dispatch import rule_for
from llmledgerd.usage.exchange_facts import Exchange, Facts
from llmledgerd.usage.failures import failure
from llmledgerd.usage.fees import WHOLE_USAGE, add_units, units_in
from llmledgerd.usage.providers.bedrock import usage_in_headers
from llmledgerd.usage.providers.openai_chat import plain_facts
from llmledgerd.usage.request import choices_of, model_of
from llmledgerd.usage.response_fields import (
    Reply,
    finish_reason,
    is_batch_line,
    kind_of,
    overlay,
    provider_of,
    reply_of,
    unwrapped,
    usage_in,
)
from llmledgerd.usage.served import SAYING_MORE, add_from_usage, add_tier
from llmledgerd.usage.streams.assembled import Whole
from llmledgerd.usage.streams.assembly import assemble
from llmledgerd.usage.sums import settle
from llmledgerd.usage.tokens import READ_BESIDE_TOKENS
from llmledgerd.usage.url_rules import Place, place

BATCH_TIER = "batch"
"""Anthropic's ``usage.service_tier`` of a message from a batch."""

SUMS = frozenset({"batch"})
"""Objects that sum up what other calls used (OpenAI API reference, "The batch object"); asking for one is free."""

LONGEST_DIAGNOSTICS = 1024
"""Bytes of a provider's word on a cache miss that are kept: it is a type and a few counts."""

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


def read_usage(usage_json: bytes, *, url: str = "", model: str = "") -> Facts:
    """Return the facts of a stored ``usage_json``, without its exchange. Never raises.

    ``url`` and ``model`` are the row's, since some counts mean something else at some addresses. Units that
    stood elsewhere in the answer, a stream's end and an estimated cost are not in it: the row's columns are.
    """
    try:
        facts = _usage_facts(usage_json)
        where = place(url)
        facts.call_type = where.call_type
        settle(facts, where.provider, model)
        return facts
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
    begun = len(reply.choices or ())
    is_missing_one = whole.choices_may_follow and choices_of(exchange.request) > begun
    _mark_stream(facts, whole, is_missing_one=is_missing_one)
    return facts


def _mark_stream(facts: Facts, whole: Whole, *, is_missing_one: bool) -> None:
    """Say how much of a stream there was; counts and a cost from its middle are a part of the call's."""
    facts.is_stream, facts.stream_complete = True, whole.complete and not is_missing_one
    if is_missing_one or not whole.usage_is_final:
        facts.cost_usd = facts.upstream_cost_usd = None
        if facts.usage_source == "reported":
            facts.usage_source = "partial"


def _facts(answer: Reply, exchange: Exchange) -> Facts:
    reply = unwrapped(answer) if answer.response or answer.result or answer.model_output else answer
    budget.fit(len(reply.usage), budget.USAGE_BYTES)
    facts = (
        Facts()
        if reply.object in SUMS
        else (plain_facts(reply.usage) if reply.usage else None)
        or _usage_facts(usage_in(reply) or usage_in_headers(exchange.headers))
    )
    where = place(exchange.url)
    facts.provider = where.provider or provider_of(reply)
    facts.call_type = where.call_type or kind_of(reply)
    facts.request_model = where.model or model_of(exchange.request)
    facts.model = reply.model or _other_model(reply) or facts.request_model or where.deployment
    facts.finish_reason = finish_reason(reply)
    facts.service_tier = reply.service_tier or facts.service_tier
    if not facts.service_tier or facts.provider in SAYING_MORE:
        add_tier(facts, reply, exchange)
    facts.region = facts.region or where.region
    is_line = bool(answer.custom_id) or (answer is not reply and is_batch_line(answer))
    facts.is_batch = where.is_batch or is_line or facts.service_tier == BATCH_TIER
    facts.provider_request_id = reply.id or _other_id(reply) or _id_in_headers(exchange.headers)
    facts.has_error, facts.error_type, facts.error_message = failure(
        reply, exchange.status_code, exchange.headers
    )
    if not reply.choices or "-search-" in facts.model or facts.provider == "groq" or facts.cache_write_tokens:
        add_units(facts, reply, exchange)
    if reply.diagnostics or reply.prompt_cache_diagnostics:
        facts.cache_diagnostics = _diagnostics(reply)
    if facts.completion_tokens is None and reply.choices and not facts.usage_check:
        facts.usage_source = "partial" if facts.usage_source == "reported" else facts.usage_source
    if facts.usage_check == "mismatch" or facts.usage_source == "partial" or facts.units:
        settle(facts, facts.provider, facts.model)
    if facts.cost_usd is not None and _is_estimate(facts, answer, exchange, where):
        facts.cost_usd = None
    return facts


def _diagnostics(reply: Reply) -> bytes:
    """Return what the provider says of a cache miss; nothing where it is null or longer than any is."""
    said = reply.diagnostics or reply.prompt_cache_diagnostics
    return bytes(said) if is_object(said) and len(said) <= LONGEST_DIAGNOSTICS else b""


def _is_estimate(facts: Facts, answer: Reply, exchange: Exchange, where: Place) -> bool:
    """Whether the cost is the sender's or a proxy's own estimate."""
    usage = members(facts.usage_json)
    is_proxied = bool(answer.hidden) or where.is_self_hosted or "litellm" in exchange.provider.lower()
    return is_estimate(usage, exchange.headers, is_proxied=is_proxied)


def _usage_facts(usage: Json) -> Facts:
    """Return the facts of the usage object. Raises TooMuch."""
    budget.fit(len(usage), budget.USAGE_BYTES)
    return (plain_facts(usage) or _facts_by_shape(usage)) if usage else Facts()


def _facts_by_shape(usage: Json) -> Facts:
    fields = members(usage)
    rule = rule_for(fields)
    facts = rule(usage) if rule is not None else Facts()
    facts.usage_json = bytes(usage)
    if not READ_BESIDE_TOKENS.isdisjoint(fields):
        add_cost(facts, fields)
        add_from_usage(facts, fields)
        facts.units = units_in(fields)
        if facts.usage_source == "unknown" and not WHOLE_USAGE.isdisjoint(facts.units):
            facts.usage_source = "reported"
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
