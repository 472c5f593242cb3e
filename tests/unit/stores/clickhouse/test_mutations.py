"""A change of rows is recorded without waiting, watched by asking, and replicas that are away are named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llmledgerd.errors import StoreBusy
from llmledgerd.stores.clickhouse.mutations import Mutations
from llmledgerd.stores.clickhouse.topology import Placement

HOSTS = {1: "ch-1", 2: "ch-2", 3: "ch-3"}


class Cluster:
    """Three replicas, of which some answer, and carry a mutation out after some questions."""

    def __init__(self, answering: set[int], done_after: Mapping[int, int]) -> None:
        self.answering, self.done_after = answering, done_after
        self.ran: list[tuple[str, dict[str, Any]]] = []
        self.asked = 0

    def placement(self, table: str) -> Placement:
        return Placement(f"{table}_local", "c", is_replicated=True)

    def run(self, statement: str, values: object, settings: dict[str, Any], **_: object) -> None:
        self.ran.append((statement, settings))

    def query(self, sql: str, *_: object, **__: object) -> list[dict[str, Any]]:
        assert "ON CLUSTER" not in sql
        if "system.mutations" in sql:
            self.asked += 1
            return [
                {"number": one, "is_done": self.asked > self.done_after[one], "fault": "a fault"}
                for one in self.answering & self.done_after.keys()
            ]
        if "system.clusters" in sql:
            return [{"shard_num": 1, "host_name": name, "port": 9000} for name in HOSTS.values()]
        assert "system.one" in sql
        return [{"number": one} for one in self.answering]


def mutations(cluster: Cluster, wait: float = 100.0) -> Mutations:
    waited = [0.0]

    def sleep(seconds: float) -> None:
        waited[0] += seconds

    return Mutations(cluster, wait_seconds=wait, sleep=sleep, now=lambda: waited[0])  # type: ignore[arg-type]  # as much of a store as is used


def test_a_change_returns_when_every_replica_that_answers_has_carried_it_out() -> None:
    cluster = Cluster({1, 2, 3}, {1: 0, 2: 3, 3: 1})

    assert mutations(cluster).change("t", "DELETE", "id = 'a'", {}) == []

    assert cluster.asked == 4
    ((statement, settings),) = cluster.ran
    assert statement.startswith("ALTER TABLE t_local ON CLUSTER 'c' DELETE WHERE (id = 'a') AND '")
    assert settings["mutations_sync"] == 0
    assert settings["distributed_ddl_output_mode"] == "throw_only_active"


def test_a_replica_that_is_down_is_named_and_not_waited_for() -> None:
    cluster = Cluster({1, 3}, {1: 0, 3: 1})
    assert mutations(cluster).change("t", "DELETE", "1", {}) == ["ch-2:9000"]


def test_a_replica_that_has_not_read_the_change_yet_is_waited_for() -> None:
    cluster = Cluster({1, 2}, {1: 0})
    with pytest.raises(StoreBusy, match="not carried out yet by ch-2:9000"):
        mutations(cluster).change("t", "DELETE", "1", {})


def test_a_change_that_fails_is_reported_with_the_server_s_words() -> None:
    cluster = Cluster({1, 2, 3}, {1: 0, 2: 1000, 3: 0})
    with pytest.raises(StoreBusy, match=r"ch-2:9000 \(a fault\)") as caught:
        mutations(cluster, wait=30).change("t", "DELETE", "1", {})
    assert caught.value.kind == "replicas"
