"""Mapping of PostgreSQL's SQLSTATEs to the reaction for a batch. Pure.

Invariants: what is said of an error has no value of a row. A transaction whose COMMIT was not sent has stored nothing, whatever became of it. After
COMMIT was sent, only an error that the server itself answers proves that nothing was stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

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
    "55P03": "locked",
    "40P01": "locked",
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

REJECTED = ("22", "23", "38", "39", "44", "45", "54", "P0")
"""Classes in which a row may be at fault: data exceptions, constraints, limits of a row's size, triggers.

45 is the class that applications choose for their own errors.
"""

VALUE = re.compile(r""": ?["'].*""", re.DOTALL)
"""The value in a message, which always follows a colon: ``invalid input syntax for type uuid: "x"``."""

QUOTED = re.compile(r'".*"', re.DOTALL)
"""The same within a message: ``value "x" is out of range``."""

FUNCTION = re.compile(r"(?:PL/\w+|SQL) function [\w.\"]+")
"""The function in an error's context, without its arguments."""

COLUMN = re.compile(r"COPY \w+, line \d+, column (\w+)")
"""The column in an error's context, which goes on with its value."""

RAISED: Final = ("38", "39", "45", "P0")
"""Classes whose message is the text of a trigger, which may quote the row."""

ENDS_CONNECTION = ("08", "57")
"""Classes that say nothing of a COMMIT that was under way."""


BY_TABLE: Final = ("23", "38", "39", "44", "45", "P0", "22001")
"""States that no row causes in the tables as they are delivered, but constraints and triggers of others."""


class Refused(BatchRejected):
    """Rows that the server refused."""

    def __init__(self, message: str, *, by_table: bool) -> None:
        """``by_table``: the reason is something that was added to the table."""
        super().__init__(0, message)
        self.by_table = by_table


class Diagnostic(Protocol):
    """The parts of an error that are used; ``psycopg.errors.Diagnostic`` has them."""

    @property
    def sqlstate(self) -> str | None: ...
    @property
    def message_primary(self) -> str | None: ...
    @property
    def context(self) -> str | None: ...
    @property
    def column_name(self) -> str | None: ...
    @property
    def constraint_name(self) -> str | None: ...


def described(found: Diagnostic) -> str:
    """Return a server's error in words that have no value of a row.

    Details and contexts quote rows, and so does what a trigger raises.
    """
    state, function = found.sqlstate or "", FUNCTION.search(found.context or "")
    said = "" if state[:2] in RAISED else VALUE.sub("", " ".join((found.message_primary or "").split()))
    if state[:2] == "22":
        said = QUOTED.sub('"…"', said)
    parts = [said or "error raised", f"in {function[0]}" if function else ""]
    if column := COLUMN.match(found.context or ""):
        parts.append(f"in column {column[1]}")
    if found.constraint_name and found.constraint_name not in said:
        parts.append(f"(constraint {found.constraint_name})")
    return " ".join(filter(None, parts))


def meaning(state: str | None, message: str, *, committing: bool, timed_out: bool = False) -> LlmledgerdError:
    """Return the exception for an error; ``state`` is None if no server reported it."""
    kind = "timeout" if timed_out else _kind(state)
    if committing and (state is None or state[:2] in ENDS_CONNECTION):
        return OutcomeUnknown(kind, message)
    if state is not None and state[:2] in REJECTED:
        return Refused(
            f"{state}: {message}", by_table=state.startswith(BY_TABLE) or bool(FUNCTION.search(message))
        )
    return StoreBusy(kind, message)


def _kind(state: str | None) -> str:
    if state is None:
        return "network"
    return KINDS.get(state) or KINDS.get(state[:2], "other")
