"""Streams of no known shape.

Invariant: an event of no known shape loses nothing: it is kept, with its name, in ``events``.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """Return whether a stream of Alibaba's own or of Reka's has its reason to stop, None for one of another kind.

    Their counts grow with the stream, and a choice that goes on has the word ``null`` for a reason at Alibaba (Alibaba
    Cloud Model Studio, "DashScope API reference: chat response chunk object"; Reka API reference, "Chat: streaming").
    """
    reasons = [one["finish_reason"] for one in _endings(found) if "finish_reason" in one]
    return any(reason not in (None, "", "null") for reason in reasons) if reasons else None


def _endings(found: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield what may have a reason to stop."""
    for event in found:
        if not isinstance(event, dict):
            continue
        output = event.get("output")
        inside = [output, *_listed(output.get("choices"))] if isinstance(output, dict) else []
        for one in (*inside, *_listed(event.get("responses"))):
            if isinstance(one, dict):
                yield one


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
