"""Patterns over JSON's bytes: what they find is hidden where it lies.

Invariant: as many bytes come out as went in; a line stays a line, and JSON stays JSON. A line's own
identifiers, times and words (``KEPT``) are the same afterwards, so that a call's begin, record and
end still meet; so are JSON's numbers but those of a card's length, since usage is numbers.

This works on bytes, because a line that is parsed and written again is another line, and because
what is no JSON holds secrets too. Only lines in which a pattern matches are looked at closely.
"""

from __future__ import annotations

import heapq
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from typing import Any, Final

import msgspec

from llmtraced import jsontext
from llmtraced.redaction import masks
from llmtraced.redaction.rules import Patterns, Rule
from llmtraced.redaction.view import view

WINDOW_BYTES: Final = 1 << 20
"""Bytes that are viewed at once; more where a string is longer, since no match ends beyond a quote."""

MOST_PASSES: Final = 64
"""How often a string may be looked at anew. In usual lines strings are short, and a match is seldom."""

KEPT: Final = (
    "protocol_version", "provider_trace_id", "org_id", "project_id", "user_id", "agent_id", "run_id", "step_id",
    "trace_id", "span_id", "timestamp", "type", "source", "service", "provider", "model", "outcome", "error_type",
    "billing", "hello", "dropped", "end",
)  # fmt: skip
"""Members of a record by which calls are found, dated and summed."""
_BEGIN: Final = "begin"

COUNT_DIGITS: Final = 12
"""A number of more digits is no count of tokens: those have ten at most."""

_NOT_STRUCTURE: Final = re.compile(rb"[^\s,:\[\]{}0-9.eE+\-truefalsn]")
_DIGITS: Final = re.compile(rb"[0-9]+\Z")
_IN_NUMBER_BEFORE: Final = re.compile(rb"[0-9][.eE+-]\Z")
_STRING: Final = re.compile(jsontext.STRING, re.DOTALL)
_VALUE_FOLLOWS: Final = re.compile(rb"\"\s*:\s*-?\Z")
_KEY_BEFORE: Final = re.compile(rb"[{,]\s*(\\*)\"[^\"]*\Z")
_KEY_AFTER: Final = re.compile(rb"[^\"\\]*(\\*)\"\s*:")
_SHORT_IDENTITY: Final = 16 << 10
_CONTEXT_BYTES: Final = 256
"""How far around a match a member's name is looked for."""
_LAST_WORD: Final = re.compile(rb"(?<![^\s\"])[^\s\"]+\Z")

_Identity = msgspec.defstruct("_Identity", [(name, msgspec.Raw, msgspec.Raw()) for name in (*KEPT, _BEGIN)])
_decode_identity = msgspec.json.Decoder(_Identity).decode

Hit = tuple[Rule, int, int]


