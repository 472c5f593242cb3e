"""Confirmation codes of erasures. Pure: the caller passes the time.

Invariant: a code is valid once, for SECONDS, for its requester, and for exactly the extent that was
counted. It is kept only in memory, so that it does not outlive the process.
"""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from llmledgerd.query.erasure import Erasure

SECONDS: Final = 300.0
MOST: Final = 64
"""Limit of stored codes; the oldest is dropped first."""


class _Given(msgspec.Struct, frozen=True):
    requester: str
    erasure: Erasure
    until: float


class Confirmations:
    """Codes issued and not yet used."""

    def __init__(self) -> None:
        self._given: dict[str, _Given] = {}

    def offer(self, requester: str, erasure: Erasure, now: float) -> str:
        """Return the code for an extent that was counted for a requester."""
        while len(self._given) >= MOST:
            del self._given[next(iter(self._given))]
        code = secrets.token_urlsafe(18)
        self._given[code] = _Given(requester, erasure, now + SECONDS)
        return code

    def redeem(self, requester: str, erasure: Erasure, code: str, now: float) -> Erasure:
        """Return the counted erasure with its time. Raises ValueError; the code is consumed either way."""
        given = self._given.pop(code, None)
        if given is None or now > given.until or given.requester != requester:
            raise ValueError("the confirmation is unknown, used or expired: count again")
        if msgspec.structs.replace(given.erasure, until_us=None) != erasure:
            raise ValueError("the confirmation belongs to another request: count again")
        return given.erasure
