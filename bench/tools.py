"""How long questions about tools, attempts and the speed of answers take.

Fills an embedded store with generated calls, of which six in ten ask for tools, and one in fifty failed and was sent
again, and prints for each question the smallest and the median wall time of seven warm runs, and the smallest CPU time:
on a machine that does something else the first two are too large.

``python -m bench.tools [millions]``
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from bench import generated_rows
from llmledgerd.reader import ALL_ORGANIZATIONS, LLMTraceReader
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store

RUNS = 7
TOOLS = """
ALTER TABLE llm_traces UPDATE
    request_hash = cityHash64(run_id, if(is_error OR attempt > 1, 0, batch_row)) % 9223372036854775807 + 1,
    tool_calls = if(batch_row % 10 < 6, arrayMap(i -> (cityHash64(batch_id, batch_row, i),
        concat('call_', hex(cityHash64(id, i))), concat('tool_', toString(cityHash64(id, i, 1) % 30)),
        cityHash64(id, i, 2) % 1000000, toUInt32(120)), range(1 + (batch_row % 7 = 0))), []),
    tool_results = if((batch_row - 1) % 10 < 6, arrayMap(i -> (cityHash64(batch_id, toUInt32(batch_row - 1), i),
        toUInt32(800), toUInt8(if(cityHash64(id) % 20 = 0, 1 + cityHash64(id, 3) % 2, 0))),
        range(1 + ((batch_row - 1) % 7 = 0))), []),
    tokens_by_tool = map(concat('tool_', toString(cityHash64(id) % 30)), toUInt32(500), 'tool_2', toUInt32(700))
WHERE 1 SETTINGS mutations_sync = 1
"""


def fill(url: str, rows: int) -> None:
    """Fill the store. Its rows know nothing of tools, which are added by a statement."""
    store = Store(url, timeout_seconds=600)
    migrations.apply(store, migrations.Layout(ttl_days=90))
    traffic = generated_rows.Traffic(rows=rows, days=30, end_us=time.time_ns() // 1000)
    for _ in generated_rows.fill(store, traffic):
        pass
    store.run(TOOLS)
    (found,) = store.query(
        "SELECT sum(length(tool_calls)) AS calls, countIf(is_error) AS errors FROM llm_traces"
    )
    print(f"{rows:,} rows, {found['calls']:,} calls of tools, {found['errors']:,} failed calls")
    store.close()


def questions(reader: LLMTraceReader) -> dict[str, Callable[[], Awaitable[object]]]:
    month = datetime.now(UTC) - timedelta(days=31)
    everybody = ALL_ORGANIZATIONS
    return {
        "tools": lambda: reader.get_tools(everybody, start_date=month),
        "calls of tools": lambda: reader.list_tool_calls(everybody, start_date=month, limit=100),
        "calls of one call": lambda: reader.list_tool_calls("org-00", id="x"),
        "retries": lambda: reader.get_retries(everybody, start_date=month),
        "retried calls": lambda: reader.list_retried_calls(everybody, start_date=month),
        "speed by model": lambda: reader.get_usage_stats(everybody, group_by=["model"], start_date=month),
        "speed by day and model": lambda: reader.get_usage_stats(everybody, group_by=["day", "model"]),
    }


async def measured(url: str) -> None:
    async with LLMTraceReader(url) as reader:
        for name, ask in questions(reader).items():
            await ask()
            walls, cpus = [], []
            for _ in range(RUNS):
                began, cpu = time.perf_counter(), time.process_time()
                await ask()
                walls.append((time.perf_counter() - began) * 1000)
                cpus.append((time.process_time() - cpu) * 1000)
            print(
                f"{name:24}{min(walls):8.0f} ms{statistics.median(walls):8.0f} ms{min(cpus):8.0f} ms of CPU"
            )


def main() -> None:
    rows = int(float(sys.argv[1] if len(sys.argv) > 1 else 1) * 1e6)
    with tempfile.TemporaryDirectory(prefix="llmledger-bench-") as folder:
        url = f"chdb://{folder}/clickhouse"
        fill(url, rows)
        asyncio.run(measured(url))


if __name__ == "__main__":
    main()
