"""Request types of queries, shared by the reader's methods, the endpoints of ``/v1`` and its client.

Invariants:
- The fields are an endpoint's parameters, by name and meaning, so that code, HTTP and the OpenAPI
  description cannot differ.
- A request does not contain its scope. The organization is passed separately, from the caller's
  argument or the token's scope, and None (all organizations) is never parsed from text.
- Text is taken literally: no value, such as ``null``, means "no filter".
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
"""Limit of calls per response; a cursor continues after them."""

MAX_RUNS: Final = 1_000
"""Limit of runs per response."""

GROUPS: Final = (ORGANIZATION, *GROUPED, "day", "hour", "minute")
"""Dimensions of usage; times are in UTC."""

ROLLED_UP: Final = frozenset(
    {"organization", "project", "agent", "provider", "model", "call_type", "plan", "day", "hour"}
)
"""Groups whose usage is aggregated by the hour; any other group requires a scan of the rows."""


def _is(description: str, **bounds: Any) -> Meta:
    return Meta(description=description, **bounds)


_WHOLE: Final = re.compile(r"-?[0-9]+")
_DATED: Final = re.compile(r"[0-9]{4}-")
"""Start of an ISO 8601 date; a bare number would be parsed as seconds since 1970."""
Limit = Annotated[int, _is("Maximum number of results.", ge=1, le=MAX_LIMIT)]
Size = Annotated[int, _is("Bytes.", ge=0, le=2**63 - 1)]
Q = TypeVar("Q", bound="QueryRequest")


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests. A field that is None does not filter."""


if TYPE_CHECKING:

    class Narrowed(QueryRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Base of requests over many calls. Times without a time zone are UTC."""

        start_date: datetime | None = None
        end_date: datetime | None = None

    class NarrowedList(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Base of requests for lists of calls."""

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
        bases=(QueryRequest,),
        **_HOW,
    )
    NarrowedList = msgspec.defstruct(
        "NarrowedList",
        _fields({column: one for column, one in OF_LISTS.items() if column not in OF_SUMS}),
        bases=(Narrowed,),
        **_HOW,
    )


