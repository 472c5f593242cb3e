"""The blocks of a prompt's messages: their hashes, who speaks, and about how many tokens they take. Pure.

Invariant: what is remembered of blocks that were sent before changes no result, since it follows from those blocks
alone and is summed in the same order.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import msgspec

from llmledgerd.conversations import parts as kinds
from llmledgerd.conversations.parts import Part, Request
from llmledgerd.conversations.prompt_description import shortened
from llmledgerd.conversations.token_families import Family
from llmledgerd.conversations.token_weights import part_tokens

_REMEMBERED: Final = 8192
_ROLES: Final = {"user": "u", "assistant": "a", "tool": "t", "system": "s"}
_FIRSTS: Final = {role: letter.upper() for role, letter in _ROLES.items()}
_estimates: dict[Family, dict[int, float]] = {}
"""Tokens of parts by family and hash: what was sent once is sent again with every step."""

_MOST_NOTES: Final = 6
"""Organizations and families for which the beginning of a request is remembered."""

_COUNTED: Final = frozenset({kinds.RESULT, kinds.SERVER_RESULT, kinds.IMAGE, kinds.FILE, kinds.AUDIO})
"""Kinds of parts that are counted by kind; all others are history, or new."""


class Blocks(msgspec.Struct, gc=False):
    """What follows from the first blocks of the messages alone. Never to be changed."""

    packed: bytes = b""
    """Their hashes."""
    short: bytes = b""
    """Their hashes, shortened."""
    letters: str = ""
    message: int = -1
    """Number of the last one's message."""
    tokens: float = 0.0
    totals: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Estimated tokens of history and what is new, tool results, files."""
    marks: list[tuple[int, str, float]] = []
    """Number of the block, lifetime, and the tokens up to it."""
    cuts: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Tokens before the last answer, and before what is new; of history, before what is new."""


NOTHING: Final = Blocks()


def begun(request: Request, rest: Sequence[Part], answer: int, seed: int, family: Family) -> Blocks:
    """Return what is remembered of the blocks that other requests have sent, if all of them are history.

    ``rest``: the messages' blocks without the system's at their beginning. ``answer``: where the last answer begins.
    """
    count = request.known - (len(request.messages) - len(rest))
    if count <= 0 or count > answer:
        return NOTHING
    key = (seed, family)
    found: Blocks | None = request.notes.get(key)
    if found is None:
        if len(request.notes) >= _MOST_NOTES:
            request.notes.clear()
        found = request.notes[key] = further(NOTHING, rest[:count], seed, family)
    return found


def further(
    before: Blocks, rest: Sequence[Part], seed: int, family: Family, answer: int = -1, fresh: int = -1
) -> Blocks:
    """Return what follows from ``before`` and the blocks after it, in one pass.

    ``answer`` and ``fresh``: the blocks at which the last answer and what is new begin.
    """
    numbers: list[int] = []
    letters: list[str] = []
    marks, message, running = before.marks[:], before.message, before.tokens
    known, around, start = _known(family), family.message, len(before.letters)
    history, results, files = before.totals
    asked, said, old = running, running, history
    for at, part in enumerate(rest[start:] if start else rest, start):
        if at == answer:
            asked = running
        if at == fresh:
            said, old = running, history
        number = part.hash if part.value.__class__ is str else part.spelling
        numbers.append(number)
        tokens = known.get(number) or estimated(part, family, number)
        if part.message == message:
            letters.append(_ROLES.get(part.role, "o"))
        else:
            message = part.message
            letters.append(_FIRSTS.get(part.role, "O"))
            tokens += around
        running += tokens
        if part.mark:
            marks.append((at, part.mark, running))
        kind = part.kind
        if kind not in _COUNTED:
            history += tokens
        elif kind == "result" or kind == "server_result":
            results += tokens
        else:
            files += tokens
    if fresh == len(rest):
        said, old = running, history
    packed, short, spoken = array("Q", numbers).tobytes(), shortened(numbers, seed), "".join(letters)
    if start:
        packed, short, spoken = before.packed + packed, before.short + short, before.letters + spoken
    totals = (history, results, files)
    return Blocks(packed, short, spoken, message, running, totals, marks, (asked, said, old))


def estimated(part: Part, family: Family, number: int = -1) -> float:
    """Return about how many tokens a part takes; ``number`` is one of its hashes, where one is at hand."""
    known = _known(family)
    if number < 0:
        number = part.hash
    found = known.get(number)
    if found is None:
        if len(known) >= _REMEMBERED:
            known.clear()
        found = known[number] = part_tokens(part, family)
    return found


def _known(family: Family) -> dict[int, float]:
    found = _estimates.get(family)
    if found is None:
        found = _estimates[family] = {}
    return found
