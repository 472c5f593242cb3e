"""Calls that look like LLM calls, at hosts that nobody named: a gateway that would be missed silently.

Invariants:
- Of any other exchange nothing but its method and the last part of its path is looked at.
- A host is named with its port and nothing else: no path, no credentials, and of ``MOST_HOSTS`` at most.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import msgspec

from llmledger.instrumentation.bodies import LOOKED_INTO_BYTES
from llmledger.timing import LogRateLimit

REASON: Final = "unknown_host"
"""Reason under which such calls are reported, followed by ``:`` and the host."""

MOST_HOSTS: Final = 50
"""Hosts counted by name in a process; a crawler could meet any number."""

_ENDS: Final = frozenset(
    {"completions", "responses", "messages", "complete", "embeddings", "embed", "rerank", "chat", "generate"}
    | {
        "generate_stream",
        "converse",
        "converse-stream",
        "invoke",
        "invoke-with-response-stream",
        "invocations",
    }
    | {"predictions", "interactions", "ocr", "inference:complete", "generation"}
)
_GEMINI: Final = re.compile(r":(?:streamGenerate|generate|embed|batchEmbed)Contents?$")
_HOST: Final = re.compile(r"[\w.:\[\]-]{1,100}")


class _Body(msgspec.Struct):
    """Members that together tell an LLM call from other APIs with such paths, of which only types are read."""

    model: Any = None
    messages: list[Any] | None = None
    input: Any = None
    inputs: Any = None
    prompt: Any = None
    contents: Any = None
    query: Any = None
    documents: list[Any] | None = None
    anthropic_version: Any = None

    def is_call(self) -> bool:
        """Return whether the body is a model's request by any provider's reference."""
        if isinstance(self.contents, list) or (self.messages and self._has_roles()):
            return True
        has_input = any(one is not None for one in (self.messages, self.input, self.inputs, self.prompt))
        has_ranking = self.query is not None and self.documents is not None
        return isinstance(self.model, str) and (has_input or has_ranking)

    def _has_roles(self) -> bool:
        return all(
            isinstance(one, dict) and "role" in one and "content" in one for one in self.messages or ()
        )


_decode = msgspec.json.Decoder(_Body).decode


def may_be_call(method: str, path: str) -> bool:
    """Return whether method and path are those of some provider's call.

    >>> may_be_call("POST", "/team/v1/chat/completions")
    True
    """
    if method != "POST":
        return False
    return path.rstrip("/").rpartition("/")[2] in _ENDS or _GEMINI.search(path) is not None


def looks_like_call(body: Any) -> bool:
    """Return whether a request's body, as bytes, text or a dict, is that of an LLM call."""
    try:
        if isinstance(body, dict):
            return msgspec.convert(body, _Body).is_call()
        if isinstance(body, str):
            body = body.encode()
        return isinstance(body, bytes) and len(body) <= LOOKED_INTO_BYTES and _decode(body).is_call()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


class UnknownHosts:
    """Names of the hosts that were met, and when each may be logged."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._limit = LogRateLimit()
        self._lock = threading.Lock()

    def met(self, host: str, port: int | None) -> str:
        """Return the reason to report a call under; log the host once in ten minutes."""
        name = host.lower() if port in (None, 80, 443) else f"{host.lower()}:{port}"
        with self._lock:
            if not _HOST.fullmatch(name) or (name not in self._names and len(self._names) >= MOST_HOSTS):
                name = ""
            self._names.add(name)
            is_due = self._limit.is_due(name, monotonic())
        if is_due:
            _warn(name or "further hosts")
        return f"{REASON}:{name}" if name else REASON


def _warn(host: str) -> None:
    with suppress(Exception):  # a log handler or filter of the application may raise
        import logging  # imported only when needed: it is a third of the import time

        logging.getLogger("llmledger").warning(
            "calls that look like LLM calls go to %s, which is no known provider: they are not recorded; "
            "name it in instrument(hosts=[…]), or record all such calls with instrument(unknown_hosts=True)",
            host,
        )
