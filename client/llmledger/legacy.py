"""A drop-in for the class that senders of protocol 1 to 3 bring: replace one import, keep the rest.

Invariants:
- The methods take, return and raise what the sender's own did; the record goes through the client's
  one thread and connection instead of a thread and a connection of its own.
- Settings (``llm_config``) lose what is a credential by its name; payloads are recorded as they are.
- Writing needs nothing but this library. Reading needs the ``llmledgerd`` distribution, imported at the
  first read.

See docs/migration.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from llmledger.client import TraceClient
from llmledger.credentials import masked

if TYPE_CHECKING:
    from llmledgerd.query.results import Call

DEFAULT_SOCKET: Final = "/var/run/telemetry/telemetry.sock"
"""Where such senders connect, unless they are told otherwise."""

_ID_PREFIX: Final = "provider_trace-"
_T = TypeVar("_T")


class StoredTrace(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it was read back, under the names that the senders use."""

    id: str
    step_id: str
    agent_id: str
    agent_tags: list[str]
    run_id: str
    call_type: str
    org_id: str
    user_id: str
    request_json: Any
    response_json: Any
    llm_config: Any
    created_at: datetime


class SocketProviderTraceBackend:
    """Takes the traces of an application of today.

    ``socket_path`` is else ``LLMLEDGER_SOCKET``, else the path that these senders have always used.
    ``clickhouse_url`` is where reads go, else ``LLMLEDGER_CLICKHOUSE_URL``.

    >>> backend = SocketProviderTraceBackend()
    >>> await backend.create_async(actor=user, provider_trace=trace)
    """

    def __init__(self, socket_path: str | None = None, *, clickhouse_url: str | None = None) -> None:
        self.socket_path = socket_path or os.environ.get("LLMLEDGER_SOCKET") or DEFAULT_SOCKET
        self._clickhouse_url = clickhouse_url
        self._client = TraceClient(self.socket_path)

    async def create_async(self, actor: Any, provider_trace: _T) -> _T:
        """Hand the trace over, and return it. Waits for nothing."""
        self._client.record(**_fields(actor, provider_trace))
        return provider_trace

    def create_sync(self, actor: Any, provider_trace: Any) -> None:
        """Hand the trace over. Waits for nothing."""
        self._client.record(**_fields(actor, provider_trace))

    async def get_by_step_id_async(self, step_id: str, actor: Any) -> StoredTrace | None:
        """Return the newest stored trace of the step within the actor's organisation, or None.

        Raises RuntimeError where ``llmledgerd`` is not installed or no ClickHouse is named, and what
        ``LLMTraceReader`` raises where the store is away.
        """
        url = self._clickhouse_url or os.environ.get("LLMLEDGER_CLICKHOUSE_URL")
        if not url:
            raise RuntimeError("reading needs clickhouse_url=… or LLMLEDGER_CLICKHOUSE_URL")
        try:
            from llmledgerd.reader import LLMTraceReader
        except ImportError as error:
            raise RuntimeError(
                "reading needs the llmledgerd distribution, from the same place as this one"
            ) from error
        async with LLMTraceReader(url) as reader:
            calls = await reader.get_by_step_id(actor.organization_id, step_id, payloads=True)
        return _stored(calls[-1]) if calls else None


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


def _stored(call: Call) -> StoredTrace:
    payloads = call.payloads
    return StoredTrace(
        id=_ID_PREFIX + call.id,
        step_id=call.step_id,
        agent_id=call.agent_id,
        agent_tags=call.agent_tags,
        run_id=call.run_id,
        call_type=call.call_type,
        org_id=call.organization_id,
        user_id=call.user_id,
        request_json=_read(payloads.request_json if payloads else b""),
        response_json=_read(payloads.response_json if payloads else b""),
        llm_config=_read(payloads.llm_config_json if payloads else b""),
        created_at=call.created_at,
    )


def _read(document: bytes) -> Any:
    return msgspec.json.decode(document) if document else {}
