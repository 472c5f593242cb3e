"""Routes of ``/v1``: the request and result type of each endpoint.

Invariant: server, client and OpenAPI description derive from this table.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from llmledgerd.query.erasure import Erasure
from llmledgerd.query.prompt_results import Anatomy, CacheMiss, CacheMisses
from llmledgerd.query.requests import (
    FindLarge,
    GetAnatomy,
    GetCacheMisses,
    GetCall,
    GetLosses,
    GetRetries,
    GetRun,
    GetStep,
    GetTools,
    GetUnpriced,
    GetUsage,
    ListCacheMisses,
    ListCalls,
    ListRetriedCalls,
    ListRuns,
    ListToolCalls,
    QueryRequest,
)
from llmledgerd.query.results import (
    Call,
    LargeCall,
    Loss,
    Page,
    RunPage,
    RunSteps,
    Unpriced,
    Usage,
)
from llmledgerd.query.tool_results import RetriedCall, Retries, Tool, ToolCall

ERASE: Final = "/v1/erase"
"""POST; erases."""
REPRICE: Final = "/v1/reprice"
"""POST; recomputes costs. Operators only. No other endpoint than these two changes data."""


class EraseRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Selection of calls to erase, and the extent."""

    organization_id: str
    customer_id: Annotated[str, Meta(min_length=1)] | None = None
    user_id: Annotated[str, Meta(min_length=1)] | None = None
    whole_organization: bool = False
    """Erase the whole organization; required when neither a customer nor a user is given."""
    before_us: Annotated[int, Meta(ge=0, le=10**16)] | None = None
    """Only calls that started before this time, in microseconds since 1970."""
    rows: bool = False
    """Erase the rows and their usage too; otherwise only the payloads."""
    confirmation: str | None = None
    """Code from the response to the same request without a confirmation."""

    def __post_init__(self) -> None:
        is_narrowed = self.customer_id is not None or self.user_id is not None
        if is_narrowed == self.whole_organization:
            raise ValueError("missing customer_id or user_id (or use whole_organization: true)")

    @property
    def erasure(self) -> Erasure:
        """Return the erasure, without a limit of the time of receipt."""
        return Erasure(
            organization_id=self.organization_id,
            customer_id=self.customer_id,
            user_id=self.user_id,
            before_us=self.before_us,
            rows=self.rows,
        )

    @classmethod
    def of(cls, erasure: Erasure, confirmation: str | None = None) -> EraseRequest:
        """Return the request for an erasure."""
        return cls(
            organization_id=erasure.organization_id,
            customer_id=erasure.customer_id,
            user_id=erasure.user_id,
            whole_organization=erasure.is_of_all,
            before_us=erasure.before_us,
            rows=erasure.rows,
            confirmation=confirmation,
        )


class Endpoint(msgspec.Struct, frozen=True):
    """One endpoint, for GET."""

    path: str
    question: type[QueryRequest]
    answer: Any
    """Type of the JSON result."""
    may_be_none: bool = False
    """Whether the result can be missing, which is a 404."""


ENDPOINTS: Final = (
    Endpoint("/v1/call", GetCall, Call, may_be_none=True),
    Endpoint("/v1/step", GetStep, list[Call]),
    Endpoint("/v1/calls", ListCalls, Page),
    Endpoint("/v1/large", FindLarge, list[LargeCall]),
    Endpoint("/v1/usage", GetUsage, list[Usage]),
    Endpoint("/v1/unpriced", GetUnpriced, list[Unpriced]),
    Endpoint("/v1/runs", ListRuns, RunPage),
    Endpoint("/v1/run", GetRun, RunSteps, may_be_none=True),
    Endpoint("/v1/tools", GetTools, list[Tool]),
    Endpoint("/v1/tool-calls", ListToolCalls, list[ToolCall]),
    Endpoint("/v1/retries", GetRetries, list[Retries]),
    Endpoint("/v1/retried-calls", ListRetriedCalls, list[RetriedCall]),
    Endpoint("/v1/cache", GetCacheMisses, list[CacheMisses]),
    Endpoint("/v1/cache/calls", ListCacheMisses, list[CacheMiss]),
    Endpoint("/v1/anatomy", GetAnatomy, list[Anatomy]),
    Endpoint("/v1/losses", GetLosses, list[Loss]),
)

OF: Final = {endpoint.question: endpoint for endpoint in ENDPOINTS}


class Problem(msgspec.Struct, omit_defaults=True):
    """Problem details (RFC 9457), in ``application/problem+json``."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
