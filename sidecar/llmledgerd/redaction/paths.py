"""Paths in a payload, such as ``request.messages[*].content``, and their values.

A path is the name of a payload, then any number of ``.name``, ``.*`` (every member), ``[*]`` (every
element) and ``[0]``. Names are what stands between dots and brackets. Invariant: what a path does
not reach is never looked at closely, and a payload that has no such place has no such values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from llmledgerd import json_text
from llmledgerd.errors import ConfigError

PAYLOADS: Final = {
    "request": "request_json",
    "response": "response_json",
    "llm_config": "llm_config_json",
    "compaction_settings": "compaction_settings_json",
}
"""Roots that contain JSON, and their columns."""
TEXTS: Final = {"error_message": "error_message", "url": "url", "tags": "agent_tags"}
"""Roots that are text, which a path can only name as a whole."""

MEMBERS: Final = "*"
ELEMENTS: Final = "[*]"
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\*|\d{1,9})\]")

Span = tuple[int, int]


class Path(msgspec.Struct, frozen=True):
    """Parsed path: the column, and the steps from its root."""

    text: str
    column: str
    steps: tuple[str | int, ...]
    """A member's name, an element's index, MEMBERS or ELEMENTS; no name has brackets."""


def parse_path(setting: str, text: str) -> Path:
    """Parse the path in a setting. Raises ConfigError."""
    root = re.match(r"[^.\[]*", text)
    name = root[0] if root else ""
    column = PAYLOADS.get(name) or TEXTS.get(name)
    if column is None:
        raise ConfigError(f"{setting}: `{text}` must begin with one of {', '.join([*PAYLOADS, *TEXTS])}")
    steps: list[str | int] = []
    position = len(name)
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            raise ConfigError(f"{setting}: `{text}`: `{text[position:]}` is neither .name, .*, [*] nor [0]")
        steps.append(step[1] or (int(step[2]) if step[2].isdigit() else ELEMENTS))
        position = step.end()
    if steps and name in TEXTS:
        raise ConfigError(f"{setting}: `{text}`: {name} has nothing below it")
    return Path(text, column, tuple(steps))


def values_at(text: bytes, steps: tuple[str | int, ...], start: int = 0) -> Iterator[Span]:
    """Yield the positions of a path's values; the text is valid JSON after ``json_text.mended``."""
    if not steps:
        yield start, start + len(text)
        return
    first, rest = steps[0], steps[1:]
    for low, high in _below(text, first):
        yield from values_at(text[low:high], rest, start + low)


def _below(text: bytes, step: str | int) -> Iterator[Span]:
    kind = text.lstrip()[:1]
    if kind == b"{":
        for name, low, high in json_text.members(text):
            if step in (MEMBERS, name):
                yield low, high
    elif kind == b"[":
        for index, span in enumerate(json_text.elements(text)):
            if step in (ELEMENTS, index):
                yield span
