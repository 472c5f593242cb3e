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

DAY_US: Final = 86_400_000_000
ORGANIZATION = COLUMNS.index("organization_id")
ID = COLUMNS.index("id")
CREATED_AT, INGESTED_AT = COLUMNS.index("created_at"), COLUMNS.index("ingested_at")


class Repeat(msgspec.Struct, frozen=True):
    """Row that may be a duplicate."""

    call: Call
    started_us: int | None
    """None without a timestamp: the repeated row then has its own time of receipt."""


def call_of(row: Row) -> Call:
    return str(row[ORGANIZATION]), str(row[ID])


def repeat(row: Row) -> Repeat:
    started_us, received_us = int(str(row[CREATED_AT])), int(str(row[INGESTED_AT]))
    return Repeat(call_of(row), None if started_us == received_us else started_us)


def started_between(repeats: Collection[Repeat], received_us: int) -> tuple[int, int]:
    """Return the earliest and latest possible start of the rows that these repeat.

    ``received_us`` is the time of receipt of the last one.
    """
    dated = [one.started_us for one in repeats if one.started_us is not None]
    if len(dated) < len(repeats):
        return 0, max(received_us, *dated, 0) + DAY_US
    return min(dated) - DAY_US, max(dated) + DAY_US
