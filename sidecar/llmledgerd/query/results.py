"""What reading gives back: typed, and only what the columns hold.

Invariant: the fields of Call, but for its last two, and of Payloads are columns of ``llm_traces`` by name and meaning; None is
"not reported" and never 0.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec


class Payloads(msgspec.Struct, frozen=True):
    """What was sent and received, byte for byte, and the usage object of it; empty where there was none."""

    request_json: bytes
    response_json: bytes
    llm_config_json: bytes
    usage_json: bytes = b""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One row: one HTTP exchange with a provider. Fields are the columns of the same name."""

    id: str
    organization_id: str
    project_id: str
    agent_id: str
    agent_tags: list[str]
    run_id: str
    step_id: str
    trace_id: str
    user_id: str
    service: str
    call_type: str
    provider: str
    model: str
    is_byok: bool
    attempt: int
    request_size_bytes: int
    response_size_bytes: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    usage_source: str
    cost_usd: Decimal | None
    latency_ms: int
    time_to_first_token_ms: int | None
    status_code: int
    outcome: str
    finish_reason: str
    is_stream: bool
    is_error: bool
    error_type: str
    error_message: str
    billing_plan_type: str
    billing_customer_id: str
    created_at: datetime
    batch_id: UUID
    batch_row: int
    ingested_at: datetime
    payload_uri: str = ""
    """Where the payloads lie in object storage; empty where they are in the row, or were not kept."""
    payloads: Payloads | None = None
    payloads_missing: str = ""
    """Why payloads that were asked for are not there; no column."""


class LargeCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call by its size. Few columns, since each costs a read of its own for every call of a list
    that is scattered over the whole table; ``id`` finds the rest.
    """

    id: str
    organization_id: str
    project_id: str
    agent_id: str
    run_id: str
    step_id: str
    provider: str
    model: str
    call_type: str
    outcome: str
    request_size_bytes: int
    response_size_bytes: int
    prompt_tokens: int
    usage_source: str
    cost_usd: Decimal | None
    created_at: datetime


class Page(msgspec.Struct, frozen=True):
    """Some calls, newest first. ``cursor`` continues after the last; None: there are no more."""

    calls: list[Call]
    cursor: str | None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of one group used.

    ``unknown_usage`` calls are in ``requests`` and add nothing to the tokens; ``partial_usage``
    ones add what could be known; ``unknown_cost`` ones add nothing to ``cost_usd``.
    """

    group: dict[str, str]
    requests: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal
    request_bytes: int
    response_bytes: int
    errors: int
    cancelled: int
    """Of the errors."""
    unknown_usage: int
    partial_usage: int
    unknown_cost: int
    latency_avg_ms: float | None
    """Of the calls whose latency is known; None without any."""
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Records that somebody had to drop, by where and why."""

    stage: str
    reason: str
    service: str
    records: int
    of_unknown_count: int
    """Losses beside those of which nobody knows how many records they were."""
    last_at: datetime


class Table(msgspec.Struct, frozen=True):
    """What a statement returned. Values that JSON has no type for are text."""

    columns: list[str]
    rows: list[list[Any]]
    more: bool
    """Whether there were more rows than are returned."""


CALL_COLUMNS: Final = tuple(name for name in Call.__struct_fields__ if not name.startswith("payloads"))
"""The columns that a Call is made of."""

STEP_CALLS: Final = 1000
"""Calls of one step that are returned at most: a step is one call and its retries."""


def call_of(row: dict[str, Any]) -> Call:
    """Return the call that a row of CALL_COLUMNS is."""
    for name in ("is_byok", "is_stream", "is_error"):
        row[name] = bool(row[name])
    return Call(**row)
