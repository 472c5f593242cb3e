"""Names and columns of the tables in PostgreSQL. Pure."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from llmledgerd.records.schema import COLUMNS, LOSS_COLUMNS, LOSSES, TRACES

Content = Literal["full", "metadata"]

PAYLOADS: Final = ("request_json", "response_json", "llm_config_json", "compaction_settings_json")
"""Columns that metadata leaves out. The provider's usage object stays: it is small, and explains the numbers."""


class Table(msgspec.Struct, frozen=True):
    """One table; rows with the same ``key`` are repeats."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


FULL: Final = Table("provider_traces", COLUMNS, ("id", "organization_id"))
METADATA: Final = Table(
    "provider_trace_metadata", tuple(name for name in COLUMNS if name not in PAYLOADS), ("created_at", "id")
)


def tables(content: Content) -> dict[str, Table]:
    """Return the tables that are written, by their names in ``records.schema``."""
    return {
        TRACES: FULL if content == "full" else METADATA,
        LOSSES: Table("llm_trace_losses", LOSS_COLUMNS, ("batch_id", "batch_row")),
    }
