"""Gemini's chunks, each a whole response object of its own, made one.

Invariant: the usage is that of the last chunk that has ``usageMetadata``, that chunk alone: its counts
are cumulative, and a last chunk may drop some.

Source: Gemini API reference, "models.streamGenerateContent".
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Raw

from llmtraced.usage.decode import value
from llmtraced.usage.runs import Runs, one_of, strict, text_field
from llmtraced.usage.sse import Events
from llmtraced.usage.whole import Pieces, Whole, add_text, encoded, inside, listed

USAGE = "usageMetadata"

KEPT_FIRST = frozenset({"modelVersion", "responseId", "createTime"})
"""Members that every chunk repeats."""

TEXT_ALONE = frozenset({"text", "thought"})


def _joined(found: list[Any]) -> dict[str, Any]:
    """Return one chunk that says what all of them say, less the usages that the last one replaces."""
    last = found[-1]
    text = "".join([one.candidates[0].content.parts[0].piece for one in found])
    content = {"parts": [{"text": text}], "role": last.candidates[0].content.role}
    usage = {USAGE: value(last.usageMetadata)} if last.usageMetadata else {}
    return {"candidates": [{"content": content}], **usage}


PART = strict("Part", text_field("text"))
CONTENT = strict("Content", ("parts", one_of(PART)), ("role", str, "model"))
CANDIDATE = strict("Candidate", ("content", CONTENT), ("index", Literal[0], 0))
MIDDLE = strict(
    "Middle",
    ("candidates", one_of(CANDIDATE)),
    (USAGE, Raw, Raw(b"")),
    *((name, str, "") for name in sorted(KEPT_FIRST)),
)
"""A chunk from the middle of a stream: more of the answer's text, and no thought."""

MORE_TEXT = Runs((MIDDLE, _joined))


def assemble(events: Events) -> Whole:
    """Return the response that the chunks make up."""
    root: dict[str, Any] = {}
    candidates: dict[int, dict[str, Any]] = {}
    for chunk in MORE_TEXT.shortened(events):
        if not isinstance(chunk, dict):
            continue
        _take_candidates(candidates, chunk.pop("candidates", None))
        if not isinstance(chunk.get(USAGE), dict):
            chunk.pop(USAGE, None)
        for name, field in chunk.items():
            if field and not (name in KEPT_FIRST and name in root):
                root[name] = field
    if candidates:
        root["candidates"] = [candidates[index] for index in sorted(candidates)]
    is_finished = "promptFeedback" in root or any(one.get("finishReason") for one in candidates.values())
    return Whole(response=encoded(root), complete=is_finished, usage_is_final=is_finished)


def _take_candidates(into: dict[int, dict[str, Any]], found: Any) -> None:
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict):
            index = one.get("index")
            _take_candidate(into.setdefault(index if isinstance(index, int) else 0, {}), one)


def _take_candidate(into: dict[str, Any], one: dict[str, Any]) -> None:
    for name, field in one.items():
        if name == "content" and isinstance(field, dict):
            _take_content(inside(into, "content"), field)
        elif field is not None:
            into[name] = field


def _take_content(into: dict[str, Any], content: dict[str, Any]) -> None:
    for name, field in content.items():
        if name != "parts" or not isinstance(field, list):
            into[name] = field
            continue
        parts = listed(into, "parts")
        for part in field:
            if parts and _goes_on(parts[-1], part):
                add_text(parts[-1], "text", part["text"])
            else:
                parts.append(part)


def _goes_on(last: Any, part: Any) -> bool:
    """Whether a part is more text of the same kind, thought or answer, with nothing beside it."""
    return (
        isinstance(part, dict)
        and isinstance(last, dict)
        and isinstance(part.get("text"), str)
        and isinstance(last.get("text"), str | Pieces)
        and part.keys() <= TEXT_ALONE
        and last.keys() <= TEXT_ALONE
        and part.get("thought") == last.get("thought")
    )
