"""Streams of no known shape.

Invariant: an event of no known shape loses nothing: it is kept, with its name, in ``events``.
"""

from __future__ import annotations

from typing import Any

from llmledgerd.usage.streams.assembled import Whole, encoded
from llmledgerd.usage.streams.sse import Events

READ_BESIDE = ("usage", "usageMetadata", "model", "error", "service_tier")
"""Members with facts in events of unknown shape; the newest object wins."""


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
    is_over = _is_over(found)
    return Whole(
        response=encoded({"events": kept}),
        beside=encoded(beside),
        complete=events.is_done or is_over is True,
        usage_is_final=is_over is not False,
    )


def _is_over(found: list[Any]) -> bool | None:
    """Return whether Alibaba's own stream has its reason to stop, None for a stream of another kind.

    Its counts grow with the stream, and a choice that goes on has the word ``null`` for a reason (Alibaba Cloud Model
    Studio, "DashScope API reference: chat response chunk object").
    """
    reasons: list[Any] = []
    for event in found:
        output = event.get("output") if isinstance(event, dict) else None
        if isinstance(output, dict):
            choices = output.get("choices")
            of_choices = choices if isinstance(choices, list) else []
            reasons += [
                one["finish_reason"]
                for one in (output, *of_choices)
                if isinstance(one, dict) and "finish_reason" in one
            ]
    return any(reason not in (None, "", "null") for reason in reasons) if reasons else None
