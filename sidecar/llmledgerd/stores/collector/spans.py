"""Rows as spans of the GenAI semantic conventions. Pure.

Invariant: trace id and span id depend on the row alone. A row with a trace and a span is a child of that span, which was
current when the call was made; without a trace it is a trace of its own, made of its organization and id.

Source: OpenTelemetry semantic conventions for generative AI, "Spans", "Anthropic", "OpenAI", "AWS Bedrock" (names of
attributes, of operations and of providers; a span of a call has the kind CLIENT).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import xxhash

from llmledgerd import __version__
from llmledgerd.records.schema import COLUMNS
from llmledgerd.records.twice_told import FORWARDED, OTLP
from llmledgerd.stores.collector import wire
from llmledgerd.stores.collector.content import messages_of

CLIENT: Final = 3
ERROR: Final = 2
"""``Span.kind`` and ``Status.code`` (opentelemetry-proto, ``trace.proto``)."""

PROVIDERS: Final = {
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Providers whose name in the conventions is another one than in rows."""

OPERATIONS: Final = {
    "embedding": "embeddings",
    "rerank": "rerank",
    "tool": "execute_tool",
    "retrieval": "retrieval",
}
"""``gen_ai.operation.name`` by call type; ``chat`` for all others."""

NS_PER_US: Final = 1_000
NS_PER_MS: Final = 1_000_000

_SCOPE_FIELD: Final = wire.message(1, wire.text(1, FORWARDED) + wire.text(2, __version__))

_OWN: Final = {
    "llmledger.id": "id",
    "llmledger.organization_id": "organization_id",
    "llmledger.project_id": "project_id",
    "llmledger.step_id": "step_id",
    "llmledger.call_type": "call_type",
    "llmledger.outcome": "outcome",
    "llmledger.cost_reason": "cost_reason",
    "user.id": "user_id",
    "gen_ai.agent.name": "agent_id",
    "gen_ai.request.model": "request_model",
    "gen_ai.response.id": "provider_request_id",
    "error.type": "error_type",
}
"""Attributes that are columns as they are, where they are not empty."""

_COUNTS: Final = {
    "gen_ai.usage.input_tokens": "prompt_tokens",
    "gen_ai.usage.output_tokens": "completion_tokens",
    "gen_ai.usage.cache_read.input_tokens": "cached_input_tokens",
    "gen_ai.usage.cache_creation.input_tokens": "cache_write_tokens",
    "gen_ai.usage.cache_write.input_tokens": "cache_write_tokens",  # the name since the conventions' own repository
    "gen_ai.usage.reasoning.output_tokens": "reasoning_tokens",
}


class Block(bytearray):
    """A trace request, and the rows that are not in it."""

    left_out: set[int]
    """``batch_row`` of rows that are not forwarded."""


def encode(rows: Sequence[Sequence[object]], *, has_content: bool) -> Block:
    """Return rows as one ``ExportTraceServiceRequest``, in the order of their services."""
    block = Block()
    block.left_out = set()
    by_service: dict[str, list[bytes]] = {}
    for values in rows:
        row = dict(zip(COLUMNS, values, strict=True))
        if is_forwarded(row):
            by_service.setdefault(str(row["service"]), []).append(span(row, has_content=has_content))
        else:
            block.left_out.add(int(str(row["batch_row"])))
    for service, found in by_service.items():
        resource = wire.message(1, wire.attributes(1, {"service.name": service or "unknown_service"}))
        scoped = wire.message(2, _SCOPE_FIELD + b"".join(wire.message(2, one) for one in found))
        block += wire.message(1, resource + scoped)
    return block


def is_forwarded(row: dict[str, Any]) -> bool:
    """Return whether a row becomes a span.

    The emitter of a row that was made of OTLP exports it where it wants it; a call that was given up may still arrive.
    """
    return str(row["source"]) != OTLP and str(row["outcome"]) != "abandoned"


def span(row: dict[str, Any], *, has_content: bool) -> bytes:
    """Return a ``Span`` message."""
    trace, parent = _hexadecimal(row["trace_id"], 16), _hexadecimal(row["span_id"], 8)
    name = f"{row['organization_id']}\0{row['id']}".encode("utf-8", "replace")
    start_ns = int(row["created_at"]) * NS_PER_US
    operation, model = operation_of(row), row["request_model"] or row["model"]
    values = attributes(row)
    if has_content:
        values |= messages_of(bytes(row["request_json"]), bytes(row["response_json"]), row["finish_reason"])
    status = wire.text(2, row["error_message"]) + wire.number(3, ERROR) if row["is_error"] else b""
    return b"".join(
        (
            wire.message(1, trace or xxhash.xxh3_128_digest(name)),
            wire.message(2, xxhash.xxh3_64_digest(name)),
            wire.message(4, parent) if trace and parent else b"",
            wire.text(5, f"{operation} {model}".strip()),
            wire.number(6, CLIENT),
            wire.fixed64(7, start_ns),
            wire.fixed64(8, start_ns + int(row["latency_ms"]) * NS_PER_MS),
            wire.attributes(9, values),
            wire.message(15, status) if status else b"",
        )
    )


def attributes(row: dict[str, Any]) -> dict[str, wire.Value]:
    """Return the attributes of a row's span, without messages."""
    found: dict[str, wire.Value] = {
        "gen_ai.operation.name": operation_of(row),
        "gen_ai.provider.name": PROVIDERS.get(row["provider"], row["provider"]),
        "gen_ai.response.model": row["model"],
    }
    found |= {name: row[column] for name, column in _OWN.items() if row[column]}
    if row["usage_source"] != "unknown":  # a null is "not reported", and a zero is zero
        found |= {name: row[column] for name, column in _COUNTS.items() if row[column] is not None}
    if conversation := row["run_id"] or row["conversation_id"]:
        found["gen_ai.conversation.id"] = conversation
    if row["finish_reason"]:
        found["gen_ai.response.finish_reasons"] = [row["finish_reason"]]
    if row["time_to_first_token_ms"] is not None:
        found["gen_ai.response.time_to_first_chunk"] = row["time_to_first_token_ms"] / 1000
    if row["cost_usd"] is not None:
        found["llmledger.cost_usd"] = float(row["cost_usd"])
    if row["status_code"]:
        found["http.response.status_code"] = row["status_code"]
    if row["agent_tags"]:
        found["llmledger.tags"] = list(row["agent_tags"])
    return found | _server(row["url"])


def operation_of(row: dict[str, Any]) -> str:
    """Return ``gen_ai.operation.name``."""
    return OPERATIONS.get(row["call_type"], "chat")


def _server(url: str) -> dict[str, wire.Value]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return {}
    if not host:
        return {}
    return {"server.address": host, **({"server.port": port} if port else {})}


def _hexadecimal(said: str, size: int) -> bytes:
    """Return an identifier of so many bytes; empty for anything else, and for zeros, which OTLP forbids."""
    try:
        found = bytes.fromhex(said) if len(said) == 2 * size else b""
    except ValueError:
        return b""
    return found if any(found) else b""
