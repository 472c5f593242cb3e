"""Lines that may be duplicates: of a forgotten session, or of a replay. Pure.

Invariant: such a line is a row exactly if none of another batch, and none that stands before it in its
own, has its organization and its id. So it makes no difference where segments were cut.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from llmledgerd.records.schema import COLUMNS, Row

Call = tuple[str, str]
"""Organization and id of a call: other organizations may have calls with the same id."""

REPLAY: Final = "llmledger-replay"
"""Name of the client that sends dead letters again."""

DAY_US: Final = 86_400_000_000
ORGANIZATION = COLUMNS.index("organization_id")
ID = COLUMNS.index("id")
CREATED_AT, INGESTED_AT = COLUMNS.index("created_at"), COLUMNS.index("ingested_at")


class Repeat(msgspec.Struct, frozen=True):
    """Row that may be a duplicate."""

    call: Call
    started_us: int | None
    """None where the repeated row may have its own time of receipt instead of the call's."""


def call_of(row: Row) -> Call:
    return str(row[ORGANIZATION]), str(row[ID])


def name_of(call: Call) -> str:
    """Return the name under which the spool keeps a call that has begun; no two calls share one."""
    organization, identifier = call
    return f"{len(organization)}:{organization}{identifier}"


def answered_by(call: Call) -> set[Call]:
    """Return the calls whose begin a record may belong to: its own, and the one that named no organization."""
    return {call, ("", call[1])}


def repeat(row: Row, *, client: str = "") -> Repeat:
    """Return what is looked up for a row that this client sent.

    A time more than a day after the receipt is replaced by it, and no longer when the dead letter is replayed
    after that day: so the start of a replayed row says nothing of the row that it repeats.
    """
    started_us, received_us = int(str(row[CREATED_AT])), int(str(row[INGESTED_AT]))
    is_known = started_us != received_us and client != REPLAY
    return Repeat(call_of(row), started_us if is_known else None)


def started_between(repeats: Collection[Repeat], received_us: int) -> tuple[int, int]:
    """Return the earliest and latest possible start of the rows that these repeat.

    ``received_us`` is the time of receipt of the last one.
    """
    dated = [one.started_us for one in repeats if one.started_us is not None]
    if len(dated) < len(repeats):
        return 0, max(received_us, *dated, 0) + DAY_US
    return min(dated) - DAY_US, max(dated) + DAY_US
