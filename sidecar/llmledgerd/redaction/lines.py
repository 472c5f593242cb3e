"""Masking of pattern matches in JSON bytes, in place.

Invariant: as many bytes come out as went in; a line stays a line, and JSON stays JSON. A line's own
identifiers (``IDS``) are the same afterwards, and its times and labels (``WORDS``) unless a secret is in them,
so that a call's begin, record and end still meet; so are JSON's numbers but those of a card's length, since usage is numbers.

This works on bytes, because parsing and encoding would change the line, and because invalid JSON contains
secrets too. Only lines with a match are examined closely.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator
from operator import itemgetter
from typing import Final

import msgspec

from llmledgerd import json_text
from llmledgerd.records.wire_fields import BILLING_IDS, BILLING_LABELS, IDS, LABELS
from llmledgerd.redaction import masks, streams
from llmledgerd.redaction.finding import hits
from llmledgerd.redaction.rules import Patterns, Rule

_BILLING: Final = "billing"
_BEGIN: Final = "begin"

COUNT_DIGITS: Final = 12
"""Maximum digits of a number that stays: counts of tokens have at most ten."""

_NOT_STRUCTURE: Final = re.compile(rb"[^\s,:\[\]{}0-9.eE+\-truefalsn]")
_DIGITS: Final = re.compile(rb"[0-9]+\Z")
_IN_NUMBER_BEFORE: Final = re.compile(rb"[0-9][.eE+-]\Z")
_STRING: Final = re.compile(json_text.STRING, re.DOTALL)
_VALUE_FOLLOWS: Final = re.compile(rb"\"\s*:\s*-?\Z")
_KEY_BEFORE: Final = re.compile(rb"[{,]\s*(\\*)\"[^\"]*\Z")
_KEY_AFTER: Final = re.compile(rb"[^\"\\]*(\\*)\"\s*:")
_SHORT_IDENTITY: Final = 16 << 10
_CONTEXT_BYTES: Final = 256
"""Context in bytes of a match in which a member's name is searched."""
_LAST_WORD: Final = re.compile(rb"(?<![^\s\"])[^\s\"]+\Z")

_Identity = msgspec.defstruct(
    "_Identity", [(name, msgspec.Raw, msgspec.Raw()) for name in (*IDS, *LABELS, _BILLING, _BEGIN)]
)
_decode_identity = msgspec.json.Decoder(_Identity).decode


class Masker:
    """Masking of pattern matches, counted by rule. For one thread at a time."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self.counts: Counter[str] = Counter()

    def lines(self, raw: bytes) -> bytes | bytearray:
        """Return whole lines with matches masked; the same object without a match."""
        return self._masked(raw, is_record=True)

    def payload(self, text: bytes) -> bytes:
        """Return a payload, JSON in one line, with matches masked; it contains no identifiers of the call."""
        return bytes(self._masked(text, is_record=False))

    def head(self, raw: bytes) -> bytes:
        """Return the masked beginning of a truncated line; its last word, possibly half a secret, is masked too."""
        hidden = bytearray(self.lines(raw))
        last = _LAST_WORD.search(hidden)
        if last is not None:
            hidden[last.start() :] = b"*" * (len(hidden) - last.start())
        return bytes(hidden)

    def _masked(self, raw: bytes, *, is_record: bool) -> bytes | bytearray:
        out: bytearray | None = None
        line: _Line | None = None
        for rule, start, end in hits(raw, self._patterns):
            if line is None or start >= line.end:
                line = _Line(raw, start, is_record=is_record)
            mask = line.mask(rule, start, end)
            if mask is None:
                continue
            out = out if out is not None else bytearray(raw)
            at, hidden = mask
            out[at : at + len(hidden)] = hidden
            self.counts[rule.name] += 1
        if is_record and streams.FIELD in raw:
            out = self._without_parted(raw, out)
        return raw if out is None else out

    def _without_parted(self, raw: bytes, out: bytearray | None) -> bytearray | None:
        """Mask secrets that are split across chunks of a stream."""
        seen = raw if out is None else bytes(out)
        for rule, start, end in streams.parted(seen, self._patterns):
            out = out if out is not None else bytearray(raw)
            out[start:end] = masks.masked(seen[start:end], b"")
            self.counts[rule.name] += 1
        return out


class _Line:
    """One line with a match. Matches must be passed in order."""

    def __init__(self, raw: bytes, inside: int, *, is_record: bool) -> None:
        start = raw.rfind(b"\n", 0, inside) + 1
        end = raw.find(b"\n", inside)
        self.end = len(raw) if end < 0 else end
        self._raw = raw
        self._start = start
        self._text = raw[start : self.end]
        self._identity = _identity(self._text) if is_record else b""
        self._is_json = self._identity is not None
        self._kept: list[tuple[int, int, bool]] | None = None
        self._strings = _STRING.finditer(self._text)
        self._string = (0, 0)

    def mask(self, rule: Rule, start: int, end: int) -> tuple[int, bytes] | None:
        """Return the offset and the mask; None if the match must stay."""
        if not self._is_json:
            return start, masks.masked(self._raw[start:end], rule.label)
        if self._is_kept(rule, start, end) or (rule.own and self._is_key(start, end)):
            return None
        if _DIGITS.match(self._raw, start, end):
            return self._number(rule, start, end)
        return self._text_mask(rule, start, end) if self._is_in_string(start, end) else None

    def _text_mask(self, rule: Rule, start: int, end: int) -> tuple[int, bytes]:
        start, end = masks.whole(self._raw, start, end)
        return start, masks.masked(self._raw[start:end], rule.label)

    def _number(self, rule: Rule, start: int, end: int) -> tuple[int, bytes] | None:
        """Return the mask of a match of digits, which stay digits where JSON may have a number, even in a string."""
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

    def _is_kept(self, rule: Rule, start: int, end: int) -> bool:
        if not self._identity:
            return False
        if self._kept is None:
            # For a usual line this is cheaper than locating the values; a long line is searched once.
            if len(self._identity) <= _SHORT_IDENTITY and self._raw[start:end] not in self._identity:
                return False
            self._kept = sorted(_kept(self._text, IDS, LABELS))
        at = start - self._start
        before = bisect_right(self._kept, at, key=itemgetter(0)) - 1
        if before < 0:
            return False
        _, high, is_id = self._kept[before]
        return at < high and (is_id or not rule.secret)

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
    """Return the bytes of a record's identifiers and labels, in any order; None if it is not a JSON object."""
    try:
        found = _decode_identity(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _identity_again(line)
    return b"\n".join(bytes(getattr(found, name)) for name in _Identity.__struct_fields__)


def _identity_again(line: bytes) -> bytes | None:
    """Read a line of legal JSON that msgspec refuses."""
    try:
        text = json_text.mended(line)
        json_text.folded(text)
    except (json_text.NotJson, json_text.TooDeep):
        return None
    return line if json_text.is_object(text) else b""


def _kept(line: bytes, ids: Collection[str], labels: Collection[str]) -> Iterator[tuple[int, int, bool]]:
    """Yield the positions of identifiers and labels, and whether each is an identifier."""
    for name, start, end in json_text.members(json_text.mended(line)):
        if name in ids or name in labels:
            if line.startswith(b'"', start):  # any other type makes the line a dead letter
                yield start, end, name in ids
        elif name in (_BEGIN, _BILLING) and line[start:end].startswith(b"{"):
            own = (BILLING_IDS, BILLING_LABELS) if name == _BILLING else (ids, labels)
            for low, high, is_id in _kept(line[start:end], *own):
                yield start + low, start + high, is_id
