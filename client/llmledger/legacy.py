"""Drop-in replacement for the backend class of senders with protocol versions 1 to 3.

Invariants:
- The methods have the signatures, results and errors of the replaced class; records are sent by the
  client's thread and connection.
- Credentials in settings (``llm_config``) are masked by key name; payloads are recorded unchanged.
- Only this library is needed.

See docs/migration.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from llmledger.client import TraceClient
from llmledger.credentials import masked

DEFAULT_SOCKET: Final = "/var/run/telemetry/telemetry.sock"
"""Default socket of these senders."""

_T = TypeVar("_T")


class SocketProviderTraceBackend:
    """Trace backend over ``TraceClient``, for existing applications.

    ``socket_path`` is the daemon's socket (default: ``LLMLEDGER_SOCKET``, else these senders' old path).

    >>> backend = SocketProviderTraceBackend()
    >>> await backend.create_async(actor=user, provider_trace=trace)
    """

    def __init__(self, socket_path: str | None = None) -> None:
        self.socket_path = socket_path or os.environ.get("LLMLEDGER_SOCKET") or DEFAULT_SOCKET
        self._client = TraceClient(self.socket_path)

    async def create_async(self, actor: Any, provider_trace: _T) -> _T:
        """Record the trace, and return it. Never blocks."""
        self._client.record(**_fields(actor, provider_trace))
        return provider_trace

    def create_sync(self, actor: Any, provider_trace: Any) -> None:
        """Record the trace. Never blocks."""
        self._client.record(**_fields(actor, provider_trace))

    async def get_by_step_id_async(self, step_id: str, actor: Any) -> None:
        """Return None, as the replaced class does: the client cannot read.

        Use ``llmledgerd.reader.LLMTraceReader.get_by_step_id``.
        """


def _fields(actor: Any, trace: Any) -> Any:
    """Return the fields of version 4, from the attributes that the trace's version has."""
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
