"""Background responses and webhooks that an application hands to ``record``.

Invariant: of any other record nothing but the start of its response is looked at, and nothing is imported for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llmledger.encoding import encode

if TYPE_CHECKING:
    from llmledger.client import TraceClient

_START: Final = 4096
"""The members that tell stand before the output (OpenAI API reference, "The response object")."""


def is_deferred(response: Any) -> bool:
    """Return whether this may be a background response or a webhook.

    >>> is_deferred({"object": "event", "type": "response.completed", "data": {"id": "resp_1"}})
    True
    """
    kind = type(response)
    if kind is bytes:
        start = response[:_START]
        return b'"background"' in start or b'"event"' in start
    if kind is str:
        return is_deferred(response[:_START].encode(errors="replace"))
    if kind is dict:
        return response.get("object") == "event" or response.get("background") is True
    return getattr(response, "background", None) is True


def record_deferred(fields: dict[str, Any], client: TraceClient) -> bool:
    """Record or announce it under the id of its call; return False of what turns out to be neither."""
    from llmledger.instrumentation.fetching import handed  # of the instrumentation, which few records need

    response = fields["response"]
    if isinstance(response, str):
        response = response.encode()
    return bool(handed(response if isinstance(response, bytes) else encode(response), fields, client))
