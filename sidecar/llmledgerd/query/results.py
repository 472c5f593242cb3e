"""Result types of queries, with the values of the columns.

Invariant: the fields of Call (except its last two) and of Payloads are columns of ``llm_traces`` by name
and meaning; None is "not reported", never 0.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec


class Payloads(msgspec.Struct, frozen=True):
    """Request, response and configuration as exact bytes, and the usage object; empty if absent."""

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
    conversation_id: str
    turn_id: str
    parent_turn_id: str
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
    usage_units: dict[str, Decimal]
    cost_usd: Decimal | None
    cost_reason: str
    cost_parts: dict[str, Decimal]
    priced_model: str
    price_list: str
    sent_cost_usd: Decimal | None
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
    """URI of the payloads in object storage; ``erased:`` if they were erased; empty if they are in the row or were
    not stored."""
    payloads: Payloads | None = None
    payloads_missing: str = ""
    """Reason why requested payloads are missing; not a column."""


class LargeCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call by its size. It has few columns, since each costs a separate read for every call of a list
    that is scattered over the whole table; get the rest by ``id``.
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
    """One page of calls, newest first. ``cursor`` continues after the last; None: no more calls."""

    calls: list[Call]
    cursor: str | None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage of one group of calls.

    ``unknown_usage`` calls count in ``requests`` and add nothing to the tokens; ``partial_usage``
    calls add the tokens that are known; ``unknown_cost`` calls add nothing to ``cost_usd``.
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
    """Cancelled calls, which are part of ``errors``."""
    unknown_usage: int
    partial_usage: int
    unknown_cost: int
    latency_avg_ms: float | None
    """Over the calls with a known latency; None if no latency is known."""
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None


class Unpriced(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one model that have no cost for one reason."""

    provider: str
    model: str
    """The name whose price was looked up."""
    reason: str
    """Value of ``cost_reason``."""
    requests: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    last_at: datetime
    """Start of the newest of these calls."""


class CacheMisses(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one agent and model that did not read from the provider's cache what they could have, for one cause."""

    agent_id: str
    provider: str
    model: str
    cause: str
    """`tools_changed`, `system_changed`, `history_changed`, `model_changed`, `tier_changed`, `expired`, `too_short`,
    `mark_moved`, `in_flight` or `unknown`."""
    calls: int
    lost_tokens: int
    lost_usd: Decimal | None
    """What these tokens cost more than if they had been read; None where no price is known."""
    unknown_cost: int
    """Calls without a price, which are not in ``lost_usd``."""
    worst_id: str
    """The call that lost most tokens."""


class CacheMiss(msgspec.Struct, frozen=True, kw_only=True):
    """One call that did not read from the provider's cache what it could have."""

    id: str
    parent_id: str
    """The call that it continues; empty where it only shares a prefix with another."""
    agent_id: str
    provider: str
    model: str
    created_at: datetime
    cause: str
    """As in ``CacheMisses``."""
    place: dict[str, Any]
    """Where the prompts differ: `part` (`tools`, `system`, `messages`) and what identifies the place in it."""
    place_text: str
    """The same as a phrase."""
    prompt_tokens: int
    could_read_tokens: int
    read_tokens: int
    lost_tokens: int
    lost_usd: Decimal | None
    provider_says: str
    """The provider's own diagnostics as JSON, where the request asked for them."""


class Anatomy(msgspec.Struct, kw_only=True):
    """What the tokens of the prompts of one group of calls are; the parts add up to ``prompt_tokens``."""

    group: dict[str, str]
    calls: int = 0
    prompt_tokens: int = 0
    system: int = 0
    tools: int = 0
    history: int = 0
    tool_results: int = 0
    files: int = 0
    new: int = 0
    other: int = 0
    """Of calls whose request was not stored as parts, such as embeddings."""
    by_tool: dict[str, int] = {}
    """Tokens of ``tools`` by the tool's name."""
    by_server: dict[str, int] = {}
    """Tokens of ``tools`` by the MCP server that names of the form `mcp__server__tool` say."""


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Lost records by stage and reason."""

    stage: str
    reason: str
    service: str
    records: int
    of_unknown_count: int
    """Further losses of an unknown number of records."""
    last_at: datetime


class Table(msgspec.Struct, frozen=True):
    """Result of a SQL statement. Values without a JSON type are text."""

    columns: list[str]
    rows: list[list[Any]]
    more: bool
    """Whether rows were left out because of the limit."""


CALL_COLUMNS: Final = tuple(name for name in Call.__struct_fields__ if not name.startswith("payloads"))
"""Columns of a Call."""

STEP_CALLS: Final = 1000
"""Limit of calls per step: a step is one call and its retries."""


def call_of(row: dict[str, Any]) -> Call:
    """Return the call of a row of CALL_COLUMNS."""
    for name in ("is_byok", "is_stream", "is_error"):
        row[name] = bool(row[name])
    return Call(**row)
