"""Where rows lie is read off the engine of their table."""

from __future__ import annotations

import pytest

from llmledgerd.stores.clickhouse.topology import Placement, placement


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("MergeTree PARTITION BY toMonday(at) ORDER BY at", Placement("t")),
        ("ReplicatedMergeTree('/p', 'r') ORDER BY x", Placement("t", is_replicated=True)),
        (
            "SharedAggregatingMergeTree('/p', 'r') ORDER BY x",
            Placement("t", is_replicated=True, is_shared=True),
        ),
        (
            "Distributed('{cluster}', 'llm', 't_local', cityHash64(organization_id))",
            Placement("t_local", "{cluster}", is_replicated=True),
        ),
        ("Distributed('c', '', 'elsewhere')", Placement("elsewhere", "c", is_replicated=True)),
        ("Join(ANY, LEFT, 'ReplicatedMergeTree')", Placement("t")),
    ],
)
def test_the_engine_tells_where_the_rows_are(engine: str, expected: Placement) -> None:
    assert placement("t", engine) == expected


def test_what_is_changed_and_what_catches_up_is_the_table_with_the_rows() -> None:
    single, replica = Placement("t"), Placement("t", is_replicated=True)
    shards = Placement("t_local", "c", is_replicated=True)
    cloud = Placement("t", is_replicated=True, is_shared=True)
    places = (single, replica, shards, cloud)

    assert [place.changed for place in places] == ["t", "t", "t_local ON CLUSTER 'c'", "t"]
    assert [place.caught_up for place in places] == ["", "SYSTEM SYNC REPLICA t LIGHTWEIGHT", "", ""]
    assert [place.everywhere for place in places] == [
        "t",
        "t",
        "clusterAllReplicas('c', currentDatabase(), t_local)",
        "t",
    ]


def test_no_statement_waits_for_a_replica_that_is_down() -> None:
    for place in (Placement("t_local", "c", is_replicated=True), Placement("t", is_replicated=True)):
        assert place.settings["mutations_sync"] == 0
        assert place.settings["lightweight_deletes_sync"] == 0
