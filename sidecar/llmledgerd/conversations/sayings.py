"""What an assistant said, turn by turn, as keys that survive being sent back. Pure.

Invariant: the key of an answer, and of the turn that it becomes in the next request, are the same.
"""

from __future__ import annotations

import re
from typing import Final

import xxhash

from llmledgerd.conversations import parts
from llmledgerd.conversations.parts import Part
from llmledgerd.conversations.values import as_bytes, as_text

PROSE_CHARACTERS: Final = 160
PROSE_SPACES: Final = 24
"""A text of so many words is a turn's own: what was said before it need not tell it from others. Frameworks rewrite
what users say (documents that were found for the last question alone), and cut what tools returned."""

_ENDS: Final = 2048
"""Characters at a text's start and end in which times are looked for."""

_CLOCK: Final = re.compile(
    r"\d{4}-\d\d-\d\d|\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s?[AaPp]\.?[Mm]\b\.?)?|(?<!\d)1\d{9}(?:\d{3}){0,3}(?!\d)"
)
"""Dates, times of day, and seconds since 1970: what differs where a prompt is rendered anew in every step."""

_THOUGHT: Final = re.compile(r"\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_SPACE: Final = b" \t\r\n\f\v"
_TOKEN: Final = re.compile(r"[0-9A-Za-z]{8,}")
_SPOKEN: Final = (parts.TEXT, parts.CALL)
_DROPPED: Final = (parts.THINKING,)

Key = tuple[str | int, ...]


def provided_ids(said: list[Part]) -> list[str]:
    """Return the calls' ids that a provider made at random; not numbers that a server or an SDK counts."""
    return [
        part.id for part in said if part.id and part.kind in (parts.CALL, parts.RESULT) and _is_made(part)
    ]


def _is_made(part: Part) -> bool:
    found_id = part.id.replace(part.name, "") if part.name else part.id
    return any(_is_random(token) for token in _TOKEN.findall(found_id))


def _is_random(token: str) -> bool:
    """Whether a token of eight or more characters looks like a random one, and not like a word or a small number."""
    if token.isdigit():
        return len(token) >= 12 and len(token.lstrip("0")) >= 9
    if token.isalpha():
        return not (token.islower() or token.isupper() or token[1:].islower())
    return len(token.strip("0123456789")) > 1 or len(token) >= 12


class History:
    """The messages of a request as turns, and what was said before each. System messages are in none."""

    def __init__(self, messages: list[Part]) -> None:
        self.turns: list[list[Part]] = []
        """The assistant's turns: parts that follow each other."""
        self.after: list[Part] = []
        """What follows the last turn."""
        self._before: list[list[Part]] = []
        self._read(messages)
        self._begun = self._take_begun()
        self._keys: dict[int, Key] = {}

    def _read(self, messages: list[Part]) -> None:
        turn: list[Part] | None = None
        between: list[Part] = []
        for part in messages:
            if part.role == "assistant":
                if turn is None:
                    turn = []
                    self.turns.append(turn)
                    self._before.append(between)
                    between = []
                turn.append(part)
            elif part.role != "system":
                turn = None
                between.append(part)
        self.after = between

    def _take_begun(self) -> list[Part]:
        """Remove an answer that the request has begun itself (a prefill): the answer goes on with it."""
        if not self.turns or self.after or any(part.kind != parts.TEXT for part in self.turns[-1]):
            return []
        self.after = self._before.pop()
        return self.turns.pop()

    def key(self, number: int) -> Key:
        """Return the key of a turn of the history."""
        if number not in self._keys:
            self._keys[number] = self._counted(self.turns[number], self._before[number], number)
        return self._keys[number]

    def next_key(self, said: list[Part]) -> Key:
        """Return the key of the answer; () for one without content."""
        begun = self._begun
        if begun and said and said[0].kind == parts.TEXT and not said[0].value.startswith(begun[0].value):
            said = [*begun, *said]
        return self._counted(said, self.after, len(self.turns)) if content(said) else ()

    def _counted(self, said: list[Part], before: list[Part], number: int) -> Key:
        own = _key(said, before)
        start = _start(said)
        equal = sum(
            _start(turn) == start and _key(turn, self._before[at]) == own
            for at, turn in enumerate(self.turns[:number])
        )
        return (*own, equal)


def _start(said: list[Part]) -> tuple[str, ...]:
    """Return a cheap mark of a turn, so that few need a key: turns with equal keys have the same."""
    texts = [part.value[:64] for part in said if part.kind == parts.TEXT]
    start = "".join("".join(texts[:4]).split())[:4]
    return ("" if start.startswith("<") else start, *(part.name for part in said if part.kind == parts.CALL))


def _key(said: list[Part], before: list[Part]) -> Key:
    own = content(said)
    return (own, "") if _is_prose(said) else (own, context(before))


def _is_prose(said: list[Part]) -> bool:
    texts = [part.value for part in said if part.kind == parts.TEXT]
    if any(part.kind == parts.CALL for part in said) or not texts:
        return False
    whole = _spoken(texts)
    return (
        len(whole) >= PROSE_CHARACTERS and whole.count(" ") >= PROSE_SPACES and whole.lstrip()[:1] not in "{["
    )


def _spoken(texts: list[str]) -> str:
    whole = "".join(texts)
    return _THOUGHT.sub("", whole, count=1) if "<think" in whole[:64] else whole


def content(said: list[Part]) -> str:
    """Return a digest of a turn's texts and calls; "" for a turn without any.

    Thinking is no part of it, since many do not send it back, nor is white space in texts.
    """
    texts = [as_text(part.value) for part in said if part.kind == parts.TEXT]
    whole = as_bytes(_spoken(texts)).translate(None, _SPACE)
    calls = [[part.name, part.value] for part in said if part.kind == parts.CALL]
    if not whole and not calls:
        rest = [
            [part.kind, part.name, part.value] for part in said if part.kind not in _DROPPED and part.value
        ]
        if not rest:
            return ""
        calls = rest
    digest = xxhash.xxh3_128(whole)
    if calls:
        digest.update(b"\0" + as_bytes(calls))
    return digest.hexdigest()


def context(before: list[Part]) -> str:
    """Return a digest of what was said right before a turn, without white space and times."""
    digest = xxhash.xxh3_128()
    for part in before:
        digest.update(b"\0" + as_bytes(timeless(as_text(part.value))).translate(None, _SPACE))
    return digest.hexdigest()


def timeless(text: str) -> str:
    """Return the text without the times near its start and its end."""
    if len(text) <= 2 * _ENDS:
        return _CLOCK.sub("", text)
    return _CLOCK.sub("", text[:_ENDS]) + text[_ENDS:-_ENDS] + _CLOCK.sub("", text[-_ENDS:])