class GetCall(QueryRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Get one call by its id; if several records share the id, the one received last."""

    id: Annotated[str, _is("Id of the call, with or without the prefix `provider_trace-`.")]
    payloads: Annotated[bool, _is("Include request, response and configuration, in base64.")] = False
    files: Annotated[bool, _is("Restore images and files that were extracted from the payloads.")] = False


class GetStep(QueryRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the calls of one step, oldest first: the first attempt and its retries."""

    step_id: Annotated[str, _is("Id of the step, as recorded.")]
    payloads: Annotated[bool, _is("Include request, response and configuration, in base64.")] = False
    files: Annotated[bool, _is("Restore images and files that were extracted from the payloads.")] = False


class ListCalls(NarrowedList, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List calls, newest first, one page per response."""

    is_error: Annotated[bool | None, _is("Only failed calls (`true`) or only successful ones (`false`).")] = (
        None
    )
    min_size_bytes: Annotated[Size | None, _is("Minimum size of the request, in bytes.")] = None
    id_prefix: Annotated[str | None, _is("Only calls whose id begins with this.")] = None
    received_after: Annotated[datetime | None, _is("Only calls received by the daemon after this time.")] = (
        None
    )
    limit: Limit = 100
    cursor: Annotated[str | None, _is("The `cursor` of the previous page.")] = None


class FindLarge(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the calls with the largest requests, largest first."""

    min_size_bytes: Annotated[Size, _is("Minimum size of the request, in bytes.")] = 1_000_000
    limit: Limit = 100


class GetUsage(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Aggregate usage and cost by group, most expensive first."""

    group_by: Annotated[tuple[str, ...], _is(f"Any of {', '.join(GROUPS)}; empty for one total.")] = (
        "model",
    )
    limit: Annotated[Limit | None, _is("Maximum number of groups.")] = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.group_by if name not in GROUPS]
        if unknown:
            raise ValueError(f"cannot group by {', '.join(unknown)}; choose from {', '.join(GROUPS)}")


class GetUnpriced(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Count calls without a cost by model and reason, most calls first."""

    limit: Limit = 100


class ListRuns(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the runs that have a matching call, the one with the latest call first, one page per response."""

    is_error: Annotated[
        bool | None, _is("Only runs with a failed call (`true`) or with a successful one (`false`).")
    ] = None
    id_prefix: Annotated[str | None, _is("Only runs whose id begins with this.")] = None
    limit: Annotated[int, _is("Maximum number of runs.", ge=1, le=MAX_RUNS)] = 100
    cursor: Annotated[str | None, _is("The `cursor` of the previous page.")] = None


class GetRun(QueryRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Get one run: its figures, and its steps in the order of their start, without payloads."""

    id: Annotated[str, _is("Id of the run: the `run_id` or `conversation_id` of its calls.", min_length=1)]
    start_date: Annotated[datetime | None, _is("Only calls that started at this time or later.")] = None
    end_date: Annotated[datetime | None, _is("Only calls that started before this time.")] = None
    first: Annotated[int, _is("Number of the first step to return, from 1.", ge=1, le=2**31)] = 1
    around: Annotated[
        str | None,
        _is("Id of a call of the run: the steps around it are returned, instead of those from `first`."),
    ] = None
    limit: Limit = 1000


class GetTools(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Count calls of tools, by tool, most calls first."""

    limit: Limit = 100


class ListToolCalls(QueryRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List calls of tools, newest first."""

    start_date: Annotated[
        datetime | None, _is("Only those that an answer asked for at this time or later.")
    ] = None
    end_date: Annotated[datetime | None, _is("Only those that an answer asked for before this time.")] = None
    name: Annotated[str | None, _is("Only calls of this tool.")] = None
    id: Annotated[str | None, _is("Only those that the answer of this call asked for.")] = None
    conversation_id: Annotated[str | None, _is("Only those of this conversation.")] = None
    is_error: Annotated[bool | None, _is("Only failed calls (`true`) or only other ones (`false`).")] = None
    limit: Limit = 100


class GetRetries(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sum calls that had several attempts, by model, what cost most first."""


class ListRetriedCalls(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List calls that had several attempts, newest first."""

    limit: Limit = 100


class GetCacheMisses(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Add up what calls did not read from the provider's cache, by agent, model and cause, dearest first."""

    limit: Limit = 100


class ListCacheMisses(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the calls that did not read what they could have read from the provider's cache, dearest first."""

    id: Annotated[str | None, _is("Only the call with this id.")] = None
    limit: Limit = 100


ANATOMY_GROUPS: Final = (ORGANIZATION, *GROUPED, "run", "conversation", "call", "day", "hour")
"""Dimensions of anatomy."""


class GetAnatomy(Narrowed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Show what the tokens of prompts are: system prompt, tools, history, tools' results, files, new message."""

    group_by: Annotated[tuple[str, ...], _is(f"Any of {', '.join(ANATOMY_GROUPS)}; empty for one total.")] = (
        "agent",
    )
    id: Annotated[str | None, _is("Only the call with this id.")] = None
    limit: Limit = 100

    def __post_init__(self) -> None:
        unknown = [name for name in self.group_by if name not in ANATOMY_GROUPS]
        if unknown:
            raise ValueError(f"cannot group by {', '.join(unknown)}; choose from {', '.join(ANATOMY_GROUPS)}")


class GetLosses(QueryRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List losses of records by stage and reason. For operators only: a loss has no organization."""

    start_date: Annotated[datetime | None, _is("Only losses at this time or later.")] = None


def from_text(kind: type[Q], given: Mapping[str, str]) -> Q:
    """Parse the parameters of a URL. Raises ValueError, naming the parameter."""
    types = fields(kind)
    unknown = [name for name in given if name not in types]
    if unknown:
        raise ValueError(f"unknown parameter `{unknown[0]}`; known: {', '.join(types)}")
    try:
        return msgspec.convert({name: _value(name, text, types[name]) for name, text in given.items()}, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def to_text(question: QueryRequest) -> dict[str, str]:
    """Return the URL parameters of a request; the inverse of ``from_text``."""
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
def fields(kind: type[QueryRequest]) -> dict[str, Any]:
    """Return the names and types of a request's fields, without their descriptions."""
    return get_type_hints(kind)


def _value(name: str, text: str, kind: Any) -> Any:
    if kind in (str, str | None):
        return text
    if kind == tuple[str, ...]:
        return [part for part in text.split(",") if part]
    if text.lower() == "null":  # which lax conversion would read as "no filter"
        raise ValueError(f"`{name}`: {text} is not a valid value")
    if kind in (bool, bool | None):
        if text not in ("true", "false"):
            raise ValueError(f"`{name}`: must be true or false, in lower case")
        return text == "true"
    if kind in (int, int | None) and not _WHOLE.fullmatch(text):
        raise ValueError(f"`{name}`: must be an integer")
    if kind == datetime | None and not _DATED.match(text):
        raise ValueError(f"`{name}`: must be an ISO 8601 time, such as 2026-11-21T08:00:00Z")
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"`{name}`: {error}") from None
