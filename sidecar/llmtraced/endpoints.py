"""The addresses of ``/v1``: for each the question it takes and the answer it gives.

Invariant: server, client and description are made from this one table.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from llmtraced.answers import Call, LargeCall, Loss, Page, Usage
from llmtraced.questions import FindLarge, GetCall, GetLosses, GetStep, GetUsage, ListCalls, Question

ERASE: Final = "/v1/erase"
"""Answered to POST: the one address that changes anything."""


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
