"""What a store has to offer to be read from."""

from __future__ import annotations

from typing import Protocol

from llmledgerd.query.requests import Question
from llmledgerd.query.results import Table


class Reading(Protocol):
    """Answers questions. Blocking; for threads."""

    def answer(self, organization_id: str | None, question: Question) -> object:
        """Return the answer within one organization; None is every one."""

    def sql(self, text: str) -> Table:
        """Return what one SELECT finds."""

    def log_in_as(self, url: str) -> None:
        """Use the user and the password of the URL from now on, where they are read from it."""

    def interrupt(self) -> None:
        """End the queries that are under way, where that is possible."""

    def close(self) -> None:
        """Let go of the connections."""
