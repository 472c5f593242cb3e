"""A daemon that meets faults of its own, which no input is known to cause. Run as ``llmledgerd`` is."""

from __future__ import annotations

from typing import Any

from llmledgerd.cli import daemon
from llmledgerd.records.rows import RowBuilder
from llmledgerd.stores.clickhouse.client import Store

RAISES = "raises-"
"""The beginning of the ids of calls whose rows cannot be built."""

REFUSALS = 2
"""How many inserts fail after their rows have landed."""


def main() -> None:
    build: Any = RowBuilder.steps
    insert: Any = Store.insert_blocks
    left = [REFUSALS]

    def steps(self: RowBuilder, record: Any, **given: Any) -> Any:
        if (record.provider_trace_id or "").startswith(RAISES):
            raise ZeroDivisionError(f"the words of {record.provider_trace_id}")
        return build(self, record, **given)

    def insert_blocks(self: Store, table: str, *given: Any, **more: Any) -> Any:
        done = insert(self, table, *given, **more)
        if table == "llm_traces" and left[0]:
            left[0] -= 1
            raise KeyError("of the driver's")
        return done

    RowBuilder.steps = steps  # type: ignore[method-assign]  # the fault of the scene
    Store.insert_blocks = insert_blocks  # type: ignore[method-assign]  # the fault of the scene
    daemon.main()


if __name__ == "__main__":
    main()
