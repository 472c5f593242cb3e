"""The columns of ``llm_traces``, each listed once.

Invariant: the row tuple, the readers' results, the check of migrations, the demo data and docs/table.md
are derived from this list or tested equal to it. A new column is one entry in one of its parts (``call_columns``,
``usage_columns``, ``prompt_columns``) and one migration in each store's DDL.
"""

from __future__ import annotations

import sys
from typing import Any, Final, NamedTuple

from llmledgerd.records.call_columns import CALL
from llmledgerd.records.column import Column
from llmledgerd.records.prompt_columns import PROMPT
from llmledgerd.records.usage_columns import USAGE

TRACES: Final = "llm_traces"
LOSSES: Final = "llm_trace_losses"

Row = tuple[Any, ...]

TABLE: Final[tuple[Column, ...]] = (
    *CALL,
    *USAGE,
    *PROMPT,
    Column("payload_uri", "String", "text", '""', "Where the payloads are in object storage", listed=True),
    Column("protocol_version", "UInt8", "smallint", "record.protocol_version", "Version of the wire"),
    Column("batch_id", "UUID", "uuid", "batch_id", "UUID of the segment", listed=True),
    Column("batch_row", "UInt32", "bigint", "batch_row", "Number of the line in the segment", listed=True),
    Column("ingested_at", "DateTime64(6, 'UTC')", "timestamptz", "received_us", "Receipt", listed=True),
)
"""Columns in the table's order."""

COLUMNS: Final[tuple[str, ...]] = tuple(column.name for column in TABLE)


class Computed(NamedTuple):
    """A column that ClickHouse computes of others when a row is stored or one of them changes."""

    name: str
    clickhouse: str
    expression: str
    meaning: str


COMPUTED: Final[tuple[Computed, ...]] = (
    Computed(
        "organization_hash",
        "UInt64",
        "sipHash64(organization_id)",
        "`organization_id` as a number, which is compared faster",
    ),
    Computed(
        "cache_group",
        "UInt64",
        "sipHash64(agent_id, provider, priced_model)",
        "What `llmledger cache` adds up by, as a number",
    ),
)
"""Columns that no row of ours has and ``SELECT *`` leaves out."""

CLICKHOUSE_COLUMNS: Final = (*COLUMNS, *(one.name for one in COMPUTED))
"""All columns of the table in ClickHouse, in its order."""
BYTES_COLUMNS: Final = frozenset(
    {
        "request_json",
        "response_json",
        "llm_config_json",
        "compaction_settings_json",
        "usage_json",
        "prompt_parts",
        "cache_diagnostics",
    }
)
"""Columns whose values are bytes; every other text is ``str``."""

LOSS_COLUMNS: Final = (
    "at", "host", "service", "session", "stage", "reason", "count", "batch_id", "batch_row", "ingested_at",
)  # fmt: skip
"""Columns of ``llm_trace_losses``; a count of None is a loss of unknown size."""


def reference() -> str:
    """Return the table of docs/table.md."""
    lines = ["| column | ClickHouse | PostgreSQL | meaning |", "|---|---|---|---|"]
    lines += [f"| `{one.name}` | `{one.clickhouse}` | `{one.postgres}` | {one.meaning} |" for one in TABLE]
    lines += ["", "ClickHouse computes these itself (`MATERIALIZED`); `SELECT *` leaves them out:", ""]
    lines += ["| column | ClickHouse | computed as | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | `{one.clickhouse}` | `{one.expression}` | {one.meaning} |" for one in COMPUTED
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
