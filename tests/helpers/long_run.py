"""One agent's run of thousands of calls with large requests, made by the engine."""

from __future__ import annotations

import uuid

from llmledgerd.stores.clickhouse.client import Store


def add_long_run(
    store: Store, run: str, calls: int, *, request_bytes: int, start_us: int, organization: str = "a"
) -> None:
    """Insert a chain of calls, one each second; every tenth turn is continued twice."""
    store.run(
        """
        INSERT INTO llm_traces (id, organization_id, conversation_id, turn_id, parent_turn_id, agent_id, call_type,
            provider, model, outcome, usage_source, prompt_tokens, completion_tokens, total_tokens, cost_usd, latency_ms,
            request_size_bytes, response_size_bytes, request_json, response_json, created_at, ingested_at, batch_id,
            batch_row)
        SELECT
            concat({run:String}, '-', toString(number)), {organization:String}, {run:String},
            concat({run:String}, '/', toString(number)),
            if(number = 0, '', concat({run:String}, '/', toString(number - if(number % 10 = 9, 2, 1)))),
            'coder', 'agent_step', 'anthropic', 'claude-sonnet-4-5-20250929', 'ok', 'reported',
            1000 + number * 10, 50, 1050 + number * 10, 0.01, 700,
            2000 + number * 40, 400, repeat('x', {bytes:UInt64}), repeat('y', 400),
            fromUnixTimestamp64Micro({start:Int64} + number * 1000000),
            fromUnixTimestamp64Micro({start:Int64} + number * 1000000), {batch:UUID}, toUInt32(number)
        FROM numbers({calls:UInt64})
        """,
        {
            "run": run,
            "organization": organization,
            "bytes": request_bytes,
            "start": start_us,
            "calls": calls,
            "batch": str(uuid.uuid4()),
        },
        {"max_block_size": 500, "min_insert_block_size_rows": 0, "min_insert_block_size_bytes": 64 << 20},
    )
