"""Where two prompts differ, from their descriptions. Pure.

Invariant: a place is exact, to one tool, one message, or the stated number of characters of the system prompt; where
the descriptions do not say it, there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llmledgerd.conversations import cache_misses
from llmledgerd.conversations.prompt_description import SUSPECTS, Description, coarser

Place = dict[str, Any]

_DIGITS: Final = 8
_CHUNK: Final = _DIGITS + 1
_FARTHEST: Final = 64
"""Blocks that may have been dropped or put in before what follows is called edited."""


def place_of(cause: str, before: Description, now: Description, values: dict[str, Any]) -> Place:
    """Return the place of a difference: ``part`` and what identifies it there.

    ``values`` are what the place consists of where no description is needed: ``model`` and ``parent_model``, ``tier``,
    ``region``, ``seconds`` and ``lifetime_seconds``, …
    """
    if cause == cache_misses.TOOLS:
        return tools_place(before, now)
    if cause == cache_misses.SYSTEM:
        return system_place(before, now)
    if cause == cache_misses.HISTORY:
        return history_place(before, now)
    return {name: value for name, value in values.items() if value not in (None, "")}


def tools_place(before: Description, now: Description) -> Place:
    """Return the first tool that differs: added, removed, edited, or only in another place.

    >>> tools_place(Description(tools=[("a", "1", 5)]), Description(tools=[("a", "2", 5)]))
    {'part': 'tools', 'change': 'edited', 'tool': 'a', 'index': 0}
    """
    old = [(name, digest) for name, digest, _ in before.tools]
    new = [(name, digest) for name, digest, _ in now.tools]
    if old == new:
        return {"part": "tools"}
    at = _first_difference(old, new)
    old_names, new_names = [name for name, _ in old], [name for name, _ in new]
    if sorted(old) == sorted(new):
        return _tool("reordered", new_names[at], at)
    was, name = (names[at] if at < len(names) else None for names in (old_names, new_names))
    if name is not None and name not in old_names:
        renamed = was is not None and was not in new_names and len(old) == len(new)
        return {**_tool("edited" if renamed else "added", name, at), **({"was": was} if renamed else {})}
    if was is not None and was not in new_names:
        return _tool("removed", was, at)
    if was == name and name is not None:
        return _tool("edited", name, at)
    return _moved(old, new, old_names, new_names, at)


def _moved(
    old: list[tuple[str, str]],
    new: list[tuple[str, str]],
    old_names: list[str],
    new_names: list[str],
    at: int,
) -> Place:
    """Return the place where tools were put in another order, and perhaps more."""
    added = next((name for name in new_names if name not in old_names), None)
    if added is not None:
        return _tool("added", added, new_names.index(added))
    removed = next((name for name in old_names if name not in new_names), None)
    if removed is not None:
        return _tool("removed", removed, old_names.index(removed))
    return _tool("reordered", (new_names if at < len(new) else old_names)[at], at)


def _tool(change: str, name: str, at: int) -> Place:
    return {"part": "tools", "change": change, "tool": name, "index": at}


def system_place(before: Description, now: Description) -> Place:
    """Return the first characters of the system prompt that differ, and what stands there that tends to change."""
    if not before.chunk or not now.chunk:
        return {"part": "system", "change": "added" if now.chunk else "removed"}
    chunk = max(before.chunk, now.chunk)
    old, new = _chunks(before, chunk), _chunks(now, chunk)
    at = _first_difference([number for number, _ in old], [number for number, _ in new])
    found: Place = {"part": "system", "offset": at * chunk, "length": chunk}
    letters = {chunks[at][1] for chunks in (old, new) if at < len(chunks)}
    suspect = next((word for letter, word in SUSPECTS.items() if letter in letters), "")
    return {**found, "suspect": suspect} if suspect else found


def _chunks(found: Description, chunk: int) -> list[tuple[int, str]]:
    """Return the chunks' hashes and letters, in chunks of a size that is no smaller than theirs."""
    pieces = _pieces(found.chunks, _CHUNK)
    numbers, letters = [int(one[:_DIGITS], 16) for one in pieces], [one[_DIGITS] for one in pieces]
    size = found.chunk
    while size < chunk:
        numbers, letters = coarser(numbers, letters)
        size *= 2
    return list(zip(numbers, letters, strict=True))


def history_place(before: Description, now: Description) -> Place:
    """Return the first message that differs, by its number in the earlier request, and what happened to it."""
    skipped = _compare_groups(before, now)
    if isinstance(skipped, dict):
        return skipped
    old, new = _from(before, skipped), _from(now, skipped)
    old_at = _messages(before, skipped)
    at = _first_difference(old, new)
    if at >= len(old):
        return {"part": "messages"}
    found: Place = {"part": "messages", "index": old_at[at], "change": _change(old, new, at)}
    role = before.roles[len(before.roles) - len(old) + at].lower()
    return {**found, "role": {"u": "user", "a": "assistant", "t": "tool", "s": "system"}.get(role, "other")}


def _change(old: Sequence[str], new: Sequence[str], at: int) -> str:
    if at >= len(new):
        return "dropped"
    rest = old[at + 1 : at + 1 + _FARTHEST]
    if new[at] in rest:
        return "dropped"
    return "inserted" if old[at] in new[at + 1 : at + 1 + _FARTHEST] else "edited"


def _compare_groups(before: Description, now: Description) -> int | Place:
    """Return the blocks at the beginning that are equal by their groups, or the place of the group that is not."""
    if not before.group or before.group != now.group:
        return 0 if not before.group and not now.group else {"part": "messages"}
    old, new = _pieces(before.groups, _DIGITS), _pieces(now.groups, _DIGITS)
    at = _first_difference(old, new)
    if at < min(len(old), len(new)):
        return {"part": "messages", "block": at * now.group, "length": now.group}
    return max(len(old), len(new)) * now.group


def _from(found: Description, skipped: int) -> list[str]:
    """Return the blocks' hashes from a number on; of what is only in a group, nothing."""
    blocks = _pieces(found.blocks, _DIGITS)
    return blocks[max(0, skipped - len(found.groups) // _DIGITS * found.group) :]


def _messages(found: Description, skipped: int) -> list[int]:
    """Return the number of the message of each of those blocks."""
    numbers, number = [], found.first - 1
    for letter in found.roles:
        number += letter.isupper()
        numbers.append(max(number, found.first))
    return numbers[max(0, skipped - len(found.groups) // _DIGITS * found.group) :]


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _first_difference(old: Sequence[Any], new: Sequence[Any]) -> int:
    shorter = min(len(old), len(new))
    return next((at for at in range(shorter) if old[at] != new[at]), shorter)


def in_words(place: Place) -> str:
    """Return a place as a phrase.

    >>> in_words({"part": "tools", "change": "edited", "tool": "search", "index": 2})
    'tool search edited (number 2)'
    >>> in_words({"seconds": 5354, "lifetime_seconds": 300})
    '5,354 s later; entries live 300 s'
    """
    part = place.get("part")
    if part == "tools" and "tool" in place:
        return f"tool {place['tool']} {place['change']} (number {place['index']})"
    if part == "system" and "offset" in place:
        suspect = f", a {place['suspect']}" if "suspect" in place else ""
        return f"system prompt, characters {place['offset']} to {place['offset'] + place['length']}{suspect}"
    if part == "messages" and "index" in place:
        return f"message {place['index']} ({place['role']}) {place['change']}"
    if "lifetime_seconds" in place:
        return f"{place['seconds']:,} s later; entries live {place['lifetime_seconds']:,} s"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in place.items())
