"""Settings of inserts into ClickHouse.

Invariant: an answer means that every row is stored, under the token it came with, on as many replicas
as were asked for. That holds for both modes; ``async`` lets the server write the inserts of many
daemons as one part, and answer each when that part is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmledgerd.config.options import STATEMENT_SECONDS
from llmledgerd.stores.clickhouse.options import InsertMode
from llmledgerd.stores.clickhouse.sent_settings import Declared, sendable

EVERY: Mapping[str, Any] = {
    # In 26.x the first rules and the second is ignored; older servers know the second alone.
    "deduplicate_insert": "enable",
    "insert_deduplicate": 1,
    # A view's part may come after the table's by no more than that; rebuilding waits for longer.
    "max_execution_time": STATEMENT_SECONDS,
    # One insert stays one block, and so one part in each partition and one commit.
    "max_insert_block_size": 1 << 30,
    "min_insert_block_size_rows": 1 << 30,
    "min_insert_block_size_bytes": 1 << 40,
    # A Distributed table answers when the shards have, and not when it has put the rows aside. The
    # second is what the first was called before 23.11.
    "distributed_foreground_insert": 1,
    "insert_distributed_sync": 1,
    # The majority of a table's replicas; a table without replicas has nothing to count.
    "insert_quorum": "auto",
    # Without it a server answers 200 first and appends its exception to the body.
    "wait_end_of_query": 1,
}

MODES: Mapping[InsertMode, Mapping[str, Any]] = {
    "sync": {
        # Newer servers default it to 1, which is a choice and has to be made by the operator.
        "async_insert": 0,
        # A view's target then drops the repeat of a block that its source drops.
        "deduplicate_blocks_in_dependent_materialized_views": 1,
    },
    "async": {
        "async_insert": 1,
        "wait_for_async_insert": 1,
        "async_insert_deduplicate": 1,
        # Servers before 26.1 refuse it together with the first. A repeat then goes to no view at all,
        # and what a view missed is mended: the hours of rows found by asking are in doubt.
        "deduplicate_blocks_in_dependent_materialized_views": 0,
    },
}

TRANSPORT_SETTINGS = {"wait_end_of_query"}
"""Consumed by HTTP itself, and in no server's list of settings."""

OPERATOR_MAY_SET = {"insert_quorum", "insert_quorum_parallel", "insert_quorum_timeout"}
"""What the URL says of these goes before what is said here; the rest is what the promise rests on."""


def insert_settings(
    mode: InsertMode, token: str, of_url: Mapping[str, str], known: Mapping[str, Declared]
) -> dict[str, Any]:
    """Return the settings of one insert, of those that the server knows.

    Raises StoreBusy for one that the user's profile pins to another value.
    """
    wanted = {**EVERY, **MODES[mode], "insert_deduplication_token": token}
    ours = {k: v for k, v in wanted.items() if not (k in of_url and k in OPERATOR_MAY_SET)}
    transport = {name: ours.pop(name) for name in TRANSPORT_SETTINGS}
    return {**sendable(ours, known), **transport}
