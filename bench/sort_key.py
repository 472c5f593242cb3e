"""Which sort key of llm_traces answers "one organization, a time range" and "one agent, newest first"?

Fills one table per candidate with the same rows, and prints for each question the median time and
the rows that were read. The rows have no payloads; a granule is set to 512 rows, which is what the
engine makes of rows of 20 KB. Run: ``python bench/sort_key.py [rows]``; 2 million take about a minute.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from typing import Any

import chdb

from llmledgerd.stores.clickhouse import migrations

CANDIDATES = [
    "(organization_id, created_at)",
    "(organization_id, agent_id, created_at)",
    "(organization_id, toStartOfHour(created_at), agent_id, created_at)",
    "(organization_id, toStartOfDay(created_at), agent_id, created_at)",
    "(toStartOfHour(created_at), organization_id, agent_id, created_at)",
]

# Organizations differ in size by a factor of some hundreds, as tenants do; 20 agents each; 30 days.
SOURCE = """
SELECT
    generateUUIDv4() AS id,
    'org-' || toString(toUInt32(pow(cityHash64(number, 1) % 10000 / 10000., 3) * 200)) AS organization_id,
    organization_id || '-agent-' || toString(cityHash64(number, 2) % 20) AS agent_id,
    'step-' || toString(intDiv(number, 3)) AS step_id,
    'run-' || toString(intDiv(number, 40)) AS run_id,
    ['openai', 'anthropic', 'gemini'][cityHash64(number, 3) % 3 + 1] AS provider,
    provider || '-model-' || toString(cityHash64(number, 4) % 7) AS model,
    'agent_step' AS call_type,
    cityHash64(number, 5) % 20000 AS prompt_tokens, cityHash64(number, 6) % 2000 AS completion_tokens,
    prompt_tokens + completion_tokens AS total_tokens,
    toDecimal64(total_tokens / 1e6, 9) AS cost_usd, cityHash64(number, 7) % 50 = 0 AS is_error,
    now64(6, 'UTC') - toIntervalMicrosecond(toInt64((1 - number / {rows}) * 30 * 86400e6)) AS created_at,
    created_at + toIntervalSecond(1) AS ingested_at
FROM numbers({rows})
"""

USAGE = "SELECT model, count(), sum(total_tokens), sum(cost_usd) FROM t WHERE {} GROUP BY model"
LATEST = "SELECT id, model, created_at FROM t WHERE {} ORDER BY created_at DESC LIMIT 100"
LAST_WEEK = "created_at >= now64(6, 'UTC') - INTERVAL 7 DAY"
QUESTIONS = {
    "large org, 7 days": USAGE.format(f"organization_id = 'org-0' AND {LAST_WEEK}"),
    "small org, 7 days": USAGE.format(f"organization_id = 'org-150' AND {LAST_WEEK}"),
    "all orgs, 1 day": USAGE.format("created_at >= now64(6, 'UTC') - INTERVAL 1 DAY"),
    "agent, newest 100": LATEST.format("organization_id = 'org-0' AND agent_id = 'org-0-agent-7'"),
    "small agent, newest": LATEST.format("organization_id = 'org-150' AND agent_id = 'org-150-agent-7'"),
    "org, newest 100": LATEST.format("organization_id = 'org-0'"),
    "by step": "SELECT id FROM t WHERE organization_id = 'org-0' AND step_id = '{step}'",
    "by id": "SELECT id FROM t WHERE id = '{id}'",
}


def build(engine: Any, key: str) -> tuple[float, float]:
    """Create ``t`` with the sort key from ``source``; return seconds taken and MiB on disk."""
    engine.query("DROP TABLE IF EXISTS t SYNC")
    ddl = migrations.Migration.load()[0].statements(migrations.Layout())[0]
    ddl = ddl.replace("llm_traces", "t", 1).replace("fsync_after_insert = 1", "index_granularity = 512")
    engine.query(re.sub(r"PRIMARY KEY .*\nORDER BY .*\n", f"ORDER BY {key}\n", ddl))
    started = time.perf_counter()
    names = "id, organization_id, agent_id, step_id, run_id, provider, model, call_type, prompt_tokens,"
    names += " completion_tokens, total_tokens, cost_usd, is_error, created_at, ingested_at"
    engine.query(f"INSERT INTO t ({names}) SELECT {names} FROM source")
    engine.query("OPTIMIZE TABLE t FINAL")
    size = engine.query("SELECT sum(bytes_on_disk) / 1048576 FROM system.parts WHERE active AND table = 't'")
    return time.perf_counter() - started, float(size.bytes())


def ask(engine: Any, question: str) -> tuple[float, int]:
    """Return the median of seven runs in milliseconds, and the rows read."""
    times = []
    for _ in range(7):
        started = time.perf_counter()
        result = engine.query(question)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times), result.storage_rows_read()


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = chdb.connect(folder)  # type: ignore[no-untyped-call]  # chdb is typed in part
        engine.query("SET use_query_condition_cache = 0")  # it would remember the answers of earlier runs
        source = SOURCE.replace("{rows}", str(rows))
        engine.query(f"CREATE TABLE source ENGINE = MergeTree ORDER BY ingested_at AS {source}")
        found = engine.query("SELECT id, step_id FROM source WHERE organization_id = 'org-0' LIMIT 1", "TSV")
        identifier, step = found.bytes().decode().split()
        for key in CANDIDATES:
            seconds, size = build(engine, key)
            print(f"\nORDER BY {key}: filled in {seconds:.1f} s, {size:.0f} MiB")
            for name, question in QUESTIONS.items():
                median, read = ask(engine, question.replace("{id}", identifier).replace("{step}", step))
                print(f"  {name:20} {median:7.1f} ms {read:9,} rows read")
        engine.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000)
