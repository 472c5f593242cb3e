"""A call as a line of the wire. Pure.

Invariant: the id depends on the call alone, so that a repeat has it again, and the line says ``may_repeat``, so that
the store keeps the first of an id. Identifiers fit the wire's limit; a line that is too long loses its payloads, not
its counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import xxhash

from llmledger.protocol import MAX_ID_CHARACTERS, PROTOCOL_VERSION
from llmledgerd.otlp.calls import Call, Context
from llmledgerd.otlp.reading import text
from llmledgerd.otlp.signals import Signal, Span
from llmledgerd.otlp.tokens import usage_of

SOURCE: Final = "otlp"
PREFIX: Final = "otlp-"
NAME_CHARACTERS: Final = 100
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
STEPS: Final = frozenset({"tool", "retrieval"})
READS_ALONE: Final = frozenset({"embedding", "rerank"})

_encode = msgspec.json.Encoder().encode_into


def id_of(signal: Signal, call: Call) -> str:
    """Return the row's id of a call: by its provider's id, by trace and span, or by a log record's content."""
    if call.name:
        return PREFIX + _short(call.name)
    if isinstance(signal, Span) or (signal.span_id and signal.name.startswith("gen_ai.")):
        return f"{PREFIX}{signal.trace_id}-{signal.span_id}"
    content = [
        signal.name,
        signal.at_ns,
        signal.trace_id,
        signal.span_id,
        sorted(signal.attributes.items(), key=str),
    ]
    return f"{PREFIX}log-{xxhash.xxh3_128_hexdigest(msgspec.json.encode(content, enc_hook=str))}"


def _short(name: str) -> str:
    if len(name) <= NAME_CHARACTERS:
        return name
    return f"{name[: NAME_CHARACTERS - 33]}-{xxhash.xxh3_128_hexdigest(name.encode('utf-8', 'replace'))}"


def line_of(signal: Signal, call: Call, context: Context, emitter: str, limit: int) -> bytearray:
    """Return the record of a call, with its newline, in at most ``limit`` bytes without it."""
    record = _record(signal, call, context, emitter)
    record["request"] = call.request
    record["response"] = _response(call)
    line = _encoded(record)
    if len(line) > limit:
        record["request"] = None
        record["response"] = _response(call, is_short=True)
        record["error"] = call.error[:1000] or None
        line = _encoded(record)
    line += b"\n"  # in place, since a line can be large
    return line


def _encoded(record: Mapping[str, Any]) -> bytearray:
    line = bytearray()
    _encode({name: value for name, value in record.items() if value is not None}, line)
    return line


def _record(signal: Signal, call: Call, context: Context, emitter: str) -> dict[str, Any]:
    origin = signal.origin
    config = {"scope": origin.scope, "version": origin.version, "name": signal.name, "convention": emitter}
    return {
        "protocol_version": PROTOCOL_VERSION,
        "provider_trace_id": id_of(signal, call),
        "may_repeat": True,
        "source": SOURCE,
        "service": text(origin.resource, "service.name") or None,
        "type": call.kind or None,
        "timestamp": _timestamp(call.started_ns),
        "trace_id": signal.trace_id or None,
        "span_id": signal.span_id or None,
        "org_id": _id(context.organization),
        "project_id": _id(context.project),
        "user_id": _id(context.user),
        "agent_id": _id(context.agent),
        "run_id": _id(context.run),
        "step_id": _id(context.step),
        "tags": list(context.tags) or None,
        "provider": call.provider or None,
        "model": call.model or None,
        "url": call.url or None,
        "latency_ms": call.latency_ms,
        "time_to_first_token_ms": call.first_token_ms,
        "attempt": call.attempt,
        "status_code": call.status_code,
        "outcome": call.outcome or None,
        "error_type": call.error_type or None,
        "error": call.error or None,
        "cost_usd": call.cost_usd,
        "cost_source": f"{SOURCE}:{emitter}" if call.cost_usd is not None else None,
        "llm_config": {"otlp": {name: said for name, said in config.items() if said}},
    }


def _response(call: Call, *, is_short: bool = False) -> dict[str, Any] | None:
    """Return the answer, with the facts that rows are made of where readers of answers look for them."""
    if call.kind in STEPS:
        return None if is_short else call.response
    body: dict[str, Any] = {}
    if call.response_id:
        body["id"] = call.response_id
    if call.model:
        body["model"] = call.model
    if isinstance(call.response, Mapping) and not is_short:
        body |= {
            name: value for name, value in call.response.items() if name not in ("usage", "usageMetadata")
        }
    if call.service_tier:
        body["service_tier"] = call.service_tier
    body |= _usage(call)
    return body or None


def _usage(call: Call) -> dict[str, Any]:
    if isinstance(call.usage, Mapping):
        return {"usageMetadata" if "promptTokenCount" in call.usage else "usage": call.usage}
    usage = usage_of(call.counts)
    if usage is None:
        return {}
    if call.kind in READS_ALONE and "completion_tokens" not in usage and "prompt_tokens" in usage:
        usage["total_tokens"] = usage["prompt_tokens"]
    return {"usage": usage}


def _id(found: str) -> str | None:
    return found[:MAX_ID_CHARACTERS] or None


def _timestamp(at_ns: int) -> str | None:
    return (EPOCH + timedelta(microseconds=at_ns // 1000)).isoformat() if at_ns else None
