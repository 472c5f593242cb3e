"""Merging of neighboring events that differ in their text alone, byte for byte. Pure.

Invariant: the merged list has the same result as the events themselves, in a family whose other members may be
said once for many. Only one event is decoded: the texts of its neighbors stand where its own does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from llmledgerd.usage.decode import is_json

_FEWEST: Final = 3
_HALVES: Final = ("\\ud", "\\uD")
"""Beginnings of escapes that mean something else when they stand side by side."""


def text_pattern(*names: str) -> re.Pattern[str]:
    """Return the pattern of a member with one of these names that is a text; the text is its group."""
    return re.compile(rf'"(?:{"|".join(names)})": ?"([^"\\]*(?:\\.[^"\\]*)*)"')


def merged(
    data: list[str],
    text: re.Pattern[str],
    is_mere_text: Callable[[str], bool],
    filler: re.Pattern[str] | None = None,
) -> list[str]:
    """Return the events with neighbors that differ in their text alone as one.

    The event in the middle shows how they look, since nearly all others look as it does. ``is_mere_text`` tells
    whether an event says nothing else that adds up. ``filler`` is what an event ends in that is no part of it.
    """
    if len(data) < _FEWEST:
        return data
    shown = data[len(data) // 2]
    if filler is not None and filler.search(shown):
        data, shown = [filler.sub("", event) for event in data], filler.sub("", shown)
    found = list(text.finditer(shown))
    if len(found) != 1 or not is_mere_text(shown):
        return data
    head, tail = shown[: found[0].start(1)], shown[found[0].end(1) :]
    start, end = len(head), -len(tail)
    texts = [event[start:end] if event[end:] == tail and event[:start] == head else None for event in data]
    events: list[str] = []
    at = 0
    for other in [number for number, one in enumerate(texts) if one is None] + [len(data)]:
        events += _as_one(head, data[at:other], "".join(texts[at:other]), tail)  # type: ignore[arg-type]  # no None between
        events += data[other : other + 1]
        at = other + 1
    return events


def _as_one(head: str, run: list[str], text: str, tail: str) -> list[str]:
    """Return a run as one event; as it is where its text is none, or may not be put together."""
    if len(run) < 2 or not is_json(f'"{text}"'):
        return run
    if "\\" in text and any(half in text for half in _HALVES):
        return run
    return [f"{head}{text}{tail}"]
