"""Default client of the module-level functions such as ``llmledger.record``.

Invariant: it is created at the first use and lives until ``close``; the next use creates another.
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
    """Record one finished call; return True if it was accepted. See ``TraceClient.record``.

    >>> llmledger.record(provider="openai", model="gpt-4o", org_id="acme", latency_ms=812, status_code=200)
    True
    """
    return default_client().hand_over("record", filled(fields))


def begin(**fields: Unpack[BeginFields]) -> bool:
    """Announce the start of a call; return True if it was accepted. See ``TraceClient.begin``.

    >>> llmledger.begin(provider_trace_id=trace_id, provider="openai", model="gpt-4o")
    True
    """
    return default_client().hand_over("begin", filled(fields))


def flush(timeout: float = 5.0) -> bool:
    """Wait up to ``timeout`` seconds until all accepted records are durable; return True if they are.

    >>> llmledger.flush(timeout=1.0)
    True
    """
    return default_client().flush(timeout)


async def aflush(timeout: float = 5.0) -> bool:  # noqa: ASYNC109 - the same meaning as in flush
    """Run ``flush`` without blocking the event loop.

    >>> await llmledger.aflush(timeout=1.0)
    True
    """
    return await default_client().aflush(timeout)


def stats() -> Stats:
    """Return the default client's counters.

    >>> llmledger.stats().waiting
    0
    """
    return default_client().stats()


def close(timeout: float = 2.0) -> bool:
    """Flush for at most ``timeout`` seconds and end the session; return True if all records are durable.

    >>> llmledger.close()
    True
    """
    client = _clients.pop("default", None)
    return client is None or client.close(timeout)
