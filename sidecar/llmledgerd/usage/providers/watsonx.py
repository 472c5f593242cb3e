"""IBM watsonx. Its counts stand in each result (``root_counts`` reads them).

Invariant: a stream's counts are the largest of each, since only some events have them.

Source: IBM watsonx.ai API reference, "Text generation stream".
"""

from __future__ import annotations

from typing import Any, Final

from llmledgerd.usage.api import Api, StreamShape
from llmledgerd.usage.decode import count
from llmledgerd.usage.streams.assembled import Whole, add_text, encoded
from llmledgerd.usage.streams.sse import Events

COUNTS = ("input_token_count", "generated_token_count")


def assemble(events: Events) -> Whole:
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
        if name in COUNTS:
            result[name] = max(count(result.get(name)) or 0, count(field) or 0)
        elif name == "generated_text" and isinstance(field, str):
            add_text(result, name, field)
        else:
            result[name] = field


API: Final = Api(
    hosts=((".ml.cloud.ibm.com", "watsonx"),),
    streams=(StreamShape(assemble, lambda name, kind, event: "results" in event),),
)
