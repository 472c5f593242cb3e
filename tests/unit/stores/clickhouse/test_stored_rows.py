"""An answer which rows are stored is whole, or it is an error; copies are counted where a quorum is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llmledgerd.errors import AnswerIncomplete, StoreBusy
from llmledgerd.stores.clickhouse.cluster_hosts import (
    Host,
    copies_needed,
    has_every_acknowledged_row,
    thin_rows,
)
from llmledgerd.stores.clickhouse.quorums import Quorums
from llmledgerd.stores.clickhouse.stored_rows import StoredRows
from llmledgerd.stores.clickhouse.topology import Placement

SHARDS = Placement("llm_traces_local", "c", is_replicated=True)
BATCH = "7d3f0000-0000-0000-0000-000000000000"


class Server:
    """Two shards of two replicas, numbered 1 to 4, and what each of them has."""

    insert_mode = "sync"
    is_embedded = False

    def __init__(self, rows: Mapping[int, list[int]], *, place: Placement = SHARDS, quorum: str = "") -> None:
        self.rows, self.place = rows, place
        self.away: set[int] = set()
        self.hidden = 0
        self.settings_of_url = {"insert_quorum": quorum} if quorum else {}
        self.parts = "a_1_1_0"
        self.quorum_nodes: list[dict[str, str]] = []
        self.ran: list[str] = []
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def placement(self, table: str) -> Placement:
        return self.place

    def meet_servers(self, at: int) -> None:
        self.ran.append("meet the servers")

    def run(self, statement: str, **_: object) -> None:
        self.ran.append(statement)

    def query(
        self, sql: str, values: object = None, *, settings: Mapping[str, Any] | None = None, **_: object
    ) -> list[dict[str, Any]]:
        settings = settings or {}
        self.asked.append((sql, settings))
        if self.away and "clusterAllReplicas" in sql and not settings.get("skip_unavailable_shards"):
            raise StoreBusy("network", "ch-4 does not answer", 279)
        if "system.clusters" in sql:
            return [{"shard_num": (n + 1) // 2, "host_name": f"ch-{n}", "port": 9000} for n in (1, 2, 3, 4)]
        if "system.one" in sql:
            return [{"number": n} for n in (1, 2, 3, 4) if n not in self.away]
        if "system.replicas" in sql:
            return [{"path": "/t/it's"}]
        if "system.zookeeper" in sql:
            assert "'/t/it\\'s/quorum/parallel'" in sql
            return self.quorum_nodes
        if "batch_row" in sql:
            return [
                {"batch_row": row, "hosts": hosts, "parts": [self.parts]} for row, hosts in self.rows.items()
            ]
        if "system.parts" in sql:
            return [{"host": 1, "name": "a_1_1_0", "rows": 17}]
        assert "_part" in sql
        return [{"host": 1, "name": "a_1_1_0", "rows": 17 - self.hidden}]

    def ask(self) -> set[int]:
        return StoredRows(self).of_batch("llm_traces", BATCH, 0, 1, 0)  # type: ignore[arg-type]  # as much of a store as is used


def test_rows_on_a_quorum_of_their_shard_are_stored() -> None:
    assert Server({0: [1, 2], 5: [3, 4]}).ask() == {0, 5}


@pytest.mark.parametrize("rows", [{0: [1]}, {0: [1, 2], 5: [4]}])
def test_rows_that_fewer_replicas_have_than_the_quorum_are_waited_for(rows: dict[int, list[int]]) -> None:
    with pytest.raises(StoreBusy, match="fewer replicas than insert_quorum") as caught:
        Server(rows).ask()
    assert caught.value.kind == "replicas"
    assert not isinstance(caught.value, AnswerIncomplete)


def test_servers_behind_one_address_are_counted_where_each_has_rows_of_its_own() -> None:
    single = Server({0: [1]}, place=Placement("llm_traces"))
    assert single.ask() == {0}
    assert single.ran == ["meet the servers"]


ROOT = "/t/it's/quorum"


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (f"{ROOT}/parallel", "a_1_1_0", ""),
        (ROOT, "status", "version: 1\npart_name: a_1_1_0\nrequired_number_of_replicas: 2\n"),
        (f"{ROOT}/failed_parts", "a_1_1_0", ""),
    ],
)
def test_a_row_that_one_of_three_replicas_has_is_waited_for_without_a_cluster_too(
    path: str, name: str, value: str
) -> None:
    server = Server({0: [1]}, place=Placement("llm_traces", is_replicated=True))
    server.quorum_nodes = [{"path": path, "name": name, "value": value}]
    with pytest.raises(
        StoreBusy, match="1 rows of llm_traces are on fewer replicas than insert_quorum"
    ) as caught:
        server.ask()
    assert caught.value.kind == "replicas"

    server.quorum_nodes = [{"path": ROOT, "name": "last_part", "value": "a:a_1_1_0"}]
    assert server.ask() == {0}
    server.quorum_nodes = [{"path": f"{ROOT}/parallel", "name": "a_7_7_0", "value": ""}]
    assert server.ask() == {0}


def test_a_part_that_was_merged_from_one_without_its_quorum_lacks_it_too() -> None:
    quorums = Quorums(frozenset({"a_3_3_0"}), frozenset({"a_8_8_0"}))
    lacking = [name for name in ("a_1_5_1", "a_3_3_0", "a_3_3_0_9", "a_8_8_0") if quorums.lack(name)]
    assert lacking == ["a_1_5_1", "a_3_3_0", "a_3_3_0_9", "a_8_8_0"]
    assert not any(quorums.lack(name) for name in ("a_1_2_1", "b_3_3_0", "a_4_9_1", "all"))


def test_without_a_quorum_keeper_is_not_asked() -> None:
    server = Server({0: [1]}, place=Placement("llm_traces", is_replicated=True), quorum="1")
    assert server.ask() == {0}
    assert not [sql for sql, _ in server.asked if "zookeeper" in sql]


def test_the_quorum_is_that_of_the_url() -> None:
    assert Server({0: [1]}, quorum="1").ask() == {0}


def test_without_a_replica_the_answer_says_that_rows_may_be_missing() -> None:
    server = Server({0: [1, 2]})
    server.away = {4}
    with pytest.raises(AnswerIncomplete, match="ch-4") as caught:
        server.ask()
    assert caught.value.rows == {0}


@pytest.mark.parametrize(
    "place", [SHARDS, Placement("llm_traces"), Placement("llm_traces", is_replicated=True)]
)
def test_a_user_who_sees_fewer_rows_than_the_parts_have_gets_no_answer(place: Placement) -> None:
    server = Server({0: [1, 2]}, place=place)
    server.hidden = 7
    with pytest.raises(StoreBusy, match=r"does not see 7 recent rows.*row policy") as caught:
        server.ask()
    assert caught.value.kind == "hidden_rows"


def test_a_replica_catches_up_before_it_is_asked_and_shared_parts_are_read_in_keeper() -> None:
    replica = Server({}, place=Placement("llm_traces", is_replicated=True))
    cloud = Server({}, place=Placement("llm_traces", is_replicated=True, is_shared=True))
    assert (replica.ask(), cloud.ask()) == (set(), set())
    synced = "SYSTEM SYNC REPLICA llm_traces LIGHTWEIGHT"
    assert (replica.ran, cloud.ran) == ([synced, "meet the servers"], [])
    assert all(settings["select_sequential_consistency"] == 1 for _, settings in cloud.asked)


def test_what_shortens_an_answer_without_an_error_is_set_in_every_question() -> None:
    server = Server({0: [1, 2]})
    server.ask()
    for sql, settings in server.asked:
        if "batch_row" in sql or "_part" in sql:
            assert (settings["limit"], settings["offset"], settings["additional_table_filters"]) == (
                0,
                0,
                "{}",
            )
            assert settings["skip_unavailable_shards"] == settings["use_query_cache"] == 0
            assert {v for k, v in settings.items() if "overflow_mode" in k} == {"throw"}


@pytest.mark.parametrize(
    ("quorum", "replicas", "needed"),
    [("auto", 1, 1), ("auto", 2, 2), ("auto", 3, 2), ("auto", 4, 3), ("0", 3, 1), ("1", 3, 1), ("3", 5, 3)],
)
def test_the_copies_that_are_needed_follow_from_the_quorum(quorum: str, replicas: int, needed: int) -> None:
    assert copies_needed(quorum, replicas) == needed


def test_a_small_table_is_one_table_on_all_hosts() -> None:
    hosts = [Host(1, 1, "a"), Host(2, 1, "b"), Host(3, 2, "c")]
    assert thin_rows({0: [1, 3], 1: [2]}, hosts, "auto", on_all=True) == {1}
    assert thin_rows({0: [1, 3], 1: [2]}, hosts, "auto", on_all=False) == {0, 1}


def test_acknowledged_rows_are_seen_while_every_quorum_has_a_host_that_answers() -> None:
    def shard(*answers: bool) -> list[Host]:
        return [Host(number, 1, "x", up) for number, up in enumerate(answers, 1)]

    assert has_every_acknowledged_row(shard(True, True, False), "auto")
    assert not has_every_acknowledged_row(shard(True, False, False), "auto")
    assert not has_every_acknowledged_row(shard(True, True, False), "1")
    assert not has_every_acknowledged_row([*shard(True), Host(2, 2, "y", False)], "auto")
