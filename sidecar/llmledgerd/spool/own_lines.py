"""Lines that the daemon writes into its own spool, and lines that it refused."""

from __future__ import annotations

import msgspec


class OwnLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What the daemon itself appends to the spool, so that it is stored as surely as anything."""

    abandoned: bytes | None = None
    """The ``begin`` line of a call whose record has not come."""
    session: str = ""
    service: str = ""
    host: str = ""
    stage: str = ""
    reason: str = ""
    count: int | None = None
    store: str = ""
    """Which store alone lost something; empty: it is lost to all."""


class RefusedLine(msgspec.Struct):
    """A line of a session that its sender has to be told of."""

    session: bytes
    number: int
    reason: str
