"""The columns of ``llm_traces``, listed once.

Invariant: rows, readers, migrations' check and documents take their columns from here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

TRACES = "llm_traces"


LOSSES = "llm_trace_losses"


LOSS_COLUMNS = (
    "at", "host", "service", "session", "stage", "reason", "count", "batch_id", "batch_row", "ingested_at",
)  # fmt: skip
"""Of ``llm_trace_losses``; a count of None is a loss of unknown size."""


Row = tuple[object, ...]


_WHO: Final = (
    "id", "organization_id", "project_id", "agent_id", "run_id", "step_id", "trace_id", "agent_tags",
    "call_type", "provider", "model",
)  # fmt: skip


_AMOUNTS: Final = (
    "is_byok", "request_size_bytes", "response_size_bytes", "prompt_tokens", "completion_tokens", "total_tokens",
    "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "latency_ms",
)  # fmt: skip


_FAILURE: Final = ("is_error", "error_type", "error_message")


_CONTENT: Final = (
    "request_json", "response_json", "llm_config_json",
    "billing_plan_type", "billing_cost_source", "billing_customer_id", "created_at",
)  # fmt: skip


_CALL: Final = (
    "user_id", "source", "service", "span_id", "url", "attempt", "request_model", "provider_request_id",
    "service_tier", "is_batch", "compaction_settings_json",
)  # fmt: skip


_ANSWER: Final = (
    "outcome", "finish_reason", "is_stream", "status_code", "time_to_first_token_ms",
    "usage_json", "usage_source", "usage_check", "cost_usd", "cost_usd_source",
)  # fmt: skip


_DELIVERY: Final = ("payload_uri", "protocol_version", "batch_id", "batch_row", "ingested_at")


COLUMNS: Final[tuple[str, ...]] = (
    *_WHO, *_AMOUNTS, *_FAILURE, *_CONTENT, *_CALL, *_ANSWER, *_DELIVERY,
)  # fmt: skip
"""The columns in the table's order; the first 31 are SPEC section 3's."""


BYTES_COLUMNS: Final = frozenset(
    {"request_json", "response_json", "llm_config_json", "compaction_settings_json", "usage_json"}
)
"""Columns whose values are bytes; every other text is ``str``."""


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def as_made(row: dict[str, Any]) -> Row:
    """Return a row that was read as the daemon made it: times in microseconds, flags as numbers."""
    return tuple(_as_made(name, row[name]) for name in COLUMNS)


def _as_made(name: str, value: Any) -> object:
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, bool):
        return int(value)
    if name == "batch_id":
        return str(value)
    return value.encode() if name in BYTES_COLUMNS and isinstance(value, str) else value
