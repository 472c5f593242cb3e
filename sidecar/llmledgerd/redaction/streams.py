"""Secrets split across the chunks of a stream.

Invariant: only the text of chunks changes, and it keeps its length and its escapes. The continuation of a
text in the next chunk is found by the name of its member, so texts of several interleaved answers are left to
the row, which has every answer assembled.

A record's stream is JSON within a JSON string, so its quotation marks have one backslash before them, and those
within the chunks' texts have three.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from llmledgerd.redaction import masks
from llmledgerd.redaction.finding import hits
from llmledgerd.redaction.rules import Patterns, Rule

FIELD: Final = b'"response_stream"'
_CHUNK: Final = re.compile(
    rb'\\"(content|text|thinking|reasoning|reasoning_content|arguments|partial_json|delta|refusal|transcript)\\"'
    rb'\s{0,4}+:(?:\s|\\[nrt]){0,8}+\\"((?:[^"\\\n]|\\\\\\"|\\\\\\\\|\\\\[^"\\\n]|\\u[0-9a-fA-F]{4}|\\/)++)\\"'
)

Piece = tuple[Rule, int, int]


def parted(raw: bytes, patterns: Patterns) -> Iterator[Piece]:
    """Yield the parts of secrets that are split across chunks, or separated from their name; secrets within one
    chunk are masked already.
    """
    at = raw.find(FIELD)
    while at >= 0:
        end = raw.find(b"\n", at)
        end = len(raw) if end < 0 else end
        yield from _in_stream(raw, at + len(FIELD), end, patterns)
        at = raw.find(FIELD, end)


def _in_stream(raw: bytes, start: int, end: int, patterns: Patterns) -> Iterator[Piece]:
    spans: dict[bytes, list[tuple[int, int]]] = {}
    for chunk in _CHUNK.finditer(raw, start, end):
        spans.setdefault(chunk[1], []).append(chunk.span(2))
    for chunks in spans.values():
        if len(chunks) > 1:
            yield from _joined(raw, chunks, patterns)


def _joined(raw: bytes, chunks: list[tuple[int, int]], patterns: Patterns) -> Iterator[Piece]:
    starts = [0]
    for low, high in chunks:
        starts.append(starts[-1] + high - low)
    for rule, low, high in hits(b"".join(raw[slice(*chunk)] for chunk in chunks), patterns):
        first, last = bisect_right(starts, low) - 1, bisect_right(starts, high - 1) - 1
        for number in range(first, last + 1):
            begin, end = chunks[number]
            start = max(begin, begin + low - starts[number])
            stop = min(end, begin + high - starts[number])
            yield rule, *_between(raw, start, stop, begin, end)


def _between(raw: bytes, start: int, stop: int, begin: int, end: int) -> tuple[int, int]:
    """Widen a part to whole escapes, within its chunk."""
    low, high = masks.whole(raw, start, stop)
    return max(begin, low), min(end, high)
