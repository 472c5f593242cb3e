"""Mapping of PostgreSQL's SQLSTATEs to the reaction for a batch. Pure.

Invariant: a transaction whose COMMIT was not sent has stored nothing, whatever became of it. After
COMMIT was sent, only an error that the server itself answers proves that nothing was stored.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmledgerd.errors import BatchRejected, LlmledgerdError, OutcomeUnknown, StoreBusy

KINDS: Mapping[str, str] = {
    "42P01": "missing_table",
    "3F000": "missing_table",
    "3D000": "missing_table",
    "42703": "missing_column",
    "42501": "authentication",
    "25006": "read_only",
    "53100": "disk",
    "53200": "memory",
    "53300": "overloaded",
    "57014": "timeout",
    "57P01": "shutting_down",
    "57P02": "shutting_down",
    "57P03": "shutting_down",
    "28": "authentication",
    "53": "overloaded",
    "58": "disk",
    "08": "network",
}
"""By SQLSTATE, else by its class (the first two characters)."""

REJECTED = ("22", "23", "54")
"""Classes in which the rows are at fault: data exceptions, constraints, limits of a row's size."""

ENDS_CONNECTION = ("08", "57")
"""Classes that say nothing of a COMMIT that was under way."""


def meaning(state: str | None, message: str, *, committing: bool, timed_out: bool = False) -> LlmledgerdError:
    """Return the exception for an error; ``state`` is None if no server reported it."""
    kind = "timeout" if timed_out else _kind(state)
    if committing and (state is None or state[:2] in ENDS_CONNECTION):
        return OutcomeUnknown(kind, message)
    if state is not None and state[:2] in REJECTED:
        return BatchRejected(0, f"{state}: {message}")
    return StoreBusy(kind, message)


def _kind(state: str | None) -> str:
    if state is None:
        return "network"
    return KINDS.get(state) or KINDS.get(state[:2], "other")
