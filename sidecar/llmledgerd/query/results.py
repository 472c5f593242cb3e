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
    first_token_p50_ms: float | None
    """Over the calls whose first token was timed (streams); None if none was."""
    first_token_p95_ms: float | None
    first_token_p99_ms: float | None
    output_tokens_per_second_p50: float | None
    """Over the successful calls with reported output: from the first token where that was timed, else over
    the whole latency."""
    output_tokens_per_second_p95: float | None
    output_tokens_per_second_p99: float | None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that share a ``run_id``, or a ``conversation_id`` where no run id was sent (docs/runs.md).

    Figures are those of the run's calls in the time range of the query. Calls of unknown usage or cost
    count in ``unknown_usage`` and ``unknown_cost`` and add nothing to tokens and ``cost_usd``.
    """

    id: str
    organization_id: str
    is_named: bool
    """Whether the id is a ``run_id`` that was sent; otherwise it is a conversation's."""
    agents: list[str]
    """At most RUN_NAMES different ones, the first call's before the others, as are ``users``, ``services`` and
    ``models``."""
    users: list[str]
    services: list[str]
    models: list[str]
    steps: int
    """Number of calls."""
    depth: int | None
    """Number of turns on the longest chain; None where the run is too long to tell in a list, as are the
    next two."""
    forks: int | None
    """Steps that continue a turn which another step continued before."""
    sub_agents: int | None
    """Conversations within the run that a step of another conversation started."""
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_input_tokens: int
    unknown_usage: int
    cost_usd: Decimal | None
    """Sum of the known costs; None if no cost is known."""
    unknown_cost: int
    errors: int
    wall_ms: int
    """Milliseconds from the start of the first call to the end of the last."""
    model_ms: int
    """Milliseconds of these in which at least one call was waiting for its model."""
    between_ms: int
    """The others: the application and its tools."""
    request_bytes: int
    response_bytes: int
    first_at: datetime
    last_at: datetime
    """Start of the last call."""


class RunPage(msgspec.Struct, frozen=True):
    """One page of runs, the one with the latest call first. ``cursor`` continues after the last."""

    runs: list[Run]
    cursor: str | None


class RunStep(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a run, and its place in the tree. Fields of the columns' names are the columns."""

    number: int
    """Place in the order of start, from 1."""
    parent: int | None
    """Number of the step that it continues, or below which it stands (``sub_agent``)."""
    kind: str
    """``root``, ``next``, ``fork`` or ``sub_agent`` (docs/runs.md)."""
    level: int
    """Number of forks and sub-agents above it."""
    new_bytes: int
    """Bytes of the request beyond those of the parent's request; the whole request without a parent, and
    where it is shorter than the parent's, because the history was not sent or was rewritten."""
    id: str
    run_id: str
    step_id: str
    conversation_id: str
    turn_id: str
    parent_turn_id: str
    agent_id: str
    call_type: str
    provider: str
    model: str
    attempt: int
    request_size_bytes: int
    response_size_bytes: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_input_tokens: int | None
    reasoning_tokens: int | None
    usage_source: str
    cost_usd: Decimal | None
    latency_ms: int
    time_to_first_token_ms: int | None
    status_code: int
    outcome: str
    finish_reason: str
    is_error: bool
    error_type: str
    error_message: str
    """The first ERROR_CHARACTERS characters."""
    created_at: datetime


class RunSteps(msgspec.Struct, frozen=True):
    """One run and some of its steps in the order of their start."""

    run: Run
    steps: list[RunStep]
    here: int | None = None
    """Number of the step of the call that was asked for by ``around``."""
    more: bool = False
    """Whether there are steps after the last of these."""


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

RUN_NAMES: Final = 20
"""Limit of different agents, users, services and models that a Run lists."""

ERROR_CHARACTERS: Final = 200

STEP_COLUMNS: Final = tuple(
    name
    for name in RunStep.__struct_fields__
    if name not in ("number", "parent", "kind", "level", "new_bytes", "error_message")
)
"""Columns of a RunStep, apart from the error's message, which is cut. None of them is a payload."""

STEP_CALLS: Final = 1000
"""Limit of calls per step: a step is one call and its retries."""


def call_of(row: dict[str, Any]) -> Call:
    """Return the call of a row of CALL_COLUMNS."""
    for name in ("is_byok", "is_stream", "is_error"):
        row[name] = bool(row[name])
    return Call(**row)
