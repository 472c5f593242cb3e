"""Settings as they are sent with a statement. Pure.

Invariant: a setting that the user's profile pins to another value than ours is an error that names it,
and never a statement without it: the promise of the statement rests on its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from llmledgerd.errors import StoreBusy


class Declared(Protocol):
    """A row of ``system.settings``."""

    @property
    def value(self) -> str: ...
    @property
    def readonly(self) -> int: ...


def pinned(wanted: Mapping[str, Any], known: Mapping[str, Declared]) -> list[str]:
    """Return the settings that this user cannot have as wanted, in words."""
    return [
        f"{name} is {known[name].value}, and has to be {value}"
        for name, value in wanted.items()
        if name in known and known[name].readonly and not _is_same(known[name].value, value)
    ]


def sendable(wanted: Mapping[str, Any], known: Mapping[str, Declared]) -> dict[str, Any]:
    """Return the settings that the server knows and that differ from what the user may not change.

    Raises StoreBusy for one that the user's profile pins to another value.
    """
    forbidden = pinned(wanted, known)
    if forbidden:
        raise StoreBusy("settings", refusal(forbidden))
    return changeable(wanted, known)


def changeable(hints: Mapping[str, Any], known: Mapping[str, Declared]) -> dict[str, Any]:
    """Return the settings that the server knows and the user may change; an answer is the same without the others."""
    return {name: value for name, value in hints.items() if name in known and not known[name].readonly}


def refusal(forbidden: list[str]) -> str:
    """Return the sentence about pinned settings."""
    return f"this user's profile pins settings that the daemon needs: {'; '.join(forbidden)}"


def _is_same(profile: str, wanted: object) -> bool:
    return profile.strip("'").lower() == str(wanted).lower()
