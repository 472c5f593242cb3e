"""Where rows lie is read off the engine of their table."""

from __future__ import annotations

import pytest

from llmledgerd.stores.clickhouse.topology import Placement, placement


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("MergeTree PARTITION BY toMonday(at) ORDER BY at", Placement("t")),
        ("ReplicatedMergeTree('/p', 'r') ORDER BY x", Placement("t", is_replicated=True)),
        ("SharedAggregatingMergeTree('/p', 'r') ORDER BY x", Placement("t", is_replicated=True)),
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

    assert [place.changed for place in (single, replica, shards)] == ["t", "t", "t_local ON CLUSTER 'c'"]
    assert [place.caught_up for place in (single, replica, shards)] == [
        "",
        "SYSTEM SYNC REPLICA t LIGHTWEIGHT",
        "SYSTEM SYNC REPLICA ON CLUSTER 'c' t_local LIGHTWEIGHT",
    ]
