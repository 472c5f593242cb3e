"""A drop-in for the class that senders of protocol 1 to 3 bring: replace one import, keep the rest.

Invariants:
- The methods take, return and raise what the sender's own did; the record goes through the client's
  one thread and connection instead of a thread and a connection of its own.
- Settings (``llm_config``) lose what is a credential by its name; payloads are recorded as they are.
- Nothing but this library is needed.

See docs/migration.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from llmledger.client import TraceClient
from llmledger.credentials import masked

DEFAULT_SOCKET: Final = "/var/run/telemetry/telemetry.sock"
"""Where such senders connect, unless they are told otherwise."""

_T = TypeVar("_T")


class SocketProviderTraceBackend:
    """Takes the traces of an application of today.

    ``socket_path`` is else ``LLMLEDGER_SOCKET``, else the path that these senders have always used.

    >>> backend = SocketProviderTraceBackend()
    >>> await backend.create_async(actor=user, provider_trace=trace)
    """

    def __init__(self, socket_path: str | None = None) -> None:
        self.socket_path = socket_path or os.environ.get("LLMLEDGER_SOCKET") or DEFAULT_SOCKET
        self._client = TraceClient(self.socket_path)

    async def create_async(self, actor: Any, provider_trace: _T) -> _T:
        """Hand the trace over, and return it. Waits for nothing."""
        self._client.record(**_fields(actor, provider_trace))
        return provider_trace

    def create_sync(self, actor: Any, provider_trace: Any) -> None:
        """Hand the trace over. Waits for nothing."""
        self._client.record(**_fields(actor, provider_trace))

    async def get_by_step_id_async(self, step_id: str, actor: Any) -> None:
        """Return None, as the class that this one replaces does: a client writes and does not read.

        ``llmledgerd.reader.LLMTraceReader.get_by_step_id`` reads.
        """


def _fields(actor: Any, trace: Any) -> Any:
    """Return the fields of version 4; of a trace, whatever attributes its version has."""
    response = getattr(trace, "response_json", None) or {}
    error = response.get("error") if isinstance(response, Mapping) else None
    if isinstance(error, Mapping):
        error = error.get("message")
    return {
        "provider_trace_id": getattr(trace, "id", None),
        "agent_id": getattr(trace, "agent_id", None),
        "run_id": getattr(trace, "run_id", None),
        "step_id": getattr(trace, "step_id", None),
        "tags": getattr(trace, "agent_tags", None),
        "type": getattr(trace, "call_type", None) or "agent_step",
        "source": getattr(trace, "source", None),
        "request": getattr(trace, "request_json", None) or {},
        "response": response,
        "error": error if isinstance(error, str) and error else None,
        "error_type": response.get("error_type") if isinstance(response, Mapping) else None,
        "org_id": getattr(trace, "org_id", None) or getattr(actor, "organization_id", None),
        "user_id": getattr(trace, "user_id", None),
        "compaction_settings": masked(getattr(trace, "compaction_settings", None)),
        "llm_config": masked(getattr(trace, "llm_config", None)),
    }
