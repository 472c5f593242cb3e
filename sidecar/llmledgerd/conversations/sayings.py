"""What an assistant said, turn by turn, as keys that survive being sent back. Pure.

Invariant: the key of an answer, and of the turn that it becomes in the next request, are the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
import xxhash

from llmledgerd.conversations import parts
from llmledgerd.conversations.greetings import is_greeting
from llmledgerd.conversations.parts import Part
from llmledgerd.conversations.values import as_bytes, has_spaces, spaceless, without_space

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

_FIRST: Final = 4
"""Characters in which most texts differ, and which white space changes in few."""

_THINKS: Final = "<think"[:_FIRST]
_DIGITS: Final = b"0123456789"
_DIGIT: Final = re.compile(r"\d")
_THOUGHT: Final = re.compile(r"\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_digest: Callable[[bytes], str] = xxhash.xxh3_128_hexdigest

Key = tuple[str, str, int]


def is_text(said: list[Part]) -> bool:
    """Whether a turn is one text, as most answers are: it has no ids."""
    return len(said) == 1 and said[0].kind == "text"


class Turn:
    """What an assistant said at once, after its turn before or, of the first, after what it was asked."""

    __slots__ = ("_before", "_content", "_context", "_is_unlike", "_messages", "_start", "_text", "said")

    def __init__(
        self, said: list[Part], messages: list[Part], start: int, before: Turn | None = None
    ) -> None:
        """``start``: number of the messages' parts that stand before it; ``before``: its turn before, if known."""
        self.said = said
        self._messages = messages
        self._start = start
        self._before = before
        self._is_unlike: bool | None = None
        self._text: str | None = None
        self._content: str | None = None
        self._context: str | None = None

    @property
    def text(self) -> str:
        """Its texts as one, without thinking that was written into them."""
        found = self._text
        if found is None:
            said = self.said
            if len(said) == 1 and said[0].kind == "text":
                found = said[0].value
            else:
                found = "".join([part.value for part in said if part.kind == "text"])
            if "<think" in found[:64] and (thought := _THOUGHT.match(found)):
                found = found[thought.end() :]
            found = self._text = found.strip()
        return found

    @property
    def position(self) -> int:
        """Number of the messages' parts that stand before it."""
        return self._start

    @property
    def start(self) -> str:
        """How its text begins."""
        return self.text[:_FIRST]

    @property
    def content(self) -> str:
        """A digest of its texts and calls; "" without any.

        Thinking is no part of it, since many do not send it back, nor is white space in texts.
        """
        if self._content is None:
            said = self.said
            if len(said) == 1 and said[0].kind == "text":
                part = said[0]
                if part.turn is None:
                    text = self.text
                    content = _digest(without_space(text)) if text else _content(text, said)
                    part.turn = text, content, len(text) >= PROSE_CHARACTERS and _is_prose(text)
                self._text, self._content, self._is_unlike = part.turn
            else:
                self._content = _content(self.text, said)
        return cast("str", self._content)

    @property
    def context(self) -> str:
        """A digest of what came before, where the content alone does not tell turns apart.

        What users say and tools return is in that of the first turn alone: it is rewritten too often.
        """
        if self._context is None:
            is_unlike = self.is_unlike_others() if self._is_unlike is None else self._is_unlike
            self._context = "" if is_unlike else self._content_before()
        return self._context

    def _content_before(self) -> str:
        if self._before is not None:
            return self._before.content
        found = self._messages
        end = _end(found, self._start)
        if not end:
            return context(found[: self._start])
        start = _start(found, end)
        return Turn(found[start:end], found, start).content

    def is_unlike_others(self) -> bool:
        """Return whether the content alone tells the turn from all others: a text of some length that is no JSON, or what
        stands for a history that the provider has compacted."""
        if self._is_unlike is None:
            text, said = self.text, self.said
            if len(text) >= PROSE_CHARACTERS:
                has_call = len(said) > 1 and any(part.kind == parts.CALL for part in said)
                self._is_unlike = _is_prose(text) and not has_call
            else:
                self._is_unlike = not text and any(
                    part.kind == parts.REFERENCE and part.value for part in said
                )
        return self._is_unlike


