"""The form of ``llm_traces``: newest first without reading all, the index of each question, the bytes of a run."""

from __future__ import annotations

import contextlib
import random
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmledgerd.query.requests import FindLarge, GetCall, GetStep, GetUsage, ListCalls, QueryRequest
from llmledgerd.query.results import Page
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from tests.helpers.engine import Engine, fresh_database
from tests.helpers.store_rows import add_traces

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NOW_US = time.time_ns() // 1000
HOURS = 150
"""Of calls: six days."""


@pytest.fixture
def store(server_url: str) -> Iterator[Store]:
    with contextlib.closing(Store(server_url)) as opened:
        yield opened


def moments(dice: random.Random, shape: str, count: int) -> list[int]:
    """Return times of calls, of one distribution."""
    if shape == "one hour":
        return [NOW_US - dice.randrange(HOUR_US) for _ in range(count)]
    if shape == "ties":
        return [NOW_US - dice.randrange(4) * 30 * DAY_US for _ in range(count)]
    if shape == "long gaps":
        return [NOW_US - int(10 ** dice.uniform(0, 13.5)) for _ in range(count)]
    if shape == "long ago":
        return [NOW_US - 400 * DAY_US - dice.randrange(DAY_US) for _ in range(count)]
    return [NOW_US + DAY_US - dice.randrange(3 * DAY_US) for _ in range(count)]  # ahead: clocks differ


def planted(dice: random.Random, shape: str, count: int) -> list[dict[str, object]]:
    return [
        {
            "id": str(uuid.UUID(int=dice.getrandbits(128))),
            "organization_id": dice.choice("aab"),
            "agent_id": dice.choice(["often", "often", "often", "rarely"]) if number % 20 else "hardly",
            "run_id": dice.choice(["", "r1", "r2"]),
            "parent_turn_id": dice.choice(["", "t"]),
            "conversation_id": dice.choice(["", "c1", "c2", "c3"]),
            "created_at": at,
            "batch_id": str(uuid.UUID(int=dice.getrandbits(128))),
            "batch_row": dice.randrange(3),
        }
        for number, at in enumerate(moments(dice, shape, count))
    ]


def plain(store: Store, condition: str, **values: object) -> list[object]:
    """Return the ids in the order that lists promise, by one query over all rows."""
    rows = store.query(
        f"SELECT id FROM llm_traces WHERE {condition} ORDER BY created_at DESC, batch_id DESC, batch_row DESC",
        values,
    )
    return [row["id"] for row in rows]


def listed(store: Store, organization: str | None, limit: int, **narrowed: Any) -> list[object]:
    """Return the ids of all pages."""
    found: list[object] = []
    cursor = None
    while True:
        question = ListCalls(limit=limit, cursor=cursor, **narrowed)
        page = StoreAnswers(store).answer(organization, question)
        assert isinstance(page, Page)
        assert len(page.calls) == limit or page.cursor is None
        found += [call.id for call in page.calls]
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("shape", ["one hour", "ties", "long gaps", "long ago", "ahead"])
def test_pages_are_the_plain_list_whatever_the_times(store: Store, shape: str) -> None:
    rows = planted(random.Random(shape), shape, 300)
    add_traces(store, rows)
    middle = sorted(str(row["created_at"]) for row in rows)[150]
    until = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(middle))

    hardly = plain(store, "organization_id = 'a' AND agent_id = 'hardly'")
    assert listed(store, "a", 2, agent_id="hardly") == hardly
    assert listed(store, "a", 90) == plain(store, "organization_id = 'a'")
    assert listed(store, None, 150) == plain(store, "1")
    assert listed(store, "a", 50, agent_id="nobody") == []
    before = plain(
        store, "organization_id = 'b' AND toUnixTimestamp64Micro(created_at) < {us:Int64}", us=middle
    )
    assert listed(store, "b", 40, end_date=until) == before
    assert len(hardly) > 2
    assert len(before) > 2


FILL = """
INSERT INTO llm_traces (id, organization_id, agent_id, step_id, conversation_id, parent_turn_id, turn_id, model, created_at, batch_id, batch_row, ingested_at, request_size_bytes)
SELECT 'call-' || toString(number), 'org-' || toString(number % 4), 'agent-' || toString(intDiv(number, 4) % 3),
    'step-' || toString(number), 'conversation-' || toString(number % 40), 'turn', 'turn-' || toString(number), 'm',
    fromUnixTimestamp64Micro({now:Int64} - intDiv(number, 160) * 3600000000 - number % 160 * 1000000) AS at,
    toUUID('00000000-0000-4000-8000-000000000001'), number, at, 10
FROM numbers({rows:UInt64})
"""


@pytest.fixture(scope="module")
def filled(_shared_engine: Engine) -> Iterator[Store]:
    """Return a store with 40 calls of each of four organizations in every hour, in granules of twenty rows."""
    with fresh_database(_shared_engine.address) as url:
        store = Store(url)
        for file in migrations.Migration.load():
            for statement in file.statements(migrations.Layout()):
                store.run(
                    re.sub(r"SETTINGS\n\s+index_", "SETTINGS index_granularity = 20, index_", statement)
                )
        store.run(FILL, {"rows": HOURS * 160, "now": NOW_US})
        yield store
        store.close()


