"""One suite for every kind of store: what the shipper relies on holds in each."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from llmledgerd.errors import BatchRejected, OutcomeUnknown, StoreBusy
from llmledgerd.records.schema import COLUMNS, LOSS_COLUMNS, LOSSES, TRACES
from tests.helpers.columns import some
from tests.helpers.kinds import Kind

NOW_US = time.time_ns() // 1000


@pytest.fixture
def batch() -> str:
    return str(uuid.uuid4())


def row(batch: str, number: int, **values: object) -> tuple[object, ...]:
    """Return a row of ``llm_traces``, empty but for its place and what is named."""
    own = {
        "id": f"{batch}-{number}",
        "batch_id": batch,
        "batch_row": number,
        "created_at": NOW_US,
        "ingested_at": NOW_US + number,
        "agent_tags": [],
        "cost_parts": {},
        "usage_units": {},
        "turn_names": [],
        "opening_names": [],
        "tool_calls": (),
        "tool_results": (),
        "tokens_by_tool": {},
        **values,
    }
    return tuple(own.get(name, some(name)) for name in COLUMNS)


def offer(kind: Kind, rows: list[tuple[object, ...]], token: str = "t") -> set[int]:
    store = kind.outlet.destination
    return store.insert_blocks(TRACES, COLUMNS, [store.encode(TRACES, COLUMNS, rows)], token)


def landed(kind: Kind, batch: str) -> set[int]:
    return kind.outlet.destination.landed_rows(TRACES, batch, NOW_US - 10**9, NOW_US + 10**9)


def kept(kind: Kind, values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name not in kind.left_out}


ODD: dict[str, Any] = {
    "id": "it's\\ \n\r\t odd, \\N and \\.",
    "organization_id": "\\N",
    "agent_tags": ["", "a,b", '"quoted"', "{braces}", "back\\slash", "NULL", "tab\t", "gr\u00fc\u00df"],
    "request_json": b'{"text":"\\u0000\\n\\\\ and \\"quotes\\"","utf8":"\xf0\x9f\x98\x80"}',
    "response_json": b'{"raw\ttab": 1.50}',
    "llm_config_json": b"\\.",
    "usage_json": b'{"prompt_tokens":1}',
    "cached_input_tokens": 0,
    "cache_write_tokens": None,
    "reasoning_tokens": 2**32 - 1,
    "request_size_bytes": 2**40,
    "total_tokens": 2**32 - 1,
    "is_error": 1,
    "status_code": 65_535,
    "attempt": 65_535,
    "cost_usd": Decimal("0.000000001"),
    "error_message": "line\nbreak \u2028 \x01 and \U0001f600",
    "created_at": 1_600_000_000_123_456,
    "protocol_version": 4,
}


def test_values_come_back_as_they_were_given(kind: Kind, batch: str) -> None:
    offer(kind, [row(batch, 0, **ODD), row(batch, 1)])
    odd, plain = kind.rows(TRACES)
    assert {name: odd[name] for name in kept(kind, ODD)} == kept(kind, ODD)
    assert plain == kept(kind, dict(zip(COLUMNS, row(batch, 1), strict=True)))


def test_the_largest_and_the_smallest_cost_survive(kind: Kind, batch: str) -> None:
    costs = [Decimal("999999999.999999999"), Decimal(0), Decimal("0.000000001"), None]
    offer(kind, [row(batch, number, cost_usd=cost) for number, cost in enumerate(costs)])
    assert [found["cost_usd"] for found in kind.rows(TRACES)] == costs


def test_a_batch_of_several_blocks_is_stored_whole(kind: Kind, batch: str) -> None:
    store = kind.outlet.destination
    blocks = [store.encode(TRACES, COLUMNS, [row(batch, n)]) for n in range(5)]
    assert store.insert_blocks(TRACES, COLUMNS, blocks, "t") == set()
    assert landed(kind, batch) == set(range(5))


def test_a_batch_that_is_offered_twice_is_stored_once(kind: Kind, batch: str) -> None:
    rows = [row(batch, number) for number in range(50)]
    assert [offer(kind, rows), offer(kind, rows)] == [set(), set()]
    assert len(kind.rows(TRACES)) == 50


def test_a_batch_whose_answer_was_lost_is_said_to_be_uncertain_and_is_there(kind: Kind, batch: str) -> None:
    rows = [row(batch, number) for number in range(10)]
    offer(kind, [row(str(uuid.uuid4()), 0)], "before")
    kind.cut_next_commit()
    with pytest.raises(OutcomeUnknown):
        offer(kind, rows)
    assert landed(kind, batch) == set(range(10))
    assert offer(kind, rows) == set()
    assert len(kind.rows(TRACES)) == 11


def test_a_row_that_the_table_forbids_rejects_its_batch_and_stores_nothing_of_it(
    kind: Kind, batch: str
) -> None:
    kind.forbid("agent_id <> 'poison'")
    with pytest.raises(BatchRejected, match="no_poison"):
        offer(kind, [row(batch, 0), row(batch, 1, agent_id="poison")])
    assert landed(kind, batch) == set()
    offer(kind, [row(batch, 0)], "its first half")
    assert landed(kind, batch) == {0}


@pytest.mark.parametrize(
    ("column", "value"), [("prompt_tokens", "many"), ("agent_tags", [1]), ("created_at", "now")]
)
def test_a_value_that_no_column_holds_rejects_the_batch_and_names_its_column(
    kind: Kind, batch: str, column: str, value: object
) -> None:
    with pytest.raises(BatchRejected) as caught:
        offer(kind, [row(batch, 0, **{column: value})])
    assert column in str(caught.value)
    assert landed(kind, batch) == set()


def test_the_store_tells_which_rows_of_a_batch_it_has(kind: Kind, batch: str) -> None:
    offer(kind, [row(batch, number) for number in (2, 3, 5)])
    offer(kind, [row(str(uuid.uuid4()), number) for number in range(9)], "another")
    store = kind.outlet.destination
    assert landed(kind, batch) == {2, 3, 5}
    assert store.landed_rows(TRACES, batch, NOW_US + 3, NOW_US + 4) == {3}
    assert store.landed_rows(TRACES, batch, 0, 2**60) == {2, 3, 5}
    assert store.landed_rows(LOSSES, batch, 0, 2**60) == set()


def test_the_store_tells_which_ids_it_has_with_their_record(kind: Kind, batch: str) -> None:
    org = {"organization_id": "org-1"}
    offer(kind, [row(batch, 0, id="here", **org), row(batch, 1, id="given up", outcome="abandoned", **org)])
    ids = [*(f"unknown-{number}" for number in range(2500)), "here", "given up", "nul \0"]
    calls, other = [("org-1", call) for call in ids], str(uuid.uuid4())
    store = kind.outlet.destination
    here = {("org-1", "here")}
    assert store.calls_present(calls, NOW_US - 1, NOW_US + 1, besides=other) == here
    assert store.calls_present(calls, NOW_US + 1, NOW_US + 2, besides=other) == set()
    assert store.calls_present(calls, NOW_US - 1, NOW_US + 1, besides=batch) == set()
    assert store.calls_present([("org-2", "here")], NOW_US - 1, NOW_US + 1, besides=other) == set()
    assert store.calls_present([], NOW_US, NOW_US, besides=other) == set()


def test_a_record_that_comes_late_takes_the_place_of_the_row_that_stood_for_it(
    kind: Kind, batch: str
) -> None:
    offer(
        kind, [row(batch, 0, id="late", outcome="abandoned"), row(batch, 1, id="lost", outcome="abandoned")]
    )
    offer(kind, [row(batch, 2, id="late", outcome="ok", created_at=NOW_US + 5)], "later")
    kind.outlet.destination.delete_abandoned([("", "late"), ("other", "lost")])
    assert {found["id"]: found["outcome"] for found in kind.rows(TRACES)} == {
        "late": "ok",
        "lost": "abandoned",
    }


def test_losses_are_stored_once_with_an_unknown_count_as_null(kind: Kind, batch: str) -> None:
    store = kind.outlet.destination
    given = [
        (NOW_US, "host", "service", "", "client", "sender_died", None, batch, 0, NOW_US),
        (NOW_US, "host", "service", "session", "spool", "spool_full", 7, batch, 1, NOW_US),
    ]
    block = store.encode(LOSSES, LOSS_COLUMNS, given)
    for _ in range(2):
        store.insert_blocks(LOSSES, LOSS_COLUMNS, [block], "losses")
    assert [tuple(found[name] for name in LOSS_COLUMNS) for found in kind.rows(LOSSES)] == given
    assert store.landed_rows(LOSSES, batch, NOW_US, NOW_US) == {0, 1}


def test_a_table_that_is_missing_is_said_and_heals_when_it_is_back(kind: Kind, batch: str) -> None:
    table = kind.table(TRACES)
    offer(kind, [row(batch, 0)])
    rename = "RENAME TABLE {} TO {}" if not kind.is_postgres else "ALTER TABLE {} RENAME TO {}"
    kind.query(rename.format(table, "away"))
    with pytest.raises(StoreBusy) as caught:
        offer(kind, [row(batch, 1)], "second")
    assert caught.value.kind == "missing_table"
    assert any(table in sentence for sentence in kind.outlet.missing())
    kind.query(rename.format("away", table))
    assert kind.outlet.missing() == []
    offer(kind, [row(batch, 1)], "second")
    assert landed(kind, batch) == {0, 1}


def test_what_is_migrated_is_complete_and_is_not_migrated_twice(kind: Kind) -> None:
    assert kind.outlet.missing() == []
    assert kind.outlet.migrate() == []
    assert kind.outlet.version().split()[0] in ("ClickHouse", "PostgreSQL")
