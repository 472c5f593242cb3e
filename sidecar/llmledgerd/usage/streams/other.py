"""Streams of further apis: Interactions, assistants' runs, watsonx, and those of no known shape.

Invariant: an event of no known shape loses nothing: it is kept, with its name, in ``events``.

Sources: Gemini API reference, "Interactions API: Streaming"; OpenAI API reference, "Assistants:
Streaming", "Create transcription: Streaming", "Image generation: Streaming"; IBM watsonx.ai API
reference, "Text generation stream".
"""

from __future__ import annotations

from typing import Any

from llmledgerd.usage.decode import count
from llmledgerd.usage.streams.assembled import Whole, add_text, encoded, merge
from llmledgerd.usage.streams.sse import Events

READ_BESIDE = ("usage", "usageMetadata", "model", "error", "service_tier")
"""Members of an event of no known shape that facts are read from; the newest object wins."""

WATSONX_COUNTS = ("input_token_count", "generated_token_count")

ENDS_OF_A_RUN = ("completed", "failed", "cancelled", "expired", "incomplete")


def assemble_interaction(events: Events) -> Whole:
    """Return the interaction: the newest one announced, with the steps that were streamed."""
    interaction: dict[str, Any] = {}
    steps: dict[int, dict[str, Any]] = {}
    is_complete = False
    for event in events.values():
        if not isinstance(event, dict):
            continue
        if isinstance(announced := event.get("interaction"), dict):
            interaction.update(announced)
            is_complete = is_complete or event.get("event_type") == "interaction.completed"
        if isinstance(index := event.get("index"), int):
            _take_step(steps.setdefault(index, {}), event)
    if steps:
        interaction.setdefault("steps", [steps[index] for index in sorted(steps)])
    return Whole(response=encoded(interaction), complete=is_complete, usage_is_final=is_complete)


def _take_step(step: dict[str, Any], event: dict[str, Any]) -> None:
    """Add to a step; a delta's type says what it carries and is no part of the step."""
    start, delta = event.get("step"), event.get("delta")
    if isinstance(start, dict):
        merge(step, start)
    if isinstance(delta, dict):
        delta.pop("type", None)
        merge(step, delta)


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


def assemble_watsonx(events: Events) -> Whole:
    """Return the answer; the counts are the largest of each, since only some events have them."""
    answer: dict[str, Any] = {}
    result: dict[str, Any] = {}
    for event in events.values():
        results = event.pop("results", None) if isinstance(event, dict) else None
        if isinstance(results, list):
            answer.update(event)
            for found in results:
                if isinstance(found, dict):
                    _take_result(result, found)
    answer["results"] = [result]
    is_complete = result.get("stop_reason") not in (None, "not_finished", "NOT_FINISHED")
    return Whole(response=encoded(answer), complete=is_complete, usage_is_final=is_complete)


def _take_result(result: dict[str, Any], found: dict[str, Any]) -> None:
    for name, field in found.items():
        if name in WATSONX_COUNTS:
            result[name] = max(count(result.get(name)) or 0, count(field) or 0)
        elif name == "generated_text" and isinstance(field, str):
            add_text(result, name, field)
        else:
            result[name] = field


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


def assemble_unknown(events: Events) -> Whole:
    """Keep the events, and read the newest usage, model and error that any of them carries.

    One object alone is no stream but an answer: a server replies so to a streamed request that it
    refuses.
    """
    found = events.values()
    if len(found) == 1 and isinstance(found[0], dict) and not events.name(0):
        return Whole(response=encoded(found[0]), complete=True)
    kept: list[Any] = []
    beside: dict[str, Any] = {}
    for position, event in enumerate(found):
        name = events.name(position)
        kept.append({"event": name, "data": event} if name else event)
        for member in READ_BESIDE if isinstance(event, dict) else ():
            if event.get(member) is not None and (isinstance(event[member], dict) or member not in beside):
                beside[member] = event[member]
    return Whole(response=encoded({"events": kept}), beside=encoded(beside), complete=events.is_done)
