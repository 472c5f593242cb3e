"""OpenAI's streams beside Chat and Responses: transcriptions, images, assistants' runs.

Invariant: the last event of a kind is the answer; a cut stream gives the text that came.

Sources: OpenAI API reference, "Assistants: Streaming", "Create transcription: Streaming", "Image generation:
Streaming".
"""

from __future__ import annotations

from typing import Any, Final

from llmledgerd.usage.api import Api, StreamShape
from llmledgerd.usage.streams.assembled import Whole, add_text, encoded
from llmledgerd.usage.streams.sse import Events

ENDS_OF_A_RUN = ("completed", "failed", "cancelled", "expired", "incomplete")

MEDIA = ("transcript.text.", "image_generation.", "image_edit.")
"""Beginnings of the types of events for audio and images."""


def assemble_run(events: Events) -> Whole:
    """Return the assistant's run as its newest event has it, with the messages that it wrote."""
    run: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    is_complete = False
    for position, event in enumerate(events.values()):
        thing, _, change = events.name(position).rpartition(".")
        if not isinstance(event, dict):
            continue
        if thing == "thread.run":
            run = event
            is_complete = change in ENDS_OF_A_RUN
        elif thing == "thread.message" and change != "delta":
            messages[str(event.get("id"))] = event
    if messages:
        run = {**run, "messages": list(messages.values())}
    return Whole(response=encoded(run), complete=is_complete, usage_is_final=is_complete)


def assemble_media(events: Events) -> Whole:
    """Return a transcription or an image: the last event's own, or of a cut stream its text.

    Speakers' segments come in events of their own, and stand beside the text in a whole answer.
    """
    final: dict[str, Any] = {}
    cut: dict[str, Any] = {}
    segments: list[Any] = []
    for event in events.values():
        if not isinstance(event, dict):
            continue
        kind = str(event.pop("type", ""))
        if kind.endswith((".done", ".completed")):
            final = event
        elif kind.endswith(".segment"):
            segments.append(event)
        elif isinstance(piece := event.get("delta"), str):
            add_text(cut, "text", piece)
    answer = {**(final or cut), **({"segments": segments} if segments else {})}
    return Whole(response=encoded(answer), complete=bool(final))


API: Final = Api(
    streams=(
        StreamShape(assemble_media, lambda name, kind, event: kind.startswith(MEDIA)),
        StreamShape(assemble_run, lambda name, kind, event: name.startswith("thread.")),
    ),
)
