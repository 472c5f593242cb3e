"""What an assistant said, turn by turn, as keys that survive being sent back. Pure.

Invariant: the key of an answer, and of the turn that it becomes in the next request, are the same.
"""

from __future__ import annotations

import re
from typing import Final

import xxhash

from llmledgerd.conversations import parts
from llmledgerd.conversations.parts import Part
from llmledgerd.conversations.values import as_bytes

PROSE_CHARACTERS: Final = 160
PROSE_SPACES: Final = 24
"""A text of so many words is a turn's own: what was said before it need not tell it from others. Frameworks rewrite
what users say (documents that were found for the last question alone), and cut what tools returned."""

_ENDS: Final = 2048
"""Bytes at a text's start and end in which times are looked for."""

_CLOCK: Final = re.compile(
    rb"\d(?:\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s?[AaPp]\.?[Mm]\b\.?)?|\d{3}-\d\d-\d\d|(?<=1)\d{9}(?:\d{3}){0,3}(?!\d))"
)
"""Times of day, dates, and seconds since 1970: what differs where a prompt is rendered anew in every step."""

_START: Final = 4
"""Characters in which most texts differ, and which white space changes in few."""

_DIGITS: Final = b"0123456789"
_THOUGHT: Final = re.compile(r"\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_SPACE: Final = b" \t\r\n\f\v"
_PLAINLY_MADE: Final = re.compile(r"(?:call|toolu|tooluse)_[0-9A-Za-z]{20,}")
"""OpenAI's, Anthropic's and Bedrock's ids: no need to look closer."""
_TOKEN: Final = re.compile(r"[0-9A-Za-z]{8,}")

Key = tuple[str, str, int]


def provided_ids(said: list[Part]) -> list[str]:
    """Return the calls' ids that a provider made at random; not numbers that a server or an SDK counts."""
    return [
        part.id for part in said if part.id and part.kind in (parts.CALL, parts.RESULT) and _is_made(part)
    ]


def _is_made(part: Part) -> bool:
    if _PLAINLY_MADE.fullmatch(part.id):
        return True
    found_id = part.id.replace(part.name, "") if part.name else part.id
    return any(_is_random(token) for token in _TOKEN.findall(found_id))


def _is_random(token: str) -> bool:
    """Whether a token of eight or more characters looks like a random one, and not like a word or a small number."""
    if token.isdigit():
        return len(token) >= 12 and len(token.lstrip("0")) >= 9
    if token.isalpha():
        return not (token.islower() or token.isupper() or token[1:].islower())
    return len(token.strip("0123456789")) > 1 or len(token) >= 12


class Turn:
    """What an assistant said at once, and what was said right before."""

    __slots__ = ("_before", "_content", "_context", "_text", "said")

    def __init__(self, said: list[Part], before: list[Part]) -> None:
        self.said = said
        self._before = before
        self._text: str | None = None
        self._content: str | None = None
        self._context: str | None = None

    @property
    def text(self) -> str:
        """Its texts as one, without thinking that was written into them."""
        if self._text is None:
            texts = [part.value for part in self.said if part.kind == parts.TEXT]
            whole = texts[0] if len(texts) == 1 else "".join(texts)
            self._text = _THOUGHT.sub("", whole, count=1) if "<think" in whole[:64] else whole
        return self._text

    @property
    def start(self) -> str:
        """How its text begins."""
        return self.text.lstrip()[:_START]

    @property
    def content(self) -> str:
        """A digest of its texts and calls; "" without any.

        Thinking is no part of it, since many do not send it back, nor is white space in texts.
        """
        if self._content is None:
            self._content = _content(self.text, self.said)
        return self._content

    @property
    def context(self) -> str:
        """A digest of what was said right before, where the content alone does not tell turns apart."""
        if self._context is None:
            self._context = "" if self._is_prose() else context(self._before)
        return self._context

    def _is_prose(self) -> bool:
        """Whether the turn is a text of some length, and no JSON."""
        text = self.text
        return (
            len(text) >= PROSE_CHARACTERS
            and text.count(" ") >= PROSE_SPACES
            and text.lstrip()[:1] not in "{["
            and not any(part.kind == parts.CALL for part in self.said)
        )


class History:
    """The messages of a request as turns. System messages are in none."""

    def __init__(self, messages: list[Part]) -> None:
        self._messages = [part for part in messages if part.role != "system"]
        self.last, self.after, self._begun = self._read_end()
        """The assistant's last turn; what follows it; an answer that the request has begun itself."""
        self.first = self._read_first()
        """The assistant's first turn."""
        self._all: list[Turn] | None = None
        self._said: list[Part] | None = None

    def _read_end(self) -> tuple[Turn | None, list[Part], list[Part]]:
        found = self._messages
        end = _back(found, len(found), is_assistant=False)
        start = _back(found, end, is_assistant=True)
        after, begun = found[end:], []
        if end and not after and all(part.kind == parts.TEXT for part in found[start:]):
            begun = found[start:]
            end = _back(found, start, is_assistant=False)
            after = found[end:start]
            start = _back(found, end, is_assistant=True)
        before = found[_back(found, start, is_assistant=False) : start]
        return Turn(found[start:end], before) if end else None, after, begun

    def _read_first(self) -> Turn | None:
        if self.last is None:
            return None
        found = self._messages
        start = next(number for number, part in enumerate(found) if part.role == "assistant")
        if found[start] is self.last.said[0]:
            return self.last
        end = start + 1
        while found[end].role == "assistant":
            end += 1
        return Turn(found[start:end], found[:start])

    def _turns(self) -> list[Turn]:
        """Return all turns that were answered: without one that the request has begun."""
        if self._all is None:
            self._all = [] if self.last is None else self._read_turns()
        return self._all

    def _read_turns(self) -> list[Turn]:
        turns: list[Turn] = []
        before: list[Part] = []
        said: list[Part] | None = None
        for part in self._messages[: len(self._messages) - len(self._begun)]:
            if part.role != "assistant":
                if said is not None:
                    before, said = [], None
                before.append(part)
            elif said is None:
                said = [part]
                turns.append(Turn(said, before))
            else:
                said.append(part)
        return turns

    def first_key(self) -> Key:
        """Return the key of the first turn."""
        return (self.first.content, self.first.context, 0) if self.first else ("", "", 0)

    def last_key(self) -> Key:
        """Return the key of the last turn."""
        if self.last is None or self.last is self.first:
            return self.first_key()
        return self._key(self.last, is_sent=True)

    def next_key(self, said: list[Part]) -> Key | None:
        """Return the key of the answer; None for one without content."""
        begun = self._begun
        if begun and said and said[0].kind == parts.TEXT and not said[0].value.startswith(begun[0].value):
            said = [*begun, *said]
        turn = Turn(said, self.after)
        return self._key(turn, is_sent=False) if said and turn.content else None

    def _key(self, turn: Turn, *, is_sent: bool) -> Key:
        """Return a turn's key; the last of it is the number of equal turns before it."""
        equal = 0
        if self.last is not None and self._may_repeat(turn, times=is_sent):
            turns = self._turns()
            for other in turns[: len(turns) - is_sent]:
                if (
                    other.start == turn.start
                    and other.content == turn.content
                    and other.context == turn.context
                ):
                    equal += 1
        return turn.content, turn.context, equal

    def _may_repeat(self, turn: Turn, times: int) -> bool:
        """Return whether more turns than so many begin as this one: few need a digest."""
        if self._said is None:
            sent = self._messages[: len(self._messages) - len(self._begun)]
            self._said = [part for part in sent if part.role == "assistant"]
        start = turn.start
        if start:
            texts: list[str] = [part.value for part in self._said if part.kind == parts.TEXT]
            return sum([one.lstrip().startswith((start, "<")) for one in texts]) > times
        names = [part.name for part in turn.said if part.kind == parts.CALL]
        return not names or sum([part.name == names[0] for part in self._said]) > times


def _back(found: list[Part], end: int, *, is_assistant: bool) -> int:
    """Return where the parts begin that all are the assistant's, or all are not, and end there."""
    while end and (found[end - 1].role == "assistant") is is_assistant:
        end -= 1
    return end


def _content(text: str, said: list[Part]) -> str:
    whole = as_bytes(text).translate(None, _SPACE) if text else b""
    calls = [[part.name, part.value] for part in said if part.kind == parts.CALL]
    if not whole and not calls:
        calls = [
            [part.kind, part.name, part.value] for part in said if part.kind != parts.THINKING and part.value
        ]
        if not calls:
            return ""
    return xxhash.xxh3_128_hexdigest(whole + b"\0" + as_bytes(calls) if calls else whole)


def context(before: list[Part]) -> str:
    """Return a digest of what was said right before a turn, without white space and times."""
    found = [_timeless(as_bytes(part.value)).translate(None, _SPACE) for part in before]
    return xxhash.xxh3_128_hexdigest(b"\0".join(found))


def _timeless(text: bytes) -> bytes:
    """Return the text without the times near its start and its end."""
    if len(text.translate(None, _DIGITS)) == len(text):
        return text
    if len(text) <= 2 * _ENDS:
        return _CLOCK.sub(b"", text)
    return _CLOCK.sub(b"", text[:_ENDS]) + text[_ENDS:-_ENDS] + _CLOCK.sub(b"", text[-_ENDS:])
