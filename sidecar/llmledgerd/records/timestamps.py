"""Times as microseconds since 1970, and the parsing of a sender's timestamp into them.

Invariant: nothing is rounded, and what a sender's timestamp comes to lies between 2020 and a day after the receipt, so that no sender's clock can
open a partition, or hide a row, in another age.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, overload

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEVER_US: Final = 7_258_118_400_000_000
"""The year 2200, later than any time of a row."""
_FIRST_US: Final = 1_577_836_800_000_000
"""2020-01-01T00:00:00Z."""
_DAY_US: Final = 86_400_000_000
_LONGEST: Final = 64
"""Limit of a timestamp in characters, because patterns that begin with spaces are slow on long runs of spaces."""

_ZONE: Final = re.compile(r"\s*(?:Z|UTC|GMT)\s*$", re.IGNORECASE)
_OFFSET: Final = re.compile(r"\s+([+-]\d\d:?\d\d)(?:\s+[A-Za-z]+)?$")
"""UTC offset after a space, optionally with a zone name, as Go and Ruby print times."""


@overload
def microseconds(moment: datetime) -> int: ...
@overload
def microseconds(moment: None) -> None: ...
def microseconds(moment: datetime | None) -> int | None:
    """Return microseconds since 1970; without a zone the time is UTC.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1))
    1000000
    """
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def created_at_us(timestamp: str | None, received_us: int) -> int | None:
    """Return the start of a call, or ``None`` if the timestamp cannot be used.

    Without a zone it is UTC. Unusable: absent, unreadable, before 2020, or more than a day after
    the receipt (SPEC section 3).
    """
    if not timestamp:
        return None
    try:
        moment: datetime | None = datetime.fromisoformat(timestamp)
    except ValueError:
        moment = _moment(timestamp)
    if moment is None:
        return None
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH
    at_us = since.days * _DAY_US + since.seconds * 1_000_000 + since.microseconds
    return at_us if _FIRST_US <= at_us <= received_us + _DAY_US else None


def _moment(timestamp: str) -> datetime | None:
    """Parse a time that deviates from ISO 8601; None if it is not a time."""
    if len(timestamp) > _LONGEST:
        return None
    plain = _ZONE.sub("+00:00", _OFFSET.sub(r"\1", timestamp.strip()))
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        return None
