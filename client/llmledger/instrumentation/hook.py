"""Common part of all hooks: the settings, and the start of an exchange for a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from llmledger.client import TraceClient
from llmledger.default import default_client
from llmledger.instrumentation.advice import Advice
from llmledger.instrumentation.exchange import Begin, Exchange, inside
from llmledger.instrumentation.patches import Patches
from llmledger.instrumentation.recognize import Call, Hosts, any_call
from llmledger.instrumentation.safety import harmless
from llmledger.instrumentation.unknown_hosts import UnknownHosts, looks_like_call, may_be_call

_ATTEMPT_HEADERS = (("x-stainless-retry-count", 1), ("amz-sdk-request", 0))
"""OpenAI's, Anthropic's and Groq's SDKs count retries from 0; Amazon's says ``attempt=1; max=3``."""


_looked_at: Final[ContextVar[bool]] = ContextVar("llmledger_looked_at", default=False)
"""Whether an outer hook has looked at the request, and found no call that is recorded."""


class Hook(msgspec.Struct, frozen=True):
    """Settings of one ``instrument()``: hosts, client and announcements."""

    hosts: Hosts
    client: TraceClient | None
    begin: Begin
    patches: Patches
    advice: Advice = msgspec.field(default_factory=Advice)
    records_unknown: bool = False
    unknown: UnknownHosts = msgspec.field(default_factory=UnknownHosts)

    @harmless
    def recognize(
        self, method: str, host: str, port: int | None, path: str, body: Callable[[], Any] = lambda: None
    ) -> Call | None:
        """Return the call of this exchange; None if it is not one, or an outer hook observes it.

        ``body`` returns the request's body, for what may be a call to an unknown host.
        """
        if not self.patches.is_active or inside.get():
            return None
        if method == "GET" or self.hosts.provider(host, port) is not None:
            found = self.hosts.recognize(method, host, port, path)
            if found is not None and not found.provider:
                self.advice.no_provider(host)
            return found
        if _looked_at.get() or not may_be_call(method, path) or not looks_like_call(body()):
            return None
        if self.records_unknown:
            return any_call(path)
        reason = self.unknown.met(host, port)
        (self.client or default_client()).report_unrecorded(reason)
        return None

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Send a request that is not recorded: a library below, as LiteLLM's transport has, counts it no second time."""
        token = _looked_at.set(True)
        try:
            yield
        finally:
            with suppress(ValueError):  # a coroutine closed from another context
                _looked_at.reset(token)

    def begin_exchange(self, call: Call, url: str, headers: Mapping[str, str]) -> Exchange:
        """Return a new exchange; ``headers`` are looked up in lower case."""
        return Exchange(
            call, url=url, headers=headers, attempt=_attempt(headers), client=self.client, begin=self.begin
        )


def length_of(headers: Mapping[str, str]) -> int | None:
    """Return the body's length according to the headers."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _attempt(headers: Mapping[str, str]) -> int | None:
    for name, offset in _ATTEMPT_HEADERS:
        digits = headers.get(name, "").partition(";")[0].rpartition("=")[2].strip()
        if digits.isdecimal():
            return int(digits) + offset
    return None
