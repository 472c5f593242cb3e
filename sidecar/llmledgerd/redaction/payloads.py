"""Rules on keys and paths, and truncation of long strings, within one payload.

Invariant: JSON stays JSON, and values without a rule stay byte for byte. A replacement may have another
length, because sizes were counted before.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from llmledgerd import json_text
from llmledgerd.redaction import masks
from llmledgerd.redaction.paths import Path, Span, values_at

_STRING: Final = re.compile(json_text.STRING, re.DOTALL)
_SPACE: Final = re.compile(rb"\s*")
_KEY_FOLLOWS: Final = re.compile(rb"\s*:")
_NOTHING: Final = frozenset({b"null", b'""'})
_encode = msgspec.json.encode

Edit = tuple[int, int, bytes]


class Keys:
    """Masking of members' values by name, at any depth, also in JSON within strings."""

    def __init__(self, names: Iterable[str], counts: Counter[str]) -> None:
        # The longest first, because `pass` would be tried, and fail, at `password`.
        ordered = sorted(names, key=len, reverse=True)
        alternatives = b"|".join(re.escape(_encode(name)[1:-1]) for name in ordered)
        # On lower-case text, which takes a third of the time of ignoring case.
        self._name = re.compile(rb'"(%s)\\*"\s*:\s*' % alternatives)
        # For text that is not wholly JSON, such as a stream's lines: a string after the name.
        self._pair = re.compile(rb'("(%s)"\s*:\s*)"((?:[^"\\]|\\.)*+)"' % alternatives, re.IGNORECASE)
        self._counts = counts

    def hide(self, text: bytes) -> bytes:
        """Return the payload without the values of these members."""
        found = list(self._name.finditer(text.lower()))
        if not found:
            return text
        plain = [match for match in found if text[match.start() - 1 : match.start()] != b"\\"]
        nested = [match.start() for match in found if text[match.start() - 1 : match.start()] == b"\\"]
        return _edited(text, _in_order([*self._values(text, plain), *self._strings(text, nested)]))

    def _values(self, text: bytes, found: list[re.Match[bytes]]) -> Iterator[Edit]:
        done = 0
        for match in found:
            start = match.end()
            if start < done:
                continue  # within a value that is masked already
            done = json_text.value_end(text, start)
            if text[start:done] not in _NOTHING:
                yield start, done, self._label(match[1])

    def _strings(self, text: bytes, places: list[int]) -> Iterator[Edit]:
        """Yield the replacements of strings that contain a name."""
        if not places:
            return
        waiting = iter(places)
        place = next(waiting, None)
        for string in _STRING.finditer(text):
            if place is None:
                return
            if string.end() <= place:
                continue
            while place is not None and place < string.end():
                place = next(waiting, None)
            hidden = self._within(string[0])
            if hidden != string[0]:
                yield string.start(), string.end(), hidden

    def _within(self, string: bytes) -> bytes:
        inner = _encode_text(string)
        try:
            is_json = inner.lstrip()[:1] in (b"{", b"[") and json_text.folded(json_text.mended(inner))
        except (json_text.NotJson, json_text.TooDeep):
            is_json = b""
        hidden = self.hide(inner) if is_json else self._pair.sub(self._without, inner)
        return string if hidden == inner else _encode(hidden.decode())

    def _without(self, pair: re.Match[bytes]) -> bytes:
        return pair[1] + self._label(pair[2]) if pair[3] else pair[0]

    def _label(self, name: bytes) -> bytes:
        key = name.decode().lower()
        self._counts[f"key:{key}"] += 1
        return b'"[redacted:%s]"' % key.encode()


def hide_path(text: bytes, path: Path, counts: Counter[str]) -> bytes:
    """Return the payload without the values at a place."""
    edits = [
        (start, end, b'"[redacted]"')
        for start, end in values_at(json_text.mended(text), path.steps)
        if text[start:end] not in _NOTHING
    ]
    counts[f"path:{path.text}"] += len(edits)
    return _edited(text, edits) if edits else text


def cut(text: bytes, path: Path, limit: int, counts: Counter[str]) -> bytes:
    """Return the payload with the strings at a place, or below it, cut at so many bytes."""
    if len(text) <= limit:
        return text
    spans = list(values_at(json_text.mended(text), path.steps))
    edits = [edit for span in spans for edit in _cuts(text, span, limit)]
    counts[f"truncated:{path.text}"] += len(edits)
    return _edited(text, edits) if edits else text


def _cuts(text: bytes, span: Span, limit: int) -> Iterator[Edit]:
    for string in _STRING.finditer(text, *span):
        start, end = string.start() + 1, string.end() - 1
        if end - start <= limit or _KEY_FOLLOWS.match(text, string.end()):
            continue
        whole = _encode_text(string[0])
        keep = _boundary(text, start, start + limit)
        digest = hashlib.sha256(whole).hexdigest()
        yield keep, end, f"…[truncated: {len(whole)} bytes, sha256:{digest}]".encode()


def _boundary(text: bytes, start: int, end: int) -> int:
    """Return the last offset up to ``end`` that splits neither a character nor an escape."""
    while end > start and text[end] & 0xC0 == 0x80:
        end -= 1
    cut_escape = masks.CUT_ESCAPE.search(text, max(start, end - 5), end)
    end = cut_escape.start() if cut_escape else end
    backslashes = end - len(text[start:end].rstrip(b"\\")) - start
    return end - backslashes % 2


def _encode_text(string: bytes) -> bytes:
    """Return the decoded text of a JSON string, in UTF-8."""
    decoded: str = msgspec.json.decode(json_text.mended(string), type=str)
    return decoded.encode()


def _in_order(edits: list[Edit]) -> list[Edit]:
    """Return the edits in order, without those inside another."""
    kept: list[Edit] = []
    for edit in sorted(edits):
        if not kept or edit[0] >= kept[-1][1]:
            kept.append(edit)
    return kept


def _edited(text: bytes, edits: list[Edit]) -> bytes:
    pieces: list[bytes] = []
    copied = 0
    for start, end, new in edits:
        pieces += [text[copied:start], new]
        copied = end
    return b"".join([*pieces, text[copied:]])
