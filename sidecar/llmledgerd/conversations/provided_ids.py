"""Ids of calls that a provider made at random, told from numbers that a server or an SDK counts. Pure.

Invariant: an id that may be another run's too is none of a provider's.
"""

from __future__ import annotations

import re
from typing import Final

from llmledgerd.conversations import parts
from llmledgerd.conversations.parts import Part

_PLAINLY_MADE: Final = re.compile(r"(?:call|toolu|tooluse)_(?=[A-Za-z]*\d)[0-9A-Za-z]{20,}")
"""OpenAI's, Anthropic's and Bedrock's ids: no need to look closer."""
_DIGITS_OF_AN_ID: Final = 12
_LONGER_THAN_WORDS: Final = 28
_PIECE: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_RANDOM_PIECE: Final = 3
"""Mean length of the words and numbers that a random token seems to be made of, at most; of real words it is more."""
_TOKEN: Final = re.compile(r"[0-9A-Za-z]{8,}")
_BOUND: Final = (parts.CALL, parts.RESULT)


def provided_ids(said: list[Part]) -> list[str]:
    """Return the calls' ids that a provider made at random; not numbers that a server or an SDK counts."""
    return [part.id for part in said if part.id and part.kind in _BOUND and _is_made(part)]


def _is_made(part: Part) -> bool:
    if _PLAINLY_MADE.fullmatch(part.id):
        return True
    found_id = part.id.replace(part.name, "") if part.name else part.id
    return any(_is_random(token) for token in _TOKEN.findall(found_id))


def _is_random(token: str) -> bool:
    """Whether a token of eight or more characters looks like a random one, and not like words and a number."""
    if token.isdigit():
        return len(token) >= _DIGITS_OF_AN_ID and len(token.lstrip("0")) >= _DIGITS_OF_AN_ID - 3
    if len(token) >= _LONGER_THAN_WORDS:
        return True
    return len(token) <= _RANDOM_PIECE * len(_PIECE.findall(token))
