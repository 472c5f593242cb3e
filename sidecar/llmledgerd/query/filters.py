"""Filters of calls, declared once for the reader, ``/v1``, the commands and the page.

Invariant: a filter is one annotated entry of ``Narrowing`` or ``CallsNarrowing``. Its key is the column,
the reader's keyword and the parameter of ``/v1``; its ``Filter`` has the short word that commands and the
page use. To add one, add an entry.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple, TypedDict, get_type_hints


class Filter(NamedTuple):
    """One filter."""

    name: str
    """The option of the commands (``--name``), the page's parameter, and the name to group by."""
    meaning: str
    """Meaning as a noun phrase after "Only"."""
    is_group: bool = True
    """Usage can be grouped by it."""
    is_list: bool = False
    """The column is an array, and the filter keeps calls whose array contains the value."""


class Narrowing(TypedDict, total=False):
    """Filters of all queries over many calls; None does not filter."""

    project_id: Annotated[str | None, Filter("project", "calls of this project")]
    agent_id: Annotated[str | None, Filter("agent", "calls of this agent")]
    user_id: Annotated[str | None, Filter("user", "calls of this user")]
    service: Annotated[str | None, Filter("service", "calls sent by this service")]
    provider: Annotated[str | None, Filter("provider", "calls to this provider")]
    model: Annotated[str | None, Filter("model", "calls to this model")]
    call_type: Annotated[str | None, Filter("call_type", "calls of this type, such as `agent_step`")]
    outcome: Annotated[
        str | None, Filter("outcome", "calls with this outcome: `ok`, `error`, `cancelled` or `abandoned`")
    ]
    billing_plan_type: Annotated[str | None, Filter("plan", "calls on this billing plan")]
    billing_customer_id: Annotated[str | None, Filter("customer", "calls billed to this customer")]
    run_id: Annotated[str | None, Filter("run", "calls of this run", is_group=False)]
    conversation_id: Annotated[
        str | None, Filter("conversation", "calls of this conversation", is_group=False)
    ]
    trace_id: Annotated[str | None, Filter("trace", "calls of this OpenTelemetry trace", is_group=False)]
    agent_tags: Annotated[str | None, Filter("tag", "calls with this tag", is_group=False, is_list=True)]


class CallsNarrowing(Narrowing, total=False):
    """Filters of lists of calls."""

    received_after: datetime | None
    """Only calls received by the daemon after this time; a call is received after it started."""


def filters(kind: type[Any]) -> dict[str, Filter]:
    """Return the filters of ``Narrowing`` or ``CallsNarrowing`` by column.

    >>> filters(Narrowing)["agent_id"].name
    'agent'
    """
    hints = get_type_hints(kind, include_extras=True)
    return {column: note for column, hint in hints.items() for note in getattr(hint, "__metadata__", ())}


OF_SUMS: Final = filters(Narrowing)
OF_LISTS: Final = filters(CallsNarrowing)
ORGANIZATION: Final = "organization"
"""A group-by name like those of the filters; filtering by organization is the scope, not a filter."""

GROUPED: Final = {one.name: column for column, one in OF_SUMS.items() if one.is_group}
"""Columns that usage can be grouped by, by the filter's name."""