class Masker:
    """Hides what the patterns find, and counts it by rule. For one thread at a time."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self.counts: Counter[str] = Counter()

    def lines(self, raw: bytes) -> bytes | bytearray:
        """Return whole lines without what the patterns find; the same object where they find nothing."""
        return self._masked(raw, is_record=True)

    def payload(self, text: bytes) -> bytes:
        """Return a payload, which is JSON in one line, likewise; nothing in it identifies a call."""
        return bytes(self._masked(text, is_record=False))

    def head(self, raw: bytes) -> bytes:
        """Return the beginning of a line that was cut, without its last word, which may be half a secret."""
        hidden = bytearray(self.lines(raw))
        last = _LAST_WORD.search(hidden)
        if last is not None:
            hidden[last.start() :] = b"*" * (len(hidden) - last.start())
        return bytes(hidden)

    def _masked(self, raw: bytes, *, is_record: bool) -> bytes | bytearray:
        out: bytearray | None = None
        line: _Line | None = None
        for rule, start, end in self._hits(raw):
            if line is None or start >= line.end:
                line = _Line(raw, start, is_record=is_record)
            mask = line.mask(rule, start, end)
            if mask is None:
                continue
            out = out if out is not None else bytearray(raw)
            at, hidden = mask
            out[at : at + len(hidden)] = hidden
            self.counts[rule.name] += 1
        return raw if out is None else out

    def _hits(self, raw: bytes) -> Iterator[Hit]:
        for begin, end in _windows(raw):
            seen = view(raw[begin:end])
            for rule, low, high in self._together(seen.text):
                yield rule, begin + seen.place(low), begin + seen.place(high)

    def _together(self, text: bytes) -> Iterator[Hit]:
        """Yield what all patterns find, in one pass while it is one.

        To tell that no pattern matches earlier, each search may look at a string to its end; where a long
        string has many matches, these looks add up to its square. Then every pattern gets a pass of its own.
        """
        left, string_end = MOST_PASSES * len(text), 0
        for match in self._patterns.expression.finditer(text):
            hit = self._found(match)
            if _is_hit(hit, text):
                yield hit
            at = match.end()
            if string_end < at:
                newline = text.find(b"\n", at)  # as which a quotation mark is seen
                string_end = newline if newline >= 0 else len(text)
            left -= string_end - at
            if left < 0:
                yield from self._one_by_one(text, at)
                return

    def _one_by_one(self, text: bytes, start: int) -> Iterator[Hit]:
        """Yield the same from ``start`` on, by a pass for each pattern; of what overlaps, the rest."""
        passes = map(partial(_alone, text, start), self._patterns.rules, self._patterns.alone)
        for rule, low, high in heapq.merge(*passes, key=itemgetter(1)):
            if high > start:
                yield rule, max(low, start), high
                start = high

    def _found(self, match: Any) -> Hit:
        for rule in self._patterns.rules:
            if match.start(rule.group) >= 0:
                low, high = match.span(rule.inner)
                return rule, low, high
        raise AssertionError("some alternative has matched")  # else there were no match


def _alone(text: bytes, start: int, rule: Rule, expression: Any) -> Iterator[Hit]:
    for match in expression.finditer(text, start):
        hit = (rule, *match.span(rule.inner - rule.group))
        if _is_hit(hit, text):
            yield hit


def _is_hit(hit: Hit, text: bytes) -> bool:
    rule, low, high = hit
    return low < high and (rule.check is None or rule.check(text[low:high]))


def _windows(raw: bytes) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin < len(raw):
        quote = raw.find(b'"', begin + WINDOW_BYTES)
        end = quote if quote > 0 else len(raw)
        yield begin, end
        begin = end


class _Line:
    """One line in which something was found. Matches are asked for in their order."""

    def __init__(self, raw: bytes, inside: int, *, is_record: bool) -> None:
        start = raw.rfind(b"\n", 0, inside) + 1
        end = raw.find(b"\n", inside)
        self.end = len(raw) if end < 0 else end
        self._raw = raw
        self._start = start
        self._text = raw[start : self.end]
        self._identity = _identity(self._text) if is_record else b""
        self._is_json = self._identity is not None
        self._kept: list[tuple[int, int]] | None = None
        self._strings = _STRING.finditer(self._text)
        self._string = (0, 0)

    def mask(self, rule: Rule, start: int, end: int) -> tuple[int, bytes] | None:
        """Return where to write what; None where the match is to be left alone."""
        if not self._is_json:
            return start, masks.masked(self._raw[start:end], rule.label)
        if self._is_kept(start, end) or (rule.own and self._is_key(start, end)):
            return None
        if _DIGITS.match(self._raw, start, end):
            return self._number(rule, start, end)
        return self._text_mask(rule, start, end) if self._is_in_string(start, end) else None

    def _text_mask(self, rule: Rule, start: int, end: int) -> tuple[int, bytes]:
        start, end = masks.whole(self._raw, start, end)
        return start, masks.masked(self._raw[start:end], rule.label)

    def _number(self, rule: Rule, start: int, end: int) -> tuple[int, bytes] | None:
        """Return the mask of digits alone, which stay digits where JSON may have a number, be it in a string."""
        before = self._raw[max(self._start, start - _CONTEXT_BYTES) : start]
        after = self._raw[end : min(self.end, end + _CONTEXT_BYTES)]
        if _IN_NUMBER_BEFORE.search(before) or (after[:1] in (b".", b"e", b"E") and after[1:2].isdigit()):
            return None
        is_value = _VALUE_FOLLOWS.search(before) is not None or not self._is_in_string(start, end)
        if is_value and end - start <= COUNT_DIGITS:
            return None
        in_array = before.rstrip()[-1:] in (b"[", b",") and after.lstrip()[:1] in (b"]", b",")
        if is_value or in_array:
            return start, masks.ones(self._raw[start:end])
        return self._text_mask(rule, start, end)

    def _is_kept(self, start: int, end: int) -> bool:
        if not self._identity:
            return False
        if self._kept is None:
            # Of a usual line this costs less than to find out where it is; a long one is searched for once.
            if len(self._identity) <= _SHORT_IDENTITY and self._raw[start:end] not in self._identity:
                return False
            self._kept = sorted(_kept(self._text))
        at = start - self._start
        before = bisect_right(self._kept, at, key=itemgetter(0)) - 1
        return before >= 0 and at < self._kept[before][1]

    def _is_key(self, start: int, end: int) -> bool:
        before = _KEY_BEFORE.search(self._raw, max(self._start, start - _CONTEXT_BYTES), start)
        after = _KEY_AFTER.match(self._raw, end, min(self.end, end + _CONTEXT_BYTES))
        return bool(before and after and before[1] == after[1])

    def _is_in_string(self, start: int, end: int) -> bool:
        if _NOT_STRUCTURE.search(self._raw, start, end):
            return True
        at = start - self._start
        while self._string[1] <= at:
            found = next(self._strings, None)
            self._string = found.span() if found else (len(self._text), len(self._text) + 1)
        return self._string[0] < at


def _identity(line: bytes) -> bytes | None:
    """Return the bytes of what is kept of a record, in no order; None for what is no JSON object."""
    try:
        found = _decode_identity(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _identity_again(line)
    return b"\n".join(bytes(getattr(found, name)) for name in _Identity.__struct_fields__)


def _identity_again(line: bytes) -> bytes | None:
    """Read what msgspec refuses and JSON allows."""
    try:
        text = jsontext.mended(line)
        jsontext.folded(text)
    except (jsontext.NotJson, jsontext.TooDeep):
        return None
    return line if jsontext.is_object(text) else b""


def _kept(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the values lie that are kept."""
    for name, start, end in jsontext.members(jsontext.mended(line)):
        if name in KEPT:
            yield start, end
        elif name == _BEGIN and line[start:end].startswith(b"{"):
            yield from ((start + low, start + high) for low, high in _kept(line[start:end]))
