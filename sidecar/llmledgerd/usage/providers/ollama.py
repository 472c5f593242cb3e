"""Ollama's streamed lines, assembled: chat and generate.

Invariant: the last line has the counts, and everything else but the text; a line that is not
``done`` has none, so a cut stream's usage is unknown.

Source: Ollama API docs, "Generate a chat completion" and "Generate a completion".
"""

from __future__ import annotations

from typing import Any, Final, Literal

from llmledgerd.usage.api import Api, StreamShape
from llmledgerd.usage.streams.assembled import Whole, add_text, encoded, inside, listed, merge
from llmledgerd.usage.streams.coalesce import Runs, strict, text_field
from llmledgerd.usage.streams.sse import Events

TEXTS = ("response", "thinking")
"""Pieces that stand at the root, of generate."""


LINE = (("model", str), ("created_at", str), ("done", Literal[False]))
"""What every line has; the last one is done and has more."""


def _chat(name: str, *others: str) -> tuple[Any, Any]:
    """Return the shape of lines that go on with one of the message's texts, and what joins them."""
    empty = [(other, Literal[""], "") for other in others]
    message = strict("Message", text_field(name), ("role", str, ""), *empty)

    def join(found: list[Any]) -> dict[str, Any]:
        return {"message": {name: "".join([line.message.piece for line in found])}}

    return strict("Line", *LINE, ("message", message)), join


def _generate(name: str) -> tuple[Any, Any]:
    """Return the same for the texts of generate."""

    def join(found: list[Any]) -> dict[str, Any]:
        return {name: "".join([line.piece for line in found])}

    return strict("Line", *LINE, text_field(name)), join


MORE_TEXT = Runs(_chat("content"), _chat("thinking", "content"), *map(_generate, TEXTS))


def assemble(events: Events) -> Whole:
    """Return the answer that the lines make up."""
    answer: dict[str, Any] = {}
    for line in MORE_TEXT.shortened(events):
        if isinstance(line, dict):
            _take(answer, line)
    return Whole(response=encoded(answer), complete=answer.get("done") is True)


def _take(answer: dict[str, Any], line: dict[str, Any]) -> None:
    message = line.pop("message", None)
    if isinstance(message, dict):
        _take_message(inside(answer, "message"), message)
    for name in TEXTS:
        if isinstance(line.get(name), str):
            add_text(answer, name, line.pop(name))
    answer.update(line)


def _take_message(into: dict[str, Any], message: dict[str, Any]) -> None:
    """Add a piece of the message; each tool call is whole and never goes on."""
    calls = message.pop("tool_calls", None)
    if isinstance(calls, list):
        listed(into, "tool_calls").extend(calls)
    merge(into, message)


API: Final = Api(
    hosts=(("ollama.com", "ollama"),),
    streams=(
        StreamShape(
            assemble,
            lambda name, kind, event: "done" in event and ("message" in event or "response" in event),
        ),
    ),
)
