"""Result types of queries about tools and about attempts of calls.

Invariant: as of ``results``; the fields of ToolCall are columns of ``llm_tool_calls``.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one tool."""

    name: str
    mcp_server: str
    """The server that a name such as ``mcp__github__create_issue`` says; empty for other names. Tools of hosted
    servers have such names too."""
    calls: int
    errors: int
    api_errors: int
    """Calls whose failure the API's own field says."""
    text_errors: int
    """Calls whose failure only the text of the result says."""
    provider_runs: int
    """Calls that the provider ran itself; they are never unanswered, and have no part in the seconds."""
    unanswered: int
    """Calls whose result no request brought, yet."""
    repeated: int
    """Calls with the arguments of an earlier call of the same conversation."""
    seconds_p50: float | None
    """Time between the answer that asked and the request that brought the result; None without any."""
    seconds_p95: float | None
    arguments_bytes: int
    result_bytes: int
    result_tokens: int
    """About how many prompt tokens its results took in all calls that had them in their prompts."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a tool: a row of ``llm_tool_calls``."""

    organization_id: str
    conversation_id: str
    id: str
    """The call of the model whose answer asked."""
    tool_call_id: str
    name: str
    mcp_server: str
    agent_id: str
    run_id: str
    provider: str
    model: str
    created_at: datetime
    """Start of the call of the model."""
    arguments_bytes: int
    answered_by: str
    """The call of the model whose request brought the result first; empty where none did."""
    result_bytes: int | None
    seconds: float | None
    """Time between the answer that asked and the request that brought the result; None where the provider ran it."""
    is_error: bool
    error_source: str
    """``api``, ``text``, or empty."""
    is_answered: bool
    is_provider_run: bool
    """The provider ran the tool itself (web search, code execution, a hosted MCP server), within the same answer."""
    is_repeated: bool


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one model that had several attempts."""

    provider: str
    model: str
    calls: int
    attempts: int
    """All attempts of those calls."""
    failed_attempts: int
    recovered: int
    """Calls whose last attempt succeeded."""
    given_up: int
    """Calls whose last attempt failed."""
    failed_cost_usd: Decimal
    """What the failed attempts cost."""
    unknown_cost: int
    """Failed attempts without a cost, which add nothing to ``failed_cost_usd``."""
    waited_ms: float
    """From the start of the first attempt to that of the last one; to its end where that failed too."""
    waited_p50_ms: float
    waited_p95_ms: float


class RetriedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that had several attempts; fields of names that ``Call`` has are the last attempt's."""

    id: str
    organization_id: str
    attempts: list[str]
    """Ids of all attempts, in order."""
    provider: str
    model: str
    outcome: str
    is_error: bool
    error_types: list[str]
    """Of the failed attempts, in order."""
    started_at: datetime
    """Start of the first attempt."""
    waited_ms: float
    failed_cost_usd: Decimal
    unknown_cost: int