def _is_prose(text: str) -> bool:
    return text[0] not in "{[" and has_spaces(text, PROSE_SPACES)


class _Spoken(msgspec.Struct, gc=False):
    """What follows from the first parts of the messages alone. Never to be changed."""

    parts: list[Part]
    """Without the system's."""
    starts: Counter[str]
    """How the assistant's begin, and how often."""


_NOTHING: Final = _Spoken([], Counter())
_NOTE: Final = "spoken"
"""Of ``Request.notes``."""


class History:
    """The messages of a request as turns. System messages are in none."""

    __slots__ = ("_asked", "_begun", "_known", "_messages", "_starts", "_turns", "after", "first", "last")

    def __init__(self, messages: list[Part], known: int = 0, notes: dict[Any, Any] | None = None) -> None:
        """``known``: number of the first parts that other requests have sent; ``notes``: what is remembered of them."""
        begun_before = _NOTHING
        if known and notes is not None:
            begun_before = notes.get(_NOTE) or notes.setdefault(_NOTE, _spoken(messages[:known]))
        self._known = begun_before
        found = begun_before.parts + [part for part in messages[known:] if part.role != "system"]
        begun: list[Part] = []
        end = _end(found, len(found))
        if end == len(found) > 0:
            start = _start(found, end)
            if all(part.kind == parts.TEXT for part in found[start:]):
                begun, found = found[start:], found[:start]
                end = _end(found, start)
        self._messages = found
        self._begun = begun
        """An answer that the request has begun itself."""
        self.after = found[end:]
        """What follows the last turn."""
        self.last = self.first = None
        self._turns: list[Turn] | None = None
        self._starts: list[str] | None = None
        self._asked: str | None = None
        if end:
            start = _start(found, end)
            self.last = Turn(found[start:end], found, start)
            self.first = self._read_first(start)

    last: Turn | None
    """The assistant's last turn."""
    first: Turn | None
    """The assistant's first turn."""

    def _read_first(self, last: int) -> Turn | None:
        found = self._messages
        start = 0
        while found[start].role != "assistant":
            start += 1
        if start == last:
            return self.last
        end = start + 1
        while found[end].role == "assistant":
            end += 1
        return Turn(found[start:end], found, start)

    def _read_turns(self) -> list[Turn]:
        turns: list[Turn] = []
        is_said = False
        for number, part in enumerate(self._messages):
            if part.role != "assistant":
                is_said = False
            elif is_said:
                turns[-1].said.append(part)
            else:
                is_said = True
                turns.append(Turn([part], self._messages, number))
        return turns

    def begins_like_others(self, said: list[Part]) -> bool:
        """Return whether the first turn (``said``, if there is none) tells no conversation: it answers a greeting with
        one, or nobody, as a welcome does that the application has put there."""
        found = self._messages
        if found and found[0].role != "assistant" and not is_greeting(found[0]):
            return False
        if self.first is None:
            asked, first = self.after, Turn(said, found, len(found))
        else:
            asked, first = found[: self.first.position], self.first
        if not all(map(is_greeting, asked)) or any(part.kind == parts.CALL for part in first.said):
            return False
        if not asked and self.first is not None:
            return True
        return not (first.is_unlike_others() or _DIGIT.search(first.text))

    def beginning(self, said: list[Part]) -> str:
        """Return a digest of all that was said until users had said more than greetings, and were answered; "" before
        that."""
        turns = self._read_turns()
        if said:
            turns.append(Turn(said, self._messages, len(self._messages)))
        found, at = list[str](), 0
        for turn in turns:
            asked = self._messages[at : turn.position]
            found += [context(asked), turn.content]
            if not all(map(is_greeting, asked)):
                return _digest("\0".join(found).encode())
            at = turn.position + len(turn.said)
        return ""

    def asked(self) -> str:
        """Return the digest of what follows the last turn."""
        if self._asked is None:
            self._asked = context(self.after)
        return self._asked

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
        if not said:
            return None
        turn = Turn(said, self._messages, len(self._messages), self.last)
        if not turn.content:
            return None
        if self.last is None:  # then all messages are what follows
            return turn.content, "" if turn.is_unlike_others() else self.asked(), 0
        return self._key(turn, is_sent=False)

    def _key(self, turn: Turn, *, is_sent: bool) -> Key:
        """Return a turn's key; the last of it is the number of equal turns before it."""
        equal = 0
        content, before = turn.content, turn.context
        if (
            self.last is not None
            and (before or not turn.is_unlike_others())
            and self._may_repeat(turn, times=is_sent)
        ):
            if self._turns is None:
                self._turns = self._read_turns()
            for other in self._turns[: len(self._turns) - is_sent]:
                if other.start == turn.start and other.content == content and other.context == before:
                    equal += 1
        return content, before, equal

    def _may_repeat(self, turn: Turn, times: int) -> bool:
        """Return whether more parts than so many begin as this turn: few turns need a digest."""
        known, said = self._known, self._messages
        if self._starts is None:
            if len(known.parts) > len(said):  # an answer that the request has begun is among them
                known = self._known = _NOTHING
            self._starts = _starts(said[len(known.parts) :])
        begun, new = known.starts, self._starts
        start = turn.text[:_FIRST] or next((part.name for part in turn.said if part.kind == parts.CALL), "")
        return not start or begun[start] + new.count(start) > times or _THINKS in begun or _THINKS in new


