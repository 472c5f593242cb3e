"""JSON Schema of the wire protocol, from ``protocol``: ``python -m llmledger.schema > docs/protocol.schema.json``.

Invariant: field names and types come from the Structs that client and daemon use; this module adds
only limits, and a test compares those with the daemon's. No module imports this one.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from llmledger.protocol import (
    MAX_ID_CHARACTERS,
    PROTOCOL_VERSION,
    SUPPORTED_VERSIONS,
    Begin,
    Billing,
    Durable,
    End,
    Hello,
    Record,
    Refused,
    Unsupported,
)

IDS: Final = (
    "provider_trace_id",
    "org_id",
    "project_id",
    "user_id",
    "agent_id",
    "run_id",
    "step_id",
    "trace_id",
    "span_id",
    "cost_source",
    "customer_id",
)
NUMBERS: Final = ("latency_ms", "time_to_first_token_ms", "attempt", "status_code", "cost_usd")
COUNTS: Final = {
    "first": 1,
    "last": 0,
    "pid": 0,
    "taken": 0,
    "durable": 0,
    "max_line_bytes": 1,
    "rejected": 1,
}
"""Minimum of each number."""

CONTROLS: Final[dict[str, Any]] = {
    "hello": {"$ref": "#/$defs/Hello"},
    "begin": {"$ref": "#/$defs/Begin"},
    "dropped": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
    "end": {"$ref": "#/$defs/End"},
}
"""Keys of control lines; null counts as absent."""

_TYPES: Final = (Record, Billing, Hello, Begin, End, Durable, Refused, Unsupported)


def schema() -> dict[str, Any]:
    """Return the schema of a sender's line, and of an answer under ``$defs/DaemonLine``."""
    definitions = {kind.__name__: _object(kind) for kind in _TYPES}
    definitions["Record"]["properties"]["protocol_version"] = {"enum": list(SUPPORTED_VERSIONS)}
    definitions["Record"]["properties"] |= {name: {"type": "null"} for name in CONTROLS}
    lines = {f"{name.capitalize()}Line": _control(name, body) for name, body in CONTROLS.items()}
    answers = [{"$ref": f"#/$defs/{kind.__name__}"} for kind in (Durable, Refused, Unsupported)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line that a sender writes to the llmledger daemon",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("Record", *lines)],
        "$defs": {**definitions, **lines, "DaemonLine": {"oneOf": answers}},
    }


def _object(kind: type[msgspec.Struct]) -> dict[str, Any]:
    fields = msgspec.structs.fields(kind)
    types, _ = msgspec.json.schema_components([field.type for field in fields], ref_template="#/$defs/{name}")
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": {
            field.encode_name: _limited(kind, field.encode_name, dict(one))
            for field, one in zip(fields, types, strict=True)
        },
        "required": [field.encode_name for field in fields if field.required],
    }


def _limited(kind: type[msgspec.Struct], name: str, one: dict[str, Any]) -> dict[str, Any]:
    """Return a field's schema with the limits that are not part of its type."""
    limits: dict[str, Any] = {}
    if name in IDS and (kind is not Billing or name == "customer_id"):
        limits = {"maxLength": MAX_ID_CHARACTERS}
        limits |= {"minLength": 1} if name == "provider_trace_id" else {}
    if name in NUMBERS:
        limits = {"minimum": 0}
    if name == "cost_usd":
        limits |= {"maxLength": MAX_ID_CHARACTERS}  # of an amount as text
    if name in COUNTS:
        limits = {"minimum": COUNTS[name]}
    return {**one, **limits}  # limits of strings and numbers do not apply to null


def _control(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"protocol_version": {"const": PROTOCOL_VERSION}, name: body},
        "required": ["protocol_version", name],
    }


def text() -> str:
    """Return the schema as the content of its file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
