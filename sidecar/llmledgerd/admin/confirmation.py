"""Codes with which somebody confirms what was counted for them. Pure: the caller brings the clock.

Invariant: a code is good once, for SECONDS, for whoever was given it, and for the very extent that was
counted then. It is kept in memory alone, so that it does not outlive the process.
"""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from llmledgerd.query.erasure import Erasure

SECONDS: Final = 300.0
MOST: Final = 64
"""Codes that are kept; the oldest goes first."""


class _Given(msgspec.Struct, frozen=True):
    requester: str
    erasure: Erasure
    until: float


class Confirmations:
    """The codes that were given and not yet used."""

    def __init__(self) -> None:
        self._given: dict[str, _Given] = {}

    def offer(self, requester: str, erasure: Erasure, now: float) -> str:
        """Return the code for what was counted for somebody."""
        while len(self._given) >= MOST:
            del self._given[next(iter(self._given))]
        code = secrets.token_urlsafe(18)
        self._given[code] = _Given(requester, erasure, now + SECONDS)
        return code

    def redeem(self, requester: str, erasure: Erasure, code: str, now: float) -> Erasure:
        """Return what was counted, with its time. Raises ValueError; the code is of no more use either way."""
        given = self._given.pop(code, None)
        if given is None or now > given.until or given.requester != requester:
            raise ValueError("the confirmation is unknown, used or too old: count again")
        if msgspec.structs.replace(given.erasure, until_us=None) != erasure:
            raise ValueError("the confirmation is for another extent: count again")
        return given.erasure
