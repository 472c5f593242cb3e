"""The addresses of ``/v1``: for each the question it takes and the answer it gives.

Invariant: server, client and description are made from this one table.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from llmledgerd.query.erasure import Erasure
from llmledgerd.query.requests import FindLarge, GetCall, GetLosses, GetStep, GetUsage, ListCalls, Question
from llmledgerd.query.results import Call, LargeCall, Loss, Page, Usage

ERASE: Final = "/v1/erase"
"""Answered to POST: the one address that changes anything."""


class EraseRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whose calls are to be erased, and which part of them."""

    organization_id: str
    customer_id: Annotated[str, Meta(min_length=1)] | None = None
    user_id: Annotated[str, Meta(min_length=1)] | None = None
    whole_organization: bool = False
    """Of everybody in it; to be said where neither a customer nor a user is."""
    before_us: Annotated[int, Meta(ge=0, le=10**16)] | None = None
    """Only calls that started before, in microseconds since 1970."""
    rows: bool = False
    """The rows and their usage too; else the payloads alone."""
    confirmation: str | None = None
    """What the same request without one was answered with, after counting."""

    def __post_init__(self) -> None:
        is_narrowed = self.customer_id is not None or self.user_id is not None
        if is_narrowed == self.whole_organization:
            raise ValueError("name a customer_id, a user_id or both, or else say whole_organization: true")

    @property
    def erasure(self) -> Erasure:
        """What is asked for, whenever it was received."""
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
    """One address, answered to GET."""

    path: str
    question: type[Question]
    answer: Any
    """The type of what comes back as JSON."""
    may_be_none: bool = False
    """Whether there may be no answer, which is a 404."""


ENDPOINTS: Final = (
    Endpoint("/v1/call", GetCall, Call, may_be_none=True),
    Endpoint("/v1/step", GetStep, list[Call]),
    Endpoint("/v1/calls", ListCalls, Page),
    Endpoint("/v1/large", FindLarge, list[LargeCall]),
    Endpoint("/v1/usage", GetUsage, list[Usage]),
    Endpoint("/v1/losses", GetLosses, list[Loss]),
)

OF: Final = {endpoint.question: endpoint for endpoint in ENDPOINTS}


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong, as RFC 9457 has it, in ``application/problem+json``."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
