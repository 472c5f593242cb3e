"""What can be asked of the rows: one type for a method of the reader, an address of ``/v1``, a client.

Invariants:
- The fields are an endpoint's parameters, by name and meaning, so that code, HTTP and the OpenAPI
  description cannot differ.
- A question says nothing of whose rows are meant. The organization comes beside it, from a caller's
  argument or a token's scope, and None (every organization) is never read from text.
- Text is taken as it is: no word of a caller, such as ``null``, stands for "not narrowed".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from llmledgerd.query.filters import GROUPED, OF_LISTS, OF_SUMS, ORGANIZATION, Filter

MAX_LIMIT: Final = 10_000
"""Calls in one answer; more come by cursor."""

GROUPS: Final = {
    ORGANIZATION: "t.organization_id",
    **{name: f"t.{column}" for name, column in GROUPED.items()},
    "day": "toString(toDate(MOMENT))",
    "hour": "formatDateTime(MOMENT, '%Y-%m-%d %H:00', 'UTC')",
    "minute": "formatDateTime(MOMENT, '%Y-%m-%d %H:%i', 'UTC')",
}
"""What usage can be grouped by, and the expression that does it; MOMENT is the table's column of time, in UTC."""


def _is(description: str, **bounds: Any) -> Meta:
    return Meta(description=description, **bounds)


_WHOLE: Final = re.compile(r"-?[0-9]+")
_DATED: Final = re.compile(r"[0-9]{4}-")
"""How a time begins; a bare number would be taken for seconds since 1970."""
Limit = Annotated[int, _is("How many at most.", ge=1, le=MAX_LIMIT)]
Size = Annotated[int, _is("Bytes.", ge=0, le=2**63 - 1)]
Q = TypeVar("Q", bound="Question")


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base. What is None does not narrow."""


if TYPE_CHECKING:

    class Narrowed(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Questions over many calls. Times are UTC where they have no zone."""

        start_date: datetime | None = None
        end_date: datetime | None = None

    class NarrowedList(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Questions over lists of calls."""

else:

    def _fields(found: dict[str, Filter]) -> list[tuple[str, Any, None]]:
        return [
            (column, Annotated[str | None, _is(f"Only {one.meaning}.")], None)
            for column, one in found.items()
        ]

    _HOW: Final = {"frozen": True, "kw_only": True, "forbid_unknown_fields": True, "module": __name__}
    Narrowed = msgspec.defstruct(
        "Narrowed",
        [
            (
                "start_date",
                Annotated[datetime | None, _is("Only calls that started at this time or later.")],
                None,
            ),
            ("end_date", Annotated[datetime | None, _is("Only calls that started before this time.")], None),
            *_fields(OF_SUMS),
        ],
        bases=(Question,),
        **_HOW,
    )
    NarrowedList = msgspec.defstruct(
        "NarrowedList",
        _fields({column: one for column, one in OF_LISTS.items() if column not in OF_SUMS}),
        bases=(Narrowed,),
        **_HOW,
    )


class GetCall(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The call with an id, the one received last where lines share it."""

    id: Annotated[str, _is("With or without the prefix `provider_trace-`.")]
    payloads: Annotated[bool, _is("With request, response and configuration, in base64.")] = False
    files: Annotated[bool, _is("In those, images and files that were cut out are put back.")] = False


class GetStep(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The calls of one step, oldest first: one, and a further one for each retry."""

    step_id: Annotated[str, _is("As it was recorded.")]
    payloads: Annotated[bool, _is("As above.")] = False
    files: Annotated[bool, _is("As above.")] = False


class ListCalls(NarrowedList, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls, newest first, a page at a time."""

    is_error: Annotated[bool | None, _is("Only those that failed, or only those that did not.")] = None
    min_size_bytes: Annotated[Size | None, _is("With a request of that size or larger.")] = None
    received_after: Annotated[datetime | None, _is("Only those that the daemon received later.")] = None
    limit: Limit = 100
    cursor: Annotated[str | None, _is("Where an earlier page ended.")] = None


class FindLarge(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The calls with the largest requests, largest first."""

    min_size_bytes: Annotated[Size, _is("Smaller requests are left out.")] = 1_000_000
    limit: Limit = 100


class GetUsage(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was used, a group each, the most expensive first."""

    group_by: Annotated[tuple[str, ...], _is(f"Any of {', '.join(GROUPS)}; none makes one group of all.")] = (
        "model",
    )
    limit: Annotated[Limit | None, _is("Only so many groups.")] = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.group_by if name not in GROUPS]
        if unknown:
            raise ValueError(f"cannot group by {', '.join(unknown)}; choose from {', '.join(GROUPS)}")


class GetLosses(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was dropped, by stage and reason. For operators: a loss belongs to no organization."""

    start_date: Annotated[datetime | None, _is("Losses from then on.")] = None


def from_text(kind: type[Q], given: Mapping[str, str]) -> Q:
    """Return the question that parameters of an address make. Raises ValueError, naming the parameter."""
    types = fields(kind)
    unknown = [name for name in given if name not in types]
    if unknown:
        raise ValueError(f"unknown parameter `{unknown[0]}`; known: {', '.join(types)}")
    try:
        return msgspec.convert({name: _value(name, text, types[name]) for name, text in given.items()}, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def to_text(question: Question) -> dict[str, str]:
    """Return the parameters that ``from_text`` makes the question of."""
    found = {}
    for name in question.__struct_fields__:
        value = getattr(question, name)
        if isinstance(value, tuple):
            found[name] = ",".join(value)
        elif isinstance(value, datetime):
            found[name] = value.isoformat()
        elif isinstance(value, bool):
            found[name] = str(value).lower()
        elif value is not None:
            found[name] = str(value)
    return found


@cache
def fields(kind: type[Question]) -> dict[str, Any]:
    """Return the names and types of a question's fields, without their descriptions."""
    return get_type_hints(kind)


def _value(name: str, text: str, kind: Any) -> Any:
    if kind in (str, str | None):
        return text
    if kind == tuple[str, ...]:
        return [part for part in text.split(",") if part]
    if text.lower() == "null":  # which lax conversion takes for "not narrowed"
        raise ValueError(f"`{name}`: {text} is no value")
    if kind in (bool, bool | None):
        if text not in ("true", "false"):
            raise ValueError(f"`{name}`: true or false is wanted, in small letters")
        return text == "true"
    if kind in (int, int | None) and not _WHOLE.fullmatch(text):
        raise ValueError(f"`{name}`: a whole number is wanted")
    if kind == datetime | None and not _DATED.match(text):
        raise ValueError(f"`{name}`: a time is wanted, such as 2026-11-21T08:00:00Z")
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"`{name}`: {error}") from None
