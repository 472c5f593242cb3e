"""Whose rows a query is about, and requests with validated values. Pure.

Invariant: all organizations are asked for by name, and never by leaving something out.
"""

from __future__ import annotations

import enum
from typing import Final, TypeVar

import msgspec

from llmledgerd.query.requests import QueryRequest


class AllOrganizations(enum.Enum):
    """Type of ALL_ORGANIZATIONS; an enum, so that type checkers distinguish it from a string."""

    ALL = "all"


ALL_ORGANIZATIONS: Final = AllOrganizations.ALL
"""Scope of operators: the rows of all organizations."""

Scope = str | AllOrganizations
Q = TypeVar("Q", bound=QueryRequest)


def checked(kind: type[Q], **values: object) -> Q:
    """Return a request with validated values. Raises ValueError."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
