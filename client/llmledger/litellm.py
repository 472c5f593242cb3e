"""LiteLLM callback, for applications that cannot have their HTTP libraries hooked.

Invariants:
- One call of LiteLLM is one record, including its retries and fallbacks: a callback does not see
  single exchanges. A call whose exchange ``llmledger.instrument()`` recorded is left out; one that the hooks
  did not recognize, because nobody named its host, is not.
- The payloads are LiteLLM's own objects, in OpenAI's shape, not the provider's bytes. The usage of a
  stream is LiteLLM's, which counts tokens itself if the provider does not report usage.
- Keys, tokens and headers passed to LiteLLM are in neither request nor error.
- The context is that of the call's start: LiteLLM runs callbacks in threads without a context.

Importing this imports LiteLLM.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from llmledger.client import TraceClient
from llmledger.context import current
from llmledger.credentials import found, masked
from llmledger.default import default_client
from llmledger.instrumentation.cleaning import error_text, kind
from llmledger.instrumentation.recent import was_hooked
from llmledger.instrumentation.safety import harmless

_KINDS = {
    "embedding": "embedding",
    "rerank": "rerank",
    "image_generation": "image",
    "moderation": "moderation",
}
"""LiteLLM's call types, without the ``a`` of asynchronous ones, and the wire's."""

_MOST_CALLS = 10_000
"""Limit of running calls with a stored context; LiteLLM may never report the end of one."""

_base: Any = importlib.import_module("litellm.integrations.custom_logger").CustomLogger


class LlmledgerLogger(_base):  # type: ignore[misc]  # LiteLLM ships no types, and need not be installed
    """LiteLLM callback that records calls with ``client`` (default: the default client).

    >>> litellm.callbacks = [LlmledgerLogger()]
    """

    def __init__(self, client: TraceClient | None = None) -> None:
        super().__init__()
        self._client = client
        self._contexts: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """Store the context of a starting call, in the application's thread or task."""
        self._remember(kwargs)

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record a successful synchronous call."""
        self._record(kwargs, response_obj, start_time, end_time)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record a failed synchronous call."""
        self._record(kwargs, response_obj, start_time, end_time)

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Record a successful asynchronous call."""
        self._record(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Record a failed asynchronous call."""
        self._record(kwargs, response_obj, start_time, end_time)

    @harmless
    def _remember(self, kwargs: dict[str, Any]) -> None:
        self._contexts[kwargs["litellm_call_id"]] = current()
        if len(self._contexts) > _MOST_CALLS:
            self._contexts.popitem(last=False)

    @harmless
    def _record(self, kwargs: dict[str, Any], response: Any, start: datetime, end: datetime) -> None:
        fields = self._contexts.pop(kwargs.get("litellm_call_id", ""), None) or current()
        if was_hooked(_address(kwargs), start.timestamp()):
            return
        kind = _KINDS.get(str(kwargs.get("call_type", "")).removeprefix("a"))
        if kind:
            fields.setdefault("type", kind)
        fields |= {
            "provider": kwargs.get("custom_llm_provider"),
            "model": kwargs.get("model"),
            "request": _request(kwargs),
            "response": response,
            "timestamp": start.astimezone(UTC),  # LiteLLM's is local time without a zone
            "latency_ms": (end - start).total_seconds() * 1000,
            **_first_token(kwargs, start),
            **_failure(kwargs),
        }
        (self._client or default_client()).hand_over("record", fields)


def _request(kwargs: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {"model": kwargs.get("model"), **(kwargs.get("optional_params") or {})}
    for name in ("messages", "input"):
        if kwargs.get(name):
            request[name] = kwargs[name]
    return dict(masked(request))


def _address(kwargs: dict[str, Any]) -> str:
    """Return the address that LiteLLM called, "" if it does not tell."""
    base = (kwargs.get("litellm_params") or {}).get("api_base")
    return base if isinstance(base, str) else ""


def _first_token(kwargs: dict[str, Any], start: datetime) -> dict[str, float]:
    first = kwargs.get("completion_start_time")
    if not kwargs.get("stream") or not isinstance(first, datetime):
        return {}
    return {"time_to_first_token_ms": (first - start).total_seconds() * 1000}


def _failure(kwargs: dict[str, Any]) -> dict[str, Any]:
    error = kwargs.get("exception")
    if error is None:
        return {}
    status = getattr(error, "status_code", None)
    confidential = tuple(_confidential(kwargs))
    return {
        "outcome": "error",
        "error_type": kind(error, sent=confidential),
        "error": error_text(error, sent=confidential),
        "status_code": status if isinstance(status, int) else None,
    }


def _confidential(kwargs: dict[str, Any]) -> Iterator[Any]:
    yield kwargs.get("api_key")
    for name in ("litellm_params", "optional_params", "additional_args"):
        given = kwargs.get(name) or {}
        yield from found({name: value for name, value in given.items() if name != "complete_input_dict"})