def _spoken(messages: list[Part]) -> _Spoken:
    said = [part for part in messages if part.role != "system"]
    return _Spoken(said, Counter(_starts(said)))


def _starts(said: list[Part]) -> list[str]:
    return [
        part.value.lstrip()[:_FIRST] if part.kind == parts.TEXT else part.name
        for part in said
        if part.role == "assistant"
    ]


def _end(found: list[Part], at: int) -> int:
    """Return where the assistant's last turn ends that ends here or before; 0 without one."""
    while at and found[at - 1].role != "assistant":
        at -= 1
    return at


def _start(found: list[Part], at: int) -> int:
    """Return where the assistant's turn begins that ends here."""
    while at and found[at - 1].role == "assistant":
        at -= 1
    return at


def _content(text: str, said: list[Part]) -> str:
    whole = without_space(text) if text else b""
    calls = [[part.name, _given(part.value)] for part in said if part.kind == parts.CALL]
    if not whole and not calls:
        calls = [
            [part.kind, part.name, part.value] for part in said if part.kind != parts.THINKING and part.value
        ]
        if not calls:
            return ""
    return _digest(whole + b"\0" + as_bytes(calls) if calls else whole)


def _given(arguments: Any) -> Any:
    """Return a call's arguments without nulls, which SDKs add and leave out."""
    if arguments.__class__ is dict and None in arguments.values():
        return {name: one for name, one in arguments.items() if one is not None}
    return arguments


def context(before: list[Part]) -> str:
    """Return a digest of what was said right before a turn, without white space and times."""
    if len(before) == 1:
        return _digest(_constant(before[0].value))
    found = [_constant(part.value) for part in before]
    return _digest(b"\0".join(found))


def _constant(value: Any) -> bytes:
    """Return a content without white space, and without the times near its start and its end."""
    text = as_bytes(value)
    is_short = len(text) <= 2 * _ENDS
    ends = text if is_short else text[:_ENDS] + text[-_ENDS:]
    # Each kind of time has one of these, and they are found faster than digits.
    may_be_time = b":" in ends or b"-" in ends or b"1" in ends
    if not may_be_time or len(ends.translate(None, _DIGITS)) == len(ends):
        return without_space(value, text) if value.__class__ is str else spaceless(text)
    if is_short:
        return spaceless(_CLOCK.sub(b"", text))
    start, end = _CLOCK.sub(b"", text[:_ENDS]), _CLOCK.sub(b"", text[-_ENDS:])
    return spaceless(start + text[_ENDS:-_ENDS] + end)
