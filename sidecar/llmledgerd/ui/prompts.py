"""Bars of what prompts consist of, for any page that has calls: one for each step, growing with the prompt.

Invariant: a bar's parts add up to its whole, and all bars of a picture have one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from llmledgerd.query.prompt_results import Anatomy

PARTS: Final = (
    ("system", "System prompt", "var(--c4)"),
    ("tools", "Tools' schemas", "var(--c3)"),
    ("history", "History", "var(--c1)"),
    ("tool_results", "Tools' results", "var(--c2)"),
    ("files", "Images and files", "var(--c5)"),
    ("new", "New message", "var(--c6)"),
    ("other", "Other", "var(--c-rest)"),
)
"""Fields of ``Anatomy``, what they are called, and their colors."""

STEPS: Final = 200
"""Bars of a run that are drawn: the first ones."""


class Piece(NamedTuple):
    """One part of a bar."""

    title: str
    tokens: int
    percent: float
    """Of the longest bar."""
    color: str


class Bar(NamedTuple):
    """The prompts of one group, or of one call."""

    name: str
    address: str
    tokens: int
    pieces: list[Piece]


def bars(found: Sequence[Anatomy], names: Sequence[str], addresses: Sequence[str]) -> list[Bar]:
    """Return one bar for each; the longest fills the width."""
    longest = max((one.prompt_tokens for one in found), default=0) or 1
    return [
        Bar(name, address, one.prompt_tokens, _pieces(one, longest))
        for one, name, address in zip(found, names, addresses, strict=True)
    ]


def _pieces(one: Anatomy, longest: int) -> list[Piece]:
    return [
        Piece(title, tokens, 100 * tokens / longest, color)
        for field, title, color in PARTS
        if (tokens := getattr(one, field))
    ]


def picture(found: Sequence[Bar], title: str, note: str = "") -> dict[str, Any]:
    """Return the values of the template ``anatomy.html``: bars as a card, with their legend."""
    shown = {piece.title for bar in found for piece in bar.pieces}
    series = [(name, color) for _, name, color in PARTS if name in shown]
    return {"bars": found, "title": title, "note": note, "series": series}
