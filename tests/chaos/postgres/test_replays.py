"""A letter that PostgreSQL alone refused is replayed, and ClickHouse has its row already."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmledgerd.importing.dead_letters import replay
from llmledgerd.spool import dead_letters
from tests.chaos.postgres.books import balance
from tests.helpers.exchanges import line
from tests.helpers.object_storage import Folder
from tests.helpers.postgres import query
from tests.helpers.two_stores import TwoStores
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos

RECORDS: list[dict[str, Any]] = [
    {"timestamp": "2026-01-02T03:04:05Z"},
    {"timestamp": "not a time"},
    {"timestamp": "2999-01-01T00:00:00Z"},
    {"latency_ms": 90_000_000},
    {},
]


DAYS_AGO = (
    "INSERT INTO llm_traces SELECT * REPLACE (created_at - INTERVAL 3 DAY AS created_at,"
    " ingested_at - INTERVAL 3 DAY AS ingested_at) FROM llm_traces WHERE id != 'a-0'"
)
"""Calls that were dated by their receipt become calls of three days ago."""


def test_it_is_one_row_in_each_store_whatever_its_time_and_id_are(two: TwoStores, storage: Folder) -> None:
    query(two.postgres_url, "ALTER TABLE provider_traces ADD CONSTRAINT tame CHECK (agent_id <> 'wild')")
    ahead = datetime.now(UTC) + timedelta(days=1, seconds=15)
    sent = [*RECORDS, {"timestamp": ahead.isoformat()}]
    lines = [line(f"a-{number}", number, agent_id="wild", **one) for number, one in enumerate(sent)]
    nameless = json.loads(line("", 9, agent_id="wild"))
    del nameless["provider_trace_id"]
    two.daemon.send_one_way(b"".join([*lines, json.dumps(nameless).encode() + b"\n"]))
    assert two.settled("postgres", 7)["dead_letters"] == 7
    assert two.settled("clickhouse", 7)["stored"] == 7
    query(two.postgres_url, "ALTER TABLE provider_traces DROP CONSTRAINT tame")
    # From now on the time that was refused is one that the daemon takes.
    until(lambda: datetime.now(UTC) + timedelta(days=1) > ahead)
    two.table.run(DAYS_AGO)
    two.table.run("DELETE FROM llm_traces WHERE created_at > now() - INTERVAL 1 DAY")
    for stored, letter in enumerate(dead_letters.read(two.daemon.spool), 1):  # in a segment each
        done = replay(two.daemon.socket, [letter])
        dead_letters.remove(two.daemon.spool, set(done.sent))
        until(lambda stored=stored: two.of("postgres")["stored"] == stored)  # type: ignore[misc]  # a default argument
    assert two.of("clickhouse")["stored"] == 7
    balance_after_replay(two, storage)


def balance_after_replay(two: TwoStores, storage: Folder) -> None:
    assert two.ids("clickhouse") == two.ids("postgres")
    balance(two, storage)
