"""Who may send over OTLP, and for which organizations.

Invariant: on a loopback address or a Unix socket everybody may send for every organization, as on the record socket.
Elsewhere a token of ``admin_tokens_file`` is required, and its calls belong to the token's organizations. A token that
is limited to metrics, and a request of a web page, may send nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from llmledgerd.admin.auth import Tokens
from llmledgerd.errors import ConfigError

AUTHENTICATE: Final = {"WWW-Authenticate": "Bearer"}


class Denied(Exception):
    """The sender may not send."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


class Access(msgspec.Struct, frozen=True):
    """What a sender may send for."""

    organizations: frozenset[str] | None = None
    """None: all."""

    def organization(self, named: str) -> str:
        """Return the organization of a call that names this one, or none. Raises ValueError if it may not."""
        if self.organizations is None:
            return named
        if not named and len(self.organizations) == 1:
            return next(iter(self.organizations))
        if named not in self.organizations:
            raise ValueError("the token does not allow this organization (llmledger.organization_id)")
        return named


EVERYTHING: Final = Access()


class Gate:
    """Checks requests."""

    def __init__(self, tokens_file: str) -> None:
        """Raises ConfigError for an unreadable file."""
        self._tokens = Tokens(tokens_file)

    def access(self, headers: Mapping[str, str], *, is_local: bool) -> Access:
        """Return what a request's sender may send for. Raises Denied."""
        if "Origin" in headers:
            raise Denied(403, "requests of web pages are refused")
        if is_local:
            return EVERYTHING
        try:
            found = self._tokens.access(headers.get("Authorization", ""))
        except ConfigError:
            found = None
        if found is None:
            raise Denied(401, "a token is required", AUTHENTICATE)
        if found.metrics:
            raise Denied(403, "the token is for the daemon's metrics alone")
        return EVERYTHING if found.operator else Access(found.organizations)
