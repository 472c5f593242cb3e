"""Calls of two organizations with one id: what happens to one is nothing to the other."""

from __future__ import annotations

import json

import pytest

from tests.chaos.postgres.books import STORES, balance
from tests.chaos.postgres.stage import restart
from tests.helpers import postgres
from tests.helpers.exchanges import line
from tests.helpers.object_storage import Folder
from tests.helpers.session import Session
from tests.helpers.two_stores import TwoStores
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos

COLUMNS = "SELECT organization_id, outcome FROM"


def begin(organization: str) -> bytes:
    begun = {"provider_trace_id": "call", "org_id": organization}
    return json.dumps({"protocol_version": 4, "begin": begun}).encode() + b"\n"


def outcomes(two: TwoStores, store: str) -> list[tuple[str, str]]:
    found = (
        two.table.query(f"{COLUMNS} llm_traces")
        if store == "clickhouse"
        else postgres.query(two.postgres_url, f"{COLUMNS} provider_traces")
    )
    return sorted((str(row["organization_id"]), str(row["outcome"])) for row in found)


def test_a_record_closes_and_replaces_the_call_of_its_own_organization_alone(
    two: TwoStores, storage: Folder
) -> None:
    restart(two, orphan_grace_seconds=1)
    with Session(two.daemon.socket) as session:
        session.hello()
        session.send([begin("one"), begin("other"), begin("third")])
        session.wait_durable(3)
        two.daemon.send_one_way(line("call", 1, org_id="third"))
        for store in STORES:
            two.settled(store, 1)
    given_up = [("one", "abandoned"), ("other", "abandoned"), ("third", "ok")]
    for store in STORES:
        until(lambda store=store: outcomes(two, store) == given_up)  # type: ignore[misc]  # a default argument
    two.daemon.send_one_way(line("call", 1, org_id="one"))
    replaced = [("one", "ok"), ("other", "abandoned"), ("third", "ok")]
    for store in STORES:
        until(lambda store=store: outcomes(two, store) == replaced)  # type: ignore[misc]  # a default argument
    balance(two, storage, replaced=1)
