"""A call is told once, also where later ones came first."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import msgspec

from llmledgerd.cli.tail import OVERLAP, Seen
from llmledgerd.query.results import Call

START = datetime(2025, 3, 1, tzinfo=UTC)
BATCH = uuid.UUID(int=1)


def call(row: int, received: float, batch: uuid.UUID = BATCH) -> Call:
    """Return a call that was received so many seconds after the start."""
    moment = (START + timedelta(seconds=received)).isoformat()
    texts = {field.name: "" for field in msgspec.structs.fields(Call) if field.type is str}
    numbers = {
        field.name: 0 for field in msgspec.structs.fields(Call) if field.type in (int, bool, int | None)
    }
    flags = dict.fromkeys(("is_byok", "is_stream", "is_error"), False)
    own = {"batch_id": str(batch), "batch_row": row, "created_at": moment, "ingested_at": moment}
    return msgspec.convert(
        {
            **texts,
            **numbers,
            **flags,
            "agent_tags": [],
            "usage_units": {},
            "cost_parts": {},
            "cost_usd": None,
            "sent_cost_usd": None,
            **own,
        },
        Call,
        strict=False,
    )


def test_calls_are_told_once_and_oldest_first() -> None:
    seen = Seen([call(0, 0)])

    assert [c.batch_row for c in seen.fresh([call(2, 2), call(1, 1), call(0, 0)])] == [1, 2]
    assert seen.fresh([call(2, 2), call(1, 1)]) == []
    assert seen.newest == START + timedelta(seconds=2)


def test_a_call_that_was_overtaken_is_told_all_the_same() -> None:
    seen = Seen([call(0, 0)])
    seen.fresh([call(9, 9)])

    late = call(3, 3, uuid.UUID(int=2))
    assert seen.fresh([late, call(9, 9)]) == [late]


def test_what_is_not_asked_for_again_is_forgotten() -> None:
    seen = Seen([])
    for row in range(100):
        seen.fresh([call(row, row * OVERLAP.total_seconds())])

    assert len(seen._at) <= 3


def test_nothing_known_is_no_newest() -> None:
    assert Seen([]).newest is None
