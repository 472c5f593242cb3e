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
    return Whole(response=encoded({"events": kept}), beside=encoded(beside), complete=events.is_done)
