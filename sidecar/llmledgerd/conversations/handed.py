"""Texts that one call hands to another: names by which a call that continues no turn finds where it comes from. Pure.

Invariant: a name stands for the exact text, without its white space (``spaceless``); short texts have none, since they prove
nothing. A sub-agent's first request asks what a call of a tool handed on; a conversation that goes on after its
compaction carries the summary, alone or inside another text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmledgerd.conversations import parts
from llmledgerd.conversations.parts import Part
from llmledgerd.conversations.values import has_spaces, scoped_bytes, without_space

SHORTEST_TEXT, SHORTEST_FRAGMENT = 24, 40
"""Characters from which a whole text, or a fragment of one, has a name."""
SHORTEST_PROSE: Final = 80
FEWEST_SPACES: Final = 3

MOST_ARGUMENTS: Final = 4
OPENING_FRAGMENTS, HANDED_FRAGMENTS = 3, 2
LOOKED_AT: Final = 16 << 10
"""Characters of a text in which fragments are looked for."""

_LEVELS: Final = 4
_START: Final = 16
_PUNCTUATION: Final = '.:;!?<>()"'


def on(seed: int, said: list[Part], asked: list[Part]) -> list[str]:
    """Return the names of what an answer hands on: its calls' arguments that are texts, and its prose.

    What it only repeats from the request (``asked``) is the request's.
    """
    if len(said) == 1 and said[0].kind == parts.TEXT and len(said[0].value) < SHORTEST_PROSE:
        return []
    calls = [part for part in said if part.kind == parts.CALL]
    if calls:
        texts = [text for call in calls for text in _texts(call.value, _LEVELS)]
        texts = _longest(MOST_ARGUMENTS, [one for one in texts if _is_worth(one)])
        own = [
            one for text in texts if len(text) >= SHORTEST_FRAGMENT for one in _own_fragments(text, asked, 1)
        ]
        return [_name(seed, one) for one in (*texts, *own)]
    whole = "\n".join([part.value for part in said if part.kind == parts.TEXT])
    if len(whole) < SHORTEST_PROSE:
        return []
    return [_name(seed, one) for one in (whole, *_own_fragments(whole, asked, HANDED_FRAGMENTS))]


def _own_fragments(whole: str, asked: list[Part], most: int) -> list[str]:
    """Return the longest fragments that are not the request's."""
    # A call with the same text looks for fragments near its beginning, wherever that stands in both.
    known = [part.value[: 2 * LOOKED_AT] for part in asked if isinstance(part.value, str)]
    own = []
    for one in _fragments(whole, 2 * most):
        if len(one) == len(whole):
            continue  # the text itself, which has its name
        # A long text is prepared before it is looked for, and few that begin alike are equal.
        start = one[:_START]
        if not any(start in text and one in text for text in known):
            own.append(one)
            if len(own) == most:
                break
    return own


def opening(seed: int, asked: list[Part]) -> list[str]:
    """Return the names of what a call is asked that continues no turn."""
    texts = [part.value for part in asked if part.kind == parts.TEXT and isinstance(part.value, str)]
    if not texts:
        return []
    found = [text for text in (texts[-1:] if len(texts) == 1 else (texts[-1], texts[0])) if _is_worth(text)]
    whole = "\n".join(texts)
    if len(whole) >= SHORTEST_PROSE:
        found += _fragments(whole, OPENING_FRAGMENTS)
    # Texts are compared, not hashed: most differ in their length.
    names = [_name(seed, text) for at, text in enumerate(found) if text not in found[:at]]
    return list(dict.fromkeys(names))


def _name(seed: int, text: str) -> str:
    return scoped_bytes(seed, b"text\0" + without_space(text))


def _is_worth(text: str) -> bool:
    return len(text) >= SHORTEST_TEXT and has_spaces(text, FEWEST_SPACES)


def _fragments(text: str, most: int) -> list[str]:
    """Return the longest pieces of a text between punctuation: what stays whole inside another text."""
    text = text[:LOOKED_AT]
    for mark in _PUNCTUATION:  # faster than a table of bytes, and than a pattern
        text = text.replace(mark, "\n")
    pieces = text.split("\n")
    found = [one.strip() for one in pieces if len(one) >= SHORTEST_FRAGMENT]
    return _longest(most, [one for one in found if len(one) >= SHORTEST_FRAGMENT and _is_worth(one)])


def _longest(most: int, texts: list[str]) -> list[str]:
    return sorted(texts, key=len, reverse=True)[:most] if len(texts) > 1 else texts


def _texts(value: Any, levels: int) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif levels and isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one, levels - 1)
