"""The recorded exchanges: each step reads the same from PostgreSQL as from ClickHouse, to the byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from llmledgerd.query.results import Call
from llmledgerd.reader import LLMTraceReader
from llmledgerd.stores.postgres.migrations import apply
from llmledgerd.stores.postgres.sink import Postgres
from tests.helpers import admin
from tests.helpers.corpus import needs_corpus, records
from tests.helpers.daemon import RunningDaemon
from tests.helpers.waiting import until
from tests.integration.test_corpus_rows import line_of

pytestmark = needs_corpus
ORGANIZATION = "acme"
AT_A_TIME = 4
"""Questions under way."""


def step_lines() -> dict[str, bytes]:
    """Return the record of each exchange by the step that it is given."""
    lines = {}
    for number, exchange in enumerate(records()):
        step = f"step-{number}"
        fields = {
            **json.loads(line_of(exchange)),
            "step_id": step,
            "org_id": ORGANIZATION,
            "tags": [step, "'\"\\"],
        }
        lines[step] = json.dumps(fields).encode() + b"\n"
    return lines


async def _steps(url: str, steps: list[str]) -> dict[str, list[Call]]:
    async with LLMTraceReader(url) as reader:

        async def some(mine: list[str]) -> dict[str, list[Call]]:
            return {step: await reader.get_by_step_id(ORGANIZATION, step, payloads=True) for step in mine}

        parts = await asyncio.gather(*(some(steps[start::AT_A_TIME]) for start in range(AT_A_TIME)))
    return {step: calls for part in parts for step, calls in part.items()}


async def test_every_step_of_the_corpus_is_the_same_from_both_stores(
    postgres_url: str, tmp_path: Path
) -> None:
    lines = step_lines()
    assert len(lines) > 1000
    with contextlib.closing(Postgres(postgres_url)) as store:
        apply(store)
    settings = {"stores": "postgres,clickhouse", "postgres_url": postgres_url}
    with RunningDaemon(tmp_path, settings=settings) as daemon:
        daemon.send_one_way(b"".join(lines.values()))

        def stored() -> bool:
            by_store = admin.status(daemon.folder / "admin.sock")["stores"]
            return all(store["stored"] == len(lines) for store in by_store)

        until(stored)
        through_daemon = await _steps(f"unix:{daemon.folder}/admin.sock", list(lines)[:50])
        assert daemon.terminate() == 0
    from_postgres = await _steps(postgres_url, list(lines))
    from_clickhouse = await _steps(daemon.url, list(lines))
    assert all(len(calls) == 1 for calls in from_clickhouse.values())
    assert from_postgres == from_clickhouse
    assert {step: from_postgres[step] for step in through_daemon} == through_daemon
