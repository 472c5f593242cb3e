"""What one writes in an hour: ``python -m bench.pipeline.naive SOCKET URL BATCH`` reads lines and inserts."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

import clickhouse_connect

COLUMNS = ("id", "organization_id", "agent_id", "run_id", "step_id", "model", "prompt_tokens", "completion_tokens",
           "request_json", "response_json", "created_at", "ingested_at")  # fmt: skip


def row(line: bytes) -> list[Any]:
    """Return a few of the columns."""
    record = json.loads(line)
    usage = record["response"]["usage"]
    return [
        record["provider_trace_id"],
        record.get("org_id", ""),
        record["agent_id"],
        record["run_id"],
        record["step_id"],
        record["response"]["model"],
        usage["prompt_tokens"],
        usage["completion_tokens"],
        json.dumps(record["request"]),
        json.dumps(record["response"]),
        record["timestamp"].rstrip("Z"),
        datetime.now(UTC).isoformat(sep=" ").removesuffix("+00:00"),
    ]


async def main() -> None:
    """Serve until killed."""
    path, url, batch = sys.argv[1:]
    client = clickhouse_connect.get_client(dsn=url, settings={"async_insert": 0})
    waiting: list[list[Any]] = []

    def insert() -> None:
        lines = [json.dumps(dict(zip(COLUMNS, values, strict=True))) for values in waiting]
        client.raw_insert("llm_traces", COLUMNS, "\n".join(lines).encode(), fmt="JSONEachRow")
        waiting.clear()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            waiting.append(row(line))
            if len(waiting) >= int(batch):
                insert()
        if waiting:
            insert()
        writer.close()

    server = await asyncio.start_unix_server(serve, path, limit=1 << 28)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
