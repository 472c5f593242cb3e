"""Settings of the question which rows are stored.

Invariant: an answer has every row that matches, or it is an error. A setting of the user's profile that
shortens an answer without an error is overridden here; a profile that forbids the override makes the
question fail, and the daemon then names the setting (``error_codes.pinned_setting``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

QUESTION: Final[Mapping[str, Any]] = {
    "limit": 0,
    "offset": 0,
    "skip_unavailable_shards": 0,
    "use_query_cache": 0,
    "use_query_condition_cache": 0,
    "additional_table_filters": "{}",
    "additional_result_filter": "",
    "apply_deleted_mask": 1,
    "final": 0,
    "extremes": 0,
    # A replica that lags is asked all the same; every replica is asked itself.
    "fallback_to_stale_replicas_for_distributed_queries": 1,
    "enable_parallel_replicas": 0,
    "allow_experimental_parallel_reading_from_replicas": 0,
    # An answer that is cut at a limit is an error.
    "read_overflow_mode": "throw",
    "read_overflow_mode_leaf": "throw",
    "group_by_overflow_mode": "throw",
    "sort_overflow_mode": "throw",
    "result_overflow_mode": "throw",
    "timeout_overflow_mode": "throw",
    "timeout_overflow_mode_leaf": "throw",
    "set_overflow_mode": "throw",
    "join_overflow_mode": "throw",
    "transfer_overflow_mode": "throw",
    "distinct_overflow_mode": "throw",
}

SHARED: Final[Mapping[str, Any]] = {"select_sequential_consistency": 1}
"""Where replicas share their parts, as in ClickHouse Cloud: the one that answers first reads in Keeper
which parts there are. https://clickhouse.com/docs/cloud/reference/shared-merge-tree#consistency"""

PARTLY: Final[Mapping[str, Any]] = {**QUESTION, "skip_unavailable_shards": 1}
"""For the rows of the replicas that answer, where it is known that others do not."""

LONG_BLOCKS: Final[Mapping[str, Any]] = {"preferred_block_size_bytes": 0}
"""A hint for statements that compute with many small columns of many rows. By default a block ends where its columns
have 1 MB; of the few rows that a condition leaves of so small a block, each function costs more to call than to
compute. Blocks have at most 65,409 rows (``max_block_size``) all the same."""
