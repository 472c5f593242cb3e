"""Warnings about calls that ``instrument`` records without a provider.

Invariant: each is logged once per host, for at most MOST_HOSTS hosts.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

MOST_HOSTS: Final = 8


class Advice:
    """What has been said in one ``instrument``."""

    def __init__(self) -> None:
        self._told: set[str] = set()

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
