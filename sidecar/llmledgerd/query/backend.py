"""Protocol of a store that serves queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:  # a daemon that nobody asks does without them
    from llmledgerd.query.requests import QueryRequest
    from llmledgerd.query.results import Table


class Limits(msgspec.Struct, frozen=True):
    """Limits of one query in the store; None: the store's own."""

    seconds: int | None = None
    memory_bytes: int | None = None
    threads: int | None = None


class Reading(Protocol):
    """Query backend of one store. Blocking; for threads."""

    def answer(self, organization_id: str | None, question: QueryRequest) -> object:
        """Return the result within one organization; None is all of them."""

    def sql(self, text: str) -> Table:
        """Return the result of one SELECT."""

    def log_in_as(self, url: str) -> None:
        """Use the user and password of the URL from now on, if the backend takes them from the URL."""

    def interrupt(self) -> None:
        """Cancel running queries where possible."""

    def close(self) -> None:
        """Close the connections."""
