"""Cohere's chat streams, version 2 (SSE) and version 1 (NDJSON), made whole.

Invariant: version 1 repeats the whole answer in its last event, which is taken as it is.

Source: Cohere API reference, "Chat with streaming" v2 and v1.
"""

from __future__ import annotations

from typing import Any, Literal

from llmtraced.usage.runs import Runs, strict, text_field
from llmtraced.usage.sse import Events
from llmtraced.usage.whole import Whole, add_text, encoded, merge

LISTS = ("content", "tool_calls", "citations")
"""Members of the message that events carry one item of, under an index."""


def _deltas(name: str) -> tuple[Any, Any]:
    """Return the shape of events that go on with one item's text, and what joins them."""
    message = strict("Message", ("content", strict("Content", text_field(name))))
    delta = strict("Delta", ("message", message))
    shape = strict("Event", ("type", Literal["content-delta"]), ("index", int), ("delta", delta))

    def join(found: list[Any]) -> dict[str, Any] | None:
        if len({one.index for one in found}) > 1:
            return None
        content = {name: "".join([one.delta.message.content.piece for one in found])}
        return {"type": "content-delta", "index": found[0].index, "delta": {"message": {"content": content}}}

    return shape, join


MORE_TEXT = Runs(*map(_deltas, ("text", "thinking")))


class Answer:
    """The answer so far."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._items: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in LISTS}
        self._is_ended = False

    def take(self, event: Any) -> None:
        """Add one event; what is no object adds nothing."""
        if not isinstance(event, dict):
            return
        delta = event.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        message = delta.pop("message", None)
        if isinstance(message, dict):
            self._take_message(event.get("index"), message)
        if event.get("type") == "message-start":
            self._answer["id"] = event.get("id")
        elif event.get("type") == "message-end":
            self._is_ended = True
            self._answer.update(delta)

    def _take_message(self, index: Any, message: dict[str, Any]) -> None:
        """Add one event's part of the message: an item of a list, or a piece of text."""
        for name, piece in message.items():
            if name in LISTS and isinstance(piece, dict):
                merge(self._items[name].setdefault(index if isinstance(index, int) else 0, {}), piece)
            elif isinstance(piece, str) and name != "role":
                add_text(self._message, name, piece)
            else:
                self._message[name] = piece

    def whole(self) -> Whole:
        """Return the answer that the events so far make up."""
        for name, found in self._items.items():
            if found:
                self._message[name] = [found[index] for index in sorted(found)]
        self._answer["message"] = self._message
        return Whole(response=encoded(self._answer), complete=self._is_ended)


def assemble(events: Events) -> Whole:
    """Return the answer that version 2's events make up."""
    answer = Answer()
    for event in MORE_TEXT.shortened(events):
        answer.take(event)
    return answer.whole()


def assemble_version_1(events: Events) -> Whole:
    """Return the answer that version 1's events make up, or of a cut stream its text."""
    answer: dict[str, Any] = {}
    for event in events.values():
        if not isinstance(event, dict):
            continue
        if isinstance(whole := event.get("response"), dict):
            return Whole(response=encoded(whole), complete=True)
        if isinstance(piece := event.pop("text", None), str):
            add_text(answer, "text", piece)
        answer.update({name: event[name] for name in ("generation_id", "tool_calls") if name in event})
    return Whole(response=encoded(answer))
