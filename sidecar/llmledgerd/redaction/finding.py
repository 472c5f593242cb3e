"""Search for secrets: patterns match a view of the bytes and return positions in the bytes.

Invariant: every match lies within one line. Matches come in the order of their start within a window. Each
expression reads a byte once, except for the bounded context of a match.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from typing import Any, Final

from llmledgerd.redaction.kinds import Span, is_opaque
from llmledgerd.redaction.rules import Expression, Patterns, Rule
from llmledgerd.redaction.values import value_after, without_colors
from llmledgerd.redaction.view import View, view

WINDOW_BYTES: Final = 1 << 20
"""Bytes of one view; more for a longer string, because no match extends beyond a quotation mark."""
MOST_PASSES: Final = 64
"""Limit of searches from the start of one string. Usually strings are short and matches rare."""
LONGEST_NAME: Final = 32
_NEXT_LINE: Final = re.compile(rb"(?:\\+r)?\\+n([A-Za-z0-9_+/=.-]{6,})(?=[\\\"\s]|\Z)")

Hit = tuple[Rule, int, int]


def hits(raw: bytes, patterns: Patterns) -> Iterator[Hit]:
    """Yield each match: the rule, and start and end of the secret."""
    for begin, end in _windows(raw):
        seen = view(raw[begin:end])
        found = [
            hit for expression in patterns.expressions for hit in _Window(raw, begin, seen).hits(expression)
        ]
        yield from sorted(found, key=itemgetter(1)) if len(found) > 1 else found


class _Window:
    """One part of the bytes and its view, under one expression."""

    def __init__(self, raw: bytes, begin: int, seen: View) -> None:
        self._raw = raw
        self._begin = begin
        self._seen = seen
        self._looked = 0
        """Offset in the bytes up to which values of names were searched, so that none is searched twice."""
        self._known = 0
        """Offset in the view up to which keys were found, whose parts may look like the start of other keys."""

    def hits(self, expression: Expression) -> Iterator[Hit]:
        for rule, low, high in matches(expression, self._seen.text):
            span = (self._value if rule.of_value else self._secret)(rule, low, high)
            if span is not None:
                yield rule, *span
            elif rule.whole is not None:
                yield from self._named(expression, low, high)

    def _named(self, expression: Expression, low: int, high: int) -> Iterator[Hit]:
        """Yield the value of a name that begins where a key seemed to begin: `` api_``, ``secret_``, ``access-``.

        The search goes on behind what it has matched, so that it does not see such a name.
        """
        near = self._seen.text[low : high + LONGEST_NAME]
        for rule, alone in zip(expression.rules, expression.alone, strict=True):
            found = alone.search(near) if rule.of_value else None
            if found is not None and low + found.start() < high:
                span = self._value(rule, low + found.start(), low + found.end())
                if span is not None:
                    yield rule, *span

    def _value(self, rule: Rule, low: int, high: int) -> Span | None:
        if self._place(low) < self._looked:
            return None
        value = value_after(self._raw, self._place(high))
        if value is None:
            return None
        self._looked = value[1]
        shown = without_colors(self._raw[slice(*value)])
        return value if rule.check is None or rule.check(shown) else None

    def _secret(self, rule: Rule, low: int, high: int) -> Span | None:
        text = self._seen.text
        if rule.whole is not None:
            whole = rule.whole(text, low, high) if low >= self._known else None
            if whole is None:
                return None
            low, high = whole
            self._known = high
        if low >= high or not (rule.check is None or rule.check(text[low:high])):
            return None
        stop = self._place(high)
        return self._place(low), _with_next_line(self._raw, stop) if rule.wraps else stop

    def _place(self, position: int) -> int:
        return self._begin + self._seen.place(position)


def matches(expression: Expression, text: bytes) -> Iterator[Hit]:
    """Yield the matches of the patterns, in one pass if possible.

    A search may read a string to its end to exclude an earlier match, so many matches in a long string would
    take quadratic time. In that case each pattern gets a pass of its own.
    """
    left, string_end = MOST_PASSES * len(text), 0
    for match in expression.engine.finditer(text):
        yield _rule(expression, match)
        at = match.end()
        if string_end < at:
            newline = text.find(b"\n", at)  # the view shows a quotation mark as a newline
            string_end = newline if newline >= 0 else len(text)
        left -= string_end - at
        if left < 0:
            yield from _one_by_one(expression, text, at)
            return


def _one_by_one(expression: Expression, text: bytes, start: int) -> Iterator[Hit]:
    """Yield the matches from ``start`` with one pass per pattern; of overlaps only the remainder."""
    passes = map(partial(_pass, text, start), expression.rules, expression.alone)
    for rule, low, high in heapq.merge(*passes, key=itemgetter(1)):
        if high > start:
            yield rule, max(low, start), high
            start = high


def _pass(text: bytes, start: int, rule: Rule, alone: Any) -> Iterator[Hit]:
    for match in alone.finditer(text, start):
        yield rule, *match.span(rule.inner - rule.group)


def _rule(expression: Expression, match: Any) -> Hit:
    for rule in expression.rules:
        if match.start(rule.group) >= 0:
            low, high = match.span(rule.inner)
            return rule, low, high
    raise AssertionError("some alternative has matched")  # otherwise there would be no match


def _with_next_line(raw: bytes, end: int) -> int:
    """Return the end of a key that a terminal may have wrapped to the next line."""
    following = _NEXT_LINE.match(raw, end)
    return following.end() if following and is_opaque(following[1]) else end


def _windows(raw: bytes) -> Iterator[Span]:
    begin = 0
    while begin < len(raw):
        quote = raw.find(b'"', begin + WINDOW_BYTES)
        end = quote if quote > 0 else len(raw)
        yield begin, end
        begin = end
