"""Lines that may be duplicates: of a forgotten session, or of a replay. Pure.

Invariant: such a line is a row exactly if none of another batch, and none that stands before it in its
own, has its organization and its id. So it makes no difference where segments were cut.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import msgspec

from llmledgerd.records.rows import ABANDONED
from llmledgerd.records.schema import COLUMNS, Row
from llmledgerd.records.timestamps import NEVER_US
from llmledgerd.records.twice_told import OTLP

Call = tuple[str, str]
"""Organization and id of a call: other organizations may have calls with the same id."""

REPLAY: Final = "llmledger-replay"
"""Name of the client that sends dead letters again."""

DAY_US: Final = 86_400_000_000
MOST_APART_US: Final = 31 * DAY_US
"""Longest time between the starts that two lines may give for one call. A sender that fetches an answer again may
give the time of the fetch, and providers keep answers for 30 days at most (OpenAI's and Anthropic's documentation
of batches). A start that is more than a day ahead of the receipt is replaced by the receipt, so that a repeat whose
sender's clock is ahead may start that much later than its row."""
ORGANIZATION = COLUMNS.index("organization_id")
ID = COLUMNS.index("id")
SOURCE, OUTCOME = COLUMNS.index("source"), COLUMNS.index("outcome")
CREATED_AT, INGESTED_AT = COLUMNS.index("created_at"), COLUMNS.index("ingested_at")


class Repeat(msgspec.Struct, frozen=True):
    """Row that may be a duplicate, and when the row that it repeats may have started."""

    call: Call
    from_us: int
    to_us: int


def call_of(row: Row) -> Call:
    return row[ORGANIZATION], row[ID]


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
    after that day: so the start of a replayed row says nothing of the row that it repeats. Nor does a start that
    is the time of receipt. The record of an abandoned call may be dated by its own receipt, at any time later.
    Every row made of OTLP is asked about, and is repeated with the same start: its range stays small.
    """
    started_us, received_us = row[CREATED_AT], row[INGESTED_AT]
    if started_us == received_us or client == REPLAY:
        return Repeat(call_of(row), 0, NEVER_US)
    if row[SOURCE] == OTLP:
        return Repeat(call_of(row), started_us - DAY_US, started_us + DAY_US)
    before_us = DAY_US if row[OUTCOME] == ABANDONED else MOST_APART_US
    return Repeat(call_of(row), started_us - before_us, NEVER_US)


def placeholder(row: Row, after_us: int, is_resumed: Callable[[], bool]) -> Repeat | None:
    """Return what is looked up for the abandoned row that a record replaces, if that may be one that was forgotten.

    It may be so if the record was received ``after_us`` after its start or later; without a start, if its session
    ``is_resumed``, that is one that the daemon had forgotten. The row began when the record says, within a day.
    """
    started_us, received_us = row[CREATED_AT], row[INGESTED_AT]
    if row[SOURCE] == OTLP:  # nothing announces these calls
        return None
    if started_us == received_us:
        return Repeat(call_of(row), started_us - MOST_APART_US, NEVER_US) if is_resumed() else None
    if received_us - started_us < after_us:
        return None
    return Repeat(call_of(row), started_us - DAY_US, started_us + DAY_US)


def started_between(repeats: Collection[Repeat]) -> tuple[int, int]:
    """Return the earliest and latest possible start of the rows that these repeat."""
    return min(one.from_us for one in repeats), max(one.to_us for one in repeats)
