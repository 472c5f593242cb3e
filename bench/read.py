"""How long people wait for answers, and how that grows with the table.

Fills an embedded store with generated calls, to 1 and then to 10 million, and prints for each question
the median of seven warm runs by way of the reader, rows and types included, and how much it grew.
Usage is asked twice: as it is answered, and from the rows alone, which is what the rollup saves.

``--beside`` copies the rows into a table whose key is (organization, time), which the engine can read backwards,
and prints the newest calls and usage of both.

``python -m bench.read [--beside] [millions ...]``; 1 and 10 take some minutes and 2 GB under the temporary
folder, which are removed.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from bench import generated_rows
from bench.storage import FORMS, ddl
from llmledgerd.query.requests import ListCalls
from llmledgerd.query.results import CALL_COLUMNS
from llmledgerd.reader import LLMTraceReader
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers

ORG = "org-00"
RUNS = 7
TARGET_MS = 200.0
BY_TIME = "llm_traces_by_time"

QueryRequest = Callable[[], Awaitable[object]]


def grow(url: str, rows: int, seed: int) -> None:
    """Add rows to the store, over the last thirty days."""
    store = Store(url, timeout_seconds=600)
    migrations.apply(store, migrations.Layout(ttl_days=90))
    began = time.perf_counter()
    traffic = generated_rows.Traffic(rows=rows, days=30, end_us=time.time_ns() // 1000, seed=seed)
    for _ in generated_rows.fill(store, traffic):
        pass
    seconds = time.perf_counter() - began
    size = store.query("SELECT sum(bytes_on_disk) / 1e6 AS mb FROM system.parts WHERE active")[0]["mb"]
    print(f"{rows:,} rows more in {seconds:.0f} s ({rows / seconds:,.0f} a second); {size:,.0f} MB in all")
    store.close()


async def questions(reader: LLMTraceReader) -> dict[str, QueryRequest]:
    """Return what is asked, with identifiers that are somewhere in the middle of the table."""
    now = datetime.now(UTC)
    month, middle = now - timedelta(days=30), now - timedelta(days=15)
    page = await reader.list_calls(ORG, end_date=middle, limit=1)
    call = page.calls[0]
    return {
        "usage by model, 30 days": lambda: reader.get_usage_stats(ORG, group_by=["model"], start_date=month),
        "  from the rows alone": lambda: reader.get_usage_stats(
            ORG, group_by=["model", "outcome"], start_date=month
        ),
        "usage by day and model, all": lambda: reader.get_usage_stats(ORG, group_by=["day", "model"]),
        "one agent's last 100 calls": lambda: reader.list_by_agent(ORG, call.agent_id, limit=100),
        "the same, of a rare agent": lambda: reader.list_by_agent("org-49", "org-49-agent-19", limit=100),
        "one organization's last 100": lambda: reader.list_calls(ORG, limit=100),
        "the last 100 errors": lambda: reader.list_calls(ORG, limit=100, is_error=True),
        "one call by id": lambda: reader.get_by_id(ORG, call.id),
        "  with its payloads": lambda: reader.get_by_id(ORG, call.id, payloads=True),
        "one call by step": lambda: reader.get_by_step_id(ORG, call.step_id),
        "the 100 largest": lambda: reader.find_large_requests(ORG),
    }


async def measured(url: str) -> dict[str, float]:
    """Return the median of each question's warm runs, in milliseconds."""
    found = {}
    async with LLMTraceReader(url) as reader:
        for name, ask in (await questions(reader)).items():
            await ask()
            times = []
            for _ in range(RUNS):
                began = time.perf_counter()
                await ask()
                times.append((time.perf_counter() - began) * 1000)
            found[name] = statistics.median(times)
    return found