class Watched:
    """A store that keeps the statements which it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, **others: Any
    ) -> list[dict[str, Any]]:
        self.asked.append((sql, dict(parameters or {})))
        return self._store.query(sql, parameters, **others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def granules(store: Store, organization: str | None, question: QueryRequest) -> tuple[int, int]:
    """Return how many granules of the rows the question's statements choose, and how many there are."""
    watched = Watched(store)
    StoreAnswers(watched).answer(organization, question)  # type: ignore[arg-type]  # it is one for what is asked
    chosen, there = 0, 0
    for sql, values in watched.asked:
        plan = store.query(f"EXPLAIN indexes = 1 {sql}", values)
        text = "\n".join(row["explain"] for row in plan)
        for part in text.split("ReadFromMergeTree")[1:]:
            counts = re.findall(r"Granules: (\d+)/(\d+)", part)
            if ".llm_traces)" in part and counts:
                chosen += int(counts[-1][0])
                there = max(there, int(counts[0][1]))
    return chosen, there


def at(hours: float) -> datetime:
    return datetime.fromtimestamp(NOW_US / 1e6, UTC) - timedelta(hours=hours)


OF_AN_AGENT = ListCalls(limit=100, agent_id="agent-1")  # type: ignore[call-arg]  # declared in query.filters
OF_NOBODY = ListCalls(agent_id="nobody")  # type: ignore[call-arg]  # as above


@pytest.mark.parametrize(
    ("organization", "question", "most"),
    [
        pytest.param("org-1", ListCalls(limit=100), 50, id="newest of an organization"),
        pytest.param("org-1", OF_AN_AGENT, 120, id="newest of an agent"),
        pytest.param(None, ListCalls(limit=100), 50, id="newest of all"),
        pytest.param("org-1", ListCalls(limit=100, end_date=at(100)), 50, id="newest before a time"),
        pytest.param("org-1", OF_NOBODY, 200, id="of an agent without calls"),
        pytest.param("org-1", ListCalls(start_date=at(103), end_date=at(100)), 25, id="of three hours"),
        pytest.param("org-1", ListCalls(received_after=at(2)), 40, id="received lately"),
        pytest.param("org-1", GetCall(id="call-20001"), 60, id="by id"),
        pytest.param("org-1", GetStep(step_id="step-20001"), 60, id="by step"),
        pytest.param("org-1", GetUsage(start_date=at(103), end_date=at(100.5), group_by=("user",)), 15, id="usage"),
        pytest.param("org-1", FindLarge(min_size_bytes=1, start_date=at(103), end_date=at(100)), 15, id="large of three hours"),
    ],
)  # fmt: skip
def test_a_question_reads_the_granules_that_can_answer_it(
    filled: Store, organization: str | None, question: QueryRequest, most: int
) -> None:
    chosen, there = granules(filled, organization, question)

    assert there >= 8 * HOURS
    assert 0 < chosen <= most or (chosen == 0 and "nobody" in str(question))


def test_a_conversation_s_requests_take_about_what_its_last_one_does(store: Store) -> None:
    """Thirty conversations at once, none of whose texts compress: the table is near the sum of the last requests."""
    dice = random.Random(3)
    history = [dice.randbytes(500).hex() for _ in range(30)]
    rows = []
    for step in range(40):
        for number in range(30):
            history[number] += dice.randbytes(500).hex()
            rows.append(
                {
                    "id": f"{number}-{step}",
                    "organization_id": "a",
                    "conversation_id": f"c{number * 7919 % 1000}",
                    "parent_turn_id": "t",
                    "request_json": history[number].encode(),
                    "created_at": NOW_US // HOUR_US * HOUR_US + step * 30_000_000 + number * 1_000_000,
                }
            )
    for first in range(0, len(rows), 100):
        add_traces(store, rows[first : first + 100])
    store.run("OPTIMIZE TABLE llm_traces FINAL")
    (found,) = store.query("SELECT sum(bytes_on_disk) AS size FROM system.parts WHERE active AND table = 'llm_traces' AND database = currentDatabase()")  # fmt: skip

    least = sum(len(text) // 2 for text in history)
    assert found["size"] < 1.6 * least
    stored = store.query("SELECT id, request_json FROM llm_traces", raw=("request_json",))
    assert {row["id"]: row["request_json"] for row in stored} == {
        row["id"]: row["request_json"] for row in rows
    }


def test_times_that_the_sort_key_s_hours_cannot_hold_exclude_nothing(filled: Store) -> None:
    total = filled.query("SELECT count() AS n FROM llm_traces WHERE organization_id = 'org-1'")[0]["n"]
    for low, high in ((-62135596800000000, 253402300799000000), (-1, 2**62), (-(10**15), 5 * 10**15)):
        (found,) = filled.query(
            "SELECT count() AS n FROM llm_traces WHERE organization_id = 'org-1'"
            " AND created_at >= fromUnixTimestamp64Micro({low:Int64}) AND created_at < fromUnixTimestamp64Micro({high:Int64})",
            {"low": low, "high": high},
        )
        assert found["n"] == total
