"""The client behind ``llmledger.record`` and its sisters.

Invariant: it is made at the first use and lives until ``close``; the use after that makes another.
"""

from __future__ import annotations

from typing import Unpack

from llmledger.client import Stats, TraceClient
from llmledger.context import filled
from llmledger.fields import BeginFields, RecordFields

_clients: dict[str, TraceClient] = {}
"""At most one. A dict, because its ``setdefault`` decides between threads without a lock."""


def default_client() -> TraceClient:
    """Return the process's default client."""
    client = _clients.get("default")
    if client is None:
        made = TraceClient()
        client = _clients.setdefault("default", made)
        if client is not made:
            made.close(0.0)
    return client


def record(**fields: Unpack[RecordFields]) -> bool:
    """Hand over one finished call; see ``TraceClient.record``."""
    return default_client().hand_over("record", filled(fields))


def begin(**fields: Unpack[BeginFields]) -> bool:
    """Announce a call that starts; see ``TraceClient.begin``."""
    return default_client().hand_over("begin", filled(fields))


def flush(timeout: float = 5.0) -> bool:
    """Wait until all that was taken is durable; see ``TraceClient.flush``."""
    return default_client().flush(timeout)


async def aflush(timeout: float = 5.0) -> bool:  # noqa: ASYNC109 - the same meaning as in flush
    """Do as ``flush`` does, for an event loop."""
    return await default_client().aflush(timeout)


def stats() -> Stats:
    """Return the default client's counts."""
    return default_client().stats()


def close(timeout: float = 2.0) -> bool:
    """Flush for at most ``timeout`` seconds and end the session; see ``TraceClient.close``."""
    client = _clients.pop("default", None)
    return client is None or client.close(timeout)