def copy_by_time(store: Store) -> None:
    """Copy the rows into BY_TIME, in the order of time."""
    store.run(ddl(FORMS["before"]).replace("llm_traces", BY_TIME, 1))
    names = ", ".join(store.columns(BY_TIME))
    for (partition,) in store.table("SELECT DISTINCT _partition_id FROM llm_traces")[1]:
        store.run(
            f"INSERT INTO {BY_TIME} ({names}) SELECT {names} FROM llm_traces WHERE _partition_id = {{id:String}}",
            {"id": partition},
        )


def newest_by_time(store: Store, condition: str) -> object:
    """Return the newest calls of BY_TIME, in one statement that reads backwards."""
    columns = ", ".join(CALL_COLUMNS)
    return store.query(
        f"SELECT {columns} FROM {BY_TIME} WHERE {condition} AND created_at >= (SELECT min(at) FROM"
        f" (SELECT created_at AS at FROM {BY_TIME} WHERE {condition} ORDER BY created_at DESC LIMIT 101))"
        f" ORDER BY created_at DESC, batch_id DESC, batch_row DESC LIMIT 101"
    )


def beside(url: str) -> None:
    """Print how long the newest calls take beside a table in the order of time, and sums of usage."""
    store = Store(url, timeout_seconds=600)
    if not store.columns(BY_TIME):
        copy_by_time(store)
    answers = StoreAnswers(store)
    week = datetime.now(UTC) - timedelta(days=7)
    usage = (
        "SELECT model, count() AS n, sum(total_tokens) AS t, sum(cost_usd) AS c FROM {}"
        f" WHERE organization_id = '{ORG}' AND created_at >= fromUnixTimestamp({int(week.timestamp())})"
        " GROUP BY model ORDER BY model"
    )
    found = {"usage of a week": (usage.format("llm_traces"), usage.format(BY_TIME))}
    asked: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        name: (partial(store.query, now), partial(store.query, before))
        for name, (now, before) in found.items()
    }
    assert store.query(found["usage of a week"][0]) == store.query(found["usage of a week"][1])
    agents = store.table(
        f"SELECT agent_id FROM {BY_TIME} WHERE organization_id = '{ORG}' GROUP BY agent_id ORDER BY count()"
    )[1]
    for name, agent in {
        "organization": "",
        "agent of many": agents[-1][0],
        "agent of few": agents[0][0],
    }.items():
        narrowed = {"agent_id": agent} if agent else {}
        condition = " AND ".join(
            f"{one} = '{value}'" for one, value in ({"organization_id": ORG} | narrowed).items()
        )
        asked[f"newest 100, {name}"] = (
            partial(answers.answer, ORG, ListCalls(limit=100, **narrowed)),
            partial(newest_by_time, store, condition),
        )
    print(f"{'median ms, warm':32}{'as it is':>12}{'by time':>12}{'times':>10}")
    for name, ways in asked.items():
        now, before = (statistics.median(taken(way)) for way in ways)
        print(f"{name:32}{now:12.1f}{before:12.1f}{now / before:10.2f}")
    store.close()


def taken(ask: Callable[[], object]) -> list[float]:
    """Return the milliseconds of some warm runs."""
    ask()
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    return times


def main() -> None:
    given = [text for text in sys.argv[1:] if text != "--beside"]
    millions = [float(text) for text in given] or [1.0, 10.0]
    results = []
    with tempfile.TemporaryDirectory(prefix="llmledger-bench-") as folder:
        url = f"chdb://{folder}/clickhouse"
        there = 0
        for number, size in enumerate(millions):
            rows = int(size * 1e6)
            grow(url, rows - there, seed=number)
            there = rows
            results.append(asyncio.run(measured(url)))
        if "--beside" in sys.argv:
            beside(url)
    heads = "".join(f"{size:>10g} M" for size in millions)
    print(f"{'median ms, warm':32}{heads}{'growth':>10}")
    for name in results[0]:
        row = [result[name] for result in results]
        mark = "" if row[-1] <= TARGET_MS else f"  over {TARGET_MS:g}"
        print(f"{name:32}{''.join(f'{ms:12.1f}' for ms in row)}{row[-1] / row[0]:9.1f}x{mark}")


if __name__ == "__main__":
    main()
