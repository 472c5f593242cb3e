"""Fields of protocol version 4 as types, for editors and type checkers.

Invariant: the names are those of ``protocol.Record`` and ``protocol.Begin``; a test compares them.
They are not used at run time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

from llmledger.protocol import Outcome


class BillingFields(TypedDict, total=False):
    """Billing of a call."""

    plan_type: str | None
    cost_source: str | None
    customer_id: str | None


class CallFields(TypedDict, total=False):
    """Fields of a call that are known before it is made."""

    provider_trace_id: str | UUID | None
    timestamp: str | datetime | None
    """Start of the call (default: now minus ``latency_ms``)."""
    org_id: str | UUID | None
    project_id: str | UUID | None
    user_id: str | UUID | None
    agent_id: str | UUID | None
    run_id: str | UUID | None
    step_id: str | UUID | None
    trace_id: str | None
    span_id: str | None
    tags: Sequence[str] | None
    type: str | None
    provider: str | None
    model: str | None
    is_byok: bool | None
    attempt: int | None
    url: str | None
    source: str | None
    billing: BillingFields | None


class BeginFields(CallFields, total=False):
    """Fields of a ``begin`` line: those of a call, without payloads."""

    error_type: str | None
    """What the row says if no record follows (default: ``abandoned``)."""


class RecordFields(CallFields, total=False):
    """Fields of one finished exchange. ``line`` describes the payloads."""

    request: Any
    response: Any
    response_stream: str | bytes | bytearray | memoryview | None
    """Raw text of a streamed response, instead of ``response``."""
    llm_config: Any
    compaction_settings: Any
    error: Any
    error_type: str | None
    outcome: Outcome | None
    status_code: int | None
    latency_ms: float | None
    """Milliseconds from the start of the request to the last byte of the response."""
    time_to_first_token_ms: float | None
    response_headers: Mapping[str, str] | None
    service: str | None
    may_repeat: bool | None
    """True: a record with this id may have been sent before; the daemon keeps the first one."""
    cost_usd: Decimal | float | str | None
    """The application's own cost in US dollars, kept apart from the daemon's; text keeps all digits."""
    cost_source: str | None
    """Where that cost comes from, in the application's word."""
