"""What the questions about caches and prompts cost over many calls: `python bench/cache.py [calls]`.

Runs of 20 steps by 50 agents; 5 of 100 steps have missed. The rows are made in the engine, without payloads.
Figures are milliseconds of the question as the reader asks it: the smallest wall time and CPU time of seven.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import cast

from llmledgerd.query.requests import GetAnatomy, GetCacheMisses, ListCacheMisses, QueryRequest, from_text
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers

STEPS = 20
ROWS = """
INSERT INTO llm_traces (id, organization_id, agent_id, run_id, provider, model, priced_model, request_model,
    prompt_tokens, cached_input_tokens, cache_write_tokens, latency_ms, created_at, ingested_at, tools_hash, system_hash,
    history_hash, parent_history_hash, prefix_hash, prefix_tokens, last_block, cache_left_tokens, cache_left_seconds,
    cache_left_state, cache_gap, lost_rate_fresh, lost_rate_written, turn_hash, parent_turn_hash,
    system_tokens, tools_tokens, history_tokens, result_tokens, file_tokens, new_tokens, batch_row, prompt_parts)
WITH intDiv(number, {steps}) AS run, number % {steps} AS step, run % 50 AS agent,
    sipHash64(number, 1) % 20 = 0 AND step > 0 AS is_miss,
    2000 + 400 * step AS prompt,
    if(step = 0, if(sipHash64(run) % 10 = 0, 0, 1536), if(is_miss, 0, intDiv(prompt - 400, 128) * 128)) AS cached,
    toDateTime64('2026-11-20 00:00:00', 6) + toIntervalMillisecond(intDiv(number, 20) * 600 + step * 20000) AS at
SELECT toString(generateUUIDv4(number)), 'acme', concat('agent-', toString(agent)), concat('run-', toString(run)),
    'openai', 'gpt-5.1', 'gpt-5.1', 'gpt-5.1', prompt, cached, NULL, 9000, at, at, sipHash64(agent, 2) % 9000000000000000000,
    sipHash64(agent, 3, if(is_miss, number, 0)) % 9000000000000000000, sipHash64(number, 4) % 9000000000000000000,
    if(step = 0, 0, sipHash64(toUInt64(number - 1), 4) % 9000000000000000000), sipHash64(if(step = 0, agent, number), 5) % 9000000000000000000,
    prompt - 300, 2 * step, intDiv(prompt, 128) * 128, 300, 'exact',
    if((if(step = 0, 1600, prompt - 320) - cached AS gap) >= 256, gap, 0), 1125000, 1125000, 1 + sipHash64(number, 6) % 9000000000000000000,
    if(step = 0, 0, 1 + sipHash64(toUInt64(number - 1), 6) % 9000000000000000000),
    600, 1000, 400 * step, 200, 0, 200, number, '[[["search","14114349",1000]],0,0,"",0,"","ac57123eac57123e","AU",0]'
FROM numbers({calls})
"""


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"chdb://{Path(folder) / 'clickhouse'}", timeout_seconds=120)
        migrations.apply(store, migrations.Layout(ttl_days=900))
        for start in range(0, calls, 200_000):
            store.run(
                ROWS.format(steps=STEPS, calls=min(200_000, calls - start)).replace(
                    "FROM numbers(", f"FROM numbers({start}, "
                )
            )
        store.run("OPTIMIZE TABLE llm_traces FINAL")
        answers = StoreAnswers(store)
        questions: dict[str, QueryRequest] = {
            "cache, by agent, cause and model": GetCacheMisses(limit=100),
            "cache --calls": ListCacheMisses(limit=20),
            "anatomy by agent": GetAnatomy(group_by=("agent",), limit=100),
            "anatomy of a run": from_text(GetAnatomy, {"run_id": "run-77", "group_by": "call"}),
        }
        for name, question in questions.items():
            walls, cpus = [], []
            for _ in range(7):
                begun, cpu = time.perf_counter(), time.process_time()
                found = answers.answer("acme", question)
                walls.append((time.perf_counter() - begun) * 1000)
                cpus.append((time.process_time() - cpu) * 1000)
            count = len(cast("list[object]", found))
            print(f"{name:36}{min(walls):8.0f} ms{min(cpus):8.0f} ms of CPU  {count} rows")
        store.close()


if __name__ == "__main__":
    main()
