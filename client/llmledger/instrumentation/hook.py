"""Common part of all hooks: the settings, and the start of an exchange for a request."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llmledger.client import TraceClient
from llmledger.instrumentation.advice import Advice
from llmledger.instrumentation.exchange import Begin, Exchange, inside
from llmledger.instrumentation.patches import Patches
from llmledger.instrumentation.recognize import Call, Hosts
from llmledger.instrumentation.safety import harmless

_ATTEMPT_HEADERS = (("x-stainless-retry-count", 1), ("amz-sdk-request", 0))
"""OpenAI's, Anthropic's and Groq's SDKs count retries from 0; Amazon's says ``attempt=1; max=3``."""


class Hook(msgspec.Struct, frozen=True):
    """Settings of one ``instrument()``: hosts, client and announcements."""

    hosts: Hosts
    client: TraceClient | None
    begin: Begin
    patches: Patches
    advice: Advice = msgspec.field(default_factory=Advice)

    @harmless
    def recognize(self, method: str, host: str, port: int | None, path: str) -> Call | None:
        """Return the call of this exchange; None if it is not one, or an outer hook observes it."""
        if not self.patches.is_active or inside.get():
            return None
        found = self.hosts.recognize(method, host, port, path)
        if found is None:
            if self.hosts.provider(host, port) is None:
                self.advice.unknown_host(method, host, path)
        elif not found.provider:
            self.advice.no_provider(host)
        return found

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
