"""Lines that the daemon writes into its own spool, and lines that it refused."""

from __future__ import annotations

import msgspec


class OwnLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Line that the daemon itself appends to the spool, with the same durability as any other."""

    abandoned: bytes | None = None
    """The ``begin`` line of a call whose record has not come."""
    session: str = ""
    service: str = ""
    host: str = ""
    stage: str = ""
    reason: str = ""
    count: int | None = None
    store: str = ""
    """Store that lost the records; empty: all stores."""


class RefusedLine(msgspec.Struct):
    """Rejected line of a session, of which its sender is notified."""

    session: bytes
    number: int
    reason: str
