"""Warnings about calls that ``instrument`` does not record, or records without a provider.

Invariants:
- Each is logged once per host, for at most MOST_HOSTS hosts.
- A request to an unknown host costs one search of its path, for the first MOST_REQUESTS of a process only.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

MOST_HOSTS: Final = 8
MOST_REQUESTS: Final = 1000

_CALL_PATH: Final = re.compile(
    r"/chat/completions$|/v\d+/(?:completions|responses|messages|embeddings)$|/api/(?:chat|generate)$"
    r"|:(?:streamG|g)enerateContent$|/model/[^/]+/(?:converse|invoke)(?:-stream|-with-response-stream)?$"
)
"""Paths that no other kind of service is known to have."""


class Advice:
    """What has been said in one ``instrument``."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._left = MOST_REQUESTS

    def unknown_host(self, method: str, host: str, path: str) -> None:
        """Log that a call to this host is not recorded, if the request looks like a call of a model."""
        if self._left <= 0 or method != "POST" or host in self._told:
            return
        self._left -= 1
        if _CALL_PATH.search(path.rstrip("/")):
            self._say(
                host,
                "a request to %s looks like a call of a model and is not recorded, because the host is no known"
                " provider; to record it: llmledger.instrument(hosts={%r: 'openai'}), with its provider's name",
            )

    def no_provider(self, host: str) -> None:
        """Log that calls to this host are recorded without a provider."""
        if host not in self._told:
            self._say(
                host,
                "calls to %s are recorded without a provider, so that their cost is unknown unless the answer"
                " tells it; name the provider: llmledger.instrument(hosts={%r: 'openai'})",
            )

    def _say(self, host: str, text: str) -> None:
        if len(self._told) >= MOST_HOSTS:
            return
        self._told.add(host)
        warn(text, host, host)


def warn(text: str, *values: object) -> None:
    """Log a warning, whatever the application's handlers raise."""
    with suppress(Exception):
        import logging  # only where it is needed: it is not free to import

        logging.getLogger("llmledger").warning(text, *values)
