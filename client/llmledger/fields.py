"""The fields of version 4 by their names, as an editor and a type checker see them.

Invariant: the names are those of ``protocol.Record`` and ``protocol.Begin``; a test compares them.
Nothing here is looked at while the application runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from llmledger.protocol import Outcome


class BillingFields(TypedDict, total=False):
    """Who pays for a call, and out of what."""

    plan_type: str | None
    cost_source: str | None
    customer_id: str | None


class CallFields(TypedDict, total=False):
    """What is known of a call before it is made."""

    provider_trace_id: str | UUID | None
    timestamp: str | datetime | None
    """The start of the call. Made where it is absent: now, less ``latency_ms``."""
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
    """A call that starts: the same fields, no payload."""


class RecordFields(CallFields, total=False):
    """One finished exchange. Payloads are described in ``line``."""

    request: Any
    response: Any
    response_stream: str | bytes | bytearray | memoryview | None
    """The raw text of a streamed answer, instead of ``response``."""
    llm_config: Any
    compaction_settings: Any
    error: Any
    error_type: str | None
    outcome: Outcome | None
    status_code: int | None
    latency_ms: float | None
    """From the start of the request to the last byte of the answer."""
    time_to_first_token_ms: float | None
    response_headers: Mapping[str, str] | None
    service: str | None
