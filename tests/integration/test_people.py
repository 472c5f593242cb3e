"""What people and services see of a store, and what they cannot."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from llmledgerd.query.requests import GROUPS
from llmledgerd.reader import ALL_ORGANIZATIONS, LLMTraceReader
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import prefork
from tests.helpers.engine import running_engine
from tests.helpers.migrated_databases import Lend, copy_migrated
from tests.helpers.store_rows import add_traces

NOW = time.time_ns() // 1000
MINUTE = 60_000_000
REQUEST = b'{"messages":[{"role":"user","content":"Hello\x1b[2Jthere"}]}'
USAGE = b'{"prompt_tokens":10}'
RESPONSE = b'{"choices":[{"message":{"role":"assistant","content":"Hi."}}]}'

CALLS: list[dict[str, object]] = [
    {"id": "a-1", "organization_id": "a", "agent_id": "smith", "step_id": "s1", "model": "m1", "provider": "openai",
     "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost_usd": Decimal("0.25"), "outcome": "ok",
     "usage_source": "reported", "latency_ms": 100, "created_at": NOW - 30 * MINUTE,
     "request_size_bytes": len(REQUEST), "usage_json": USAGE, "request_json": REQUEST, "response_json": RESPONSE},
    {"id": "a-2", "organization_id": "a", "agent_id": "smith", "step_id": "s1", "attempt": 2, "model": "m1",
     "prompt_tokens": 1, "total_tokens": 1, "usage_source": "partial", "is_error": 1, "outcome": "cancelled",
     "error_type": "cancelled", "latency_ms": 300, "created_at": NOW - 20 * MINUTE},
    {"id": "a-3", "organization_id": "a", "agent_id": "jones", "model": "m2", "usage_source": "unknown",
     "outcome": "ok", "created_at": NOW - 3 * 1440 * MINUTE},
    {"id": "b-1", "organization_id": "b", "agent_id": "smith", "step_id": "s1", "model": "m1", "prompt_tokens": 7,
     "completion_tokens": 0, "total_tokens": 7, "cached_input_tokens": 4, "cost_usd": Decimal("1.5"),
     "usage_source": "reported", "outcome": "ok", "created_at": NOW - 10 * MINUTE},
]  # fmt: skip


@pytest.fixture(scope="module", params=[pytest.param("embedded", marks=pytest.mark.slow), "server"])
def filled_url(
    request: pytest.FixtureRequest, lend: Lend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the URL of a store that holds CALLS, is open in nobody, and is only read."""
    with contextlib.ExitStack() as ends:
        if request.param == "server":
            url = ends.enter_context(lend())
        else:
            folder = tmp_path_factory.mktemp("people") / "clickhouse"
            copy_migrated(folder)
            url = f"chdb://{folder}"
        store = Store(url, timeout_seconds=30)
        add_traces(store, CALLS)
        store.close()
        yield url


@pytest_asyncio.fixture
async def reader(filled_url: str) -> AsyncIterator[LLMTraceReader]:
    async with LLMTraceReader(filled_url) as opened:
        yield opened


async def test_a_call_is_found_by_id_with_its_payloads_where_asked_for(reader: LLMTraceReader) -> None:
    call = await reader.get_by_id("a", "provider_trace-a-1")
    whole = await reader.get_by_id("a", "a-1", payloads=True)

    assert call is not None
    assert whole is not None
    assert call.payloads is None
    assert whole.payloads is not None
    assert (whole.payloads.request_json, whole.payloads.response_json) == (REQUEST, RESPONSE)
    assert whole.payloads.usage_json == USAGE
    assert (call.cost_usd, call.cached_input_tokens, call.total_tokens) == (Decimal("0.25"), None, 15)
    assert await reader.get_by_id("a", "nobody") is None


async def test_a_step_has_its_calls_oldest_first(reader: LLMTraceReader) -> None:
    assert [call.id for call in await reader.get_by_step_id("a", "s1")] == ["a-1", "a-2"]


async def test_another_organization_s_rows_are_never_returned(reader: LLMTraceReader) -> None:
    assert await reader.get_by_id("a", "b-1") is None
    assert [call.id for call in await reader.get_by_step_id("b", "s1")] == ["b-1"]
    assert [call.id for call in (await reader.list_by_agent("b", "smith")).calls] == ["b-1"]
    assert [u.requests for u in await reader.get_usage_stats("b")] == [1]
    assert len((await reader.list_calls(ALL_ORGANIZATIONS)).calls) == 4


@pytest.mark.parametrize(
    "organization",
    ["", "%", "*", "a' OR '1'='1", "all", "a\\", "{organization:String}", "AllOrganizations.ALL"],
)
async def test_no_text_is_more_than_one_organization(reader: LLMTraceReader, organization: str) -> None:
    assert (await reader.list_calls(organization)).calls == []
    assert await reader.get_by_id(organization, "a-1") is None
    assert await reader.get_usage_stats(organization) == []


@pytest.mark.parametrize(
    "text",
    [
        "smith' OR 1=1 --",
        "smith\\",
        "%",
        "{organization:String}",
        "smith\x00",
        "smith'); DROP TABLE llm_traces",
    ],
)
async def test_no_value_becomes_sql(reader: LLMTraceReader, text: str) -> None:
    assert (await reader.list_by_agent("a", text)).calls == []
    assert (await reader.list_by_agent("a", "smith", call_type=text)).calls == []
    assert await reader.get_by_step_id("a", text) == []
    with pytest.raises(ValueError, match="cannot group by"):
        await reader.get_usage_stats("a", group_by=[text])
    with pytest.raises(ValueError, match="cursor"):
        await reader.list_by_agent("a", "smith", cursor=text)


async def test_lists_are_newest_first_and_narrowed(reader: LLMTraceReader) -> None:
    async def ids(**narrowed: object) -> list[str]:
        page = await reader.list_by_agent("a", "smith", **narrowed)  # type: ignore[arg-type]  # each test names its own
        return [call.id for call in page.calls]

    middle = datetime.fromtimestamp((NOW - 25 * MINUTE) / 1e6, UTC)
    assert await ids() == ["a-2", "a-1"]
    assert await ids(is_error=True) == ["a-2"]
    assert await ids(is_error=False) == ["a-1"]
    assert await ids(start_date=middle) == ["a-2"]
    assert await ids(end_date=middle) == ["a-1"]
    assert await ids(end_date=middle.replace(tzinfo=None)) == ["a-1"]
    assert await ids(call_type="embedding") == []
    assert [call.id for call in (await reader.list_calls("a", min_size_bytes=len(REQUEST))).calls] == ["a-1"]
    assert (await reader.list_calls("a", min_size_bytes=len(REQUEST) + 1)).calls == []


async def test_pages_neither_repeat_nor_skip_while_rows_arrive(store: Store, store_url: str) -> None:
    """Also among calls that started in the same microsecond."""
    same = [
        {"id": f"old-{n}", "organization_id": "a", "agent_id": "x", "created_at": NOW - n // 5}
        for n in range(23)
    ]
    add_traces(store, same)
    store.close()
    seen: list[str] = []
    cursor = None
    async with LLMTraceReader(store_url) as reader:
        for _ in range(5):
            page = await reader.list_by_agent("a", "x", limit=5, cursor=cursor)
            seen += [call.id for call in page.calls]
            cursor = page.cursor
            writer = Store(store_url)
            add_traces(
                writer, [{"id": "new", "organization_id": "a", "agent_id": "x", "created_at": NOW + MINUTE}]
            )
            writer.close()

    assert cursor is None
    assert sorted(seen) == sorted(str(row["id"]) for row in same)


async def test_sums_say_what_they_could_not_count(reader: LLMTraceReader) -> None:
    m1, m2 = await reader.get_usage_stats("a")

    assert (m1.group, m1.requests, m1.prompt_tokens, m1.total_tokens) == ({"model": "m1"}, 2, 11, 16)
    assert (m1.cost_usd, m1.unknown_cost, m1.partial_usage, m1.unknown_usage) == (Decimal("0.25"), 1, 1, 0)
    assert (m1.errors, m1.latency_avg_ms, m1.latency_p50_ms) == (1, 200, 100)  # the nearest rank
    assert (m2.requests, m2.total_tokens, m2.cost_usd, m2.unknown_usage, m2.unknown_cost) == (
        1,
        0,
        Decimal(0),
        1,
        1,
    )
    assert (m2.latency_avg_ms, m2.latency_p99_ms) == (None, None)


async def test_usage_is_grouped_by_everything_that_is_promised(reader: LLMTraceReader) -> None:
    for name in GROUPS:
        found = await reader.get_usage_stats(ALL_ORGANIZATIONS, group_by=[name])
        assert sum(usage.requests for usage in found) == 4
    (one,) = await reader.get_usage_stats(ALL_ORGANIZATIONS, group_by=[])
    assert (one.group, one.requests, one.cost_usd, one.cached_input_tokens) == ({}, 4, Decimal("1.75"), 4)
    both = await reader.get_usage_stats(ALL_ORGANIZATIONS, group_by=["organization", "model"])
    assert [usage.group for usage in both][:1] == [{"organization": "b", "model": "m1"}]


async def test_the_most_expensive_groups_are_had_alone(reader: LLMTraceReader) -> None:
    whole = await reader.get_usage_stats(ALL_ORGANIZATIONS, group_by=["agent"])
    assert len(whole) > 1
    assert await reader.get_usage_stats(ALL_ORGANIZATIONS, group_by=["agent"], limit=1) == whole[:1]


# The command, as a person or a script runs it: in a process of its own, into a pipe.


def run(*arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LLMLEDGER_", "CLICKHOUSE_"))
    }
    if url:
        environment["LLMLEDGER_CLICKHOUSE_URL"] = url
    return prefork.run("llmledger", *arguments, environment=environment)


def test_traces_lists_whole_lines_without_color(filled_url: str) -> None:
    done = run("traces", url=filled_url)

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert lines[0].split()[:2] == ["TIME", "ID"]
    assert [line.split()[2] for line in lines[1:]] == ["b-1", "a-2", "a-1", "a-3"]
    assert lines[2].split()[-1] == "cancelled"
    assert len(lines[4].split()[1:]) == len(lines[1].split()[1:])  # what is unknown is a dash, not a gap


def test_traces_narrows_and_writes_json(filled_url: str) -> None:
    done = run(
        "traces", "--org", "a", "--errors", "--since", "1h", "--agent", "smith", "--json", url=filled_url
    )

    (call,) = map(json.loads, done.stdout.splitlines())
    assert (call["id"], call["is_error"], call["cost_usd"]) == ("a-2", True, None)
    assert run("traces", "--model", "m9", "--json", url=filled_url).stdout == ""
    none = run("traces", "--model", "m9", url=filled_url)
    assert (none.returncode, none.stderr) == (1, "llmledger: no calls found\n")


def test_trace_shows_numbers_and_the_conversation(filled_url: str) -> None:
    done = run("trace", "a-1", "--url", filled_url)

    assert done.returncode == 0, done.stderr
    assert "10 in, 5 out, 15 total (reported)" in done.stdout
    assert "[user]\nHello\ufffd[2Jthere\n\n[assistant]\nHi.\n" in done.stdout


def test_trace_raw_is_the_payloads_and_nothing_else(filled_url: str) -> None:
    done = run("trace", "a-1", "--raw", url=filled_url)

    assert done.stdout.encode() == REQUEST + b"\n" + RESPONSE + b"\n"


def test_a_trace_that_is_not_there_is_said_in_one_line(filled_url: str) -> None:
    done = run("trace", "nobody", url=filled_url)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "llmledger: there is no call nobody\n")


def test_usage_splits_and_says_what_is_unknown(filled_url: str) -> None:
    done = run("usage", "--by", "organization,model", "--since", "7d", url=filled_url)

    assert done.returncode == 0, done.stderr
    assert [line.split()[:3] for line in done.stdout.splitlines()[1:4]] == [
        ["b", "m1", "1"],
        ["a", "m1", "2"],
        ["a", "m2", "1"],
    ]
    assert "4 calls, $1.7500; tokens unknown in 1, partly known in 1; cost unknown in 2" in done.stdout
    lines = run("usage", "--since", "1d", "--json", url=filled_url).stdout.splitlines()
    assert [json.loads(line, parse_float=Decimal)["cost_usd"] for line in lines] == [Decimal("1.750000000")]


@pytest.mark.parametrize(
    "arguments", [["usage", "--by", "color"], ["traces", "--since", "soon"], ["traces", "--limit", "0"]]
)
def test_a_wrong_argument_is_named(filled_url: str, arguments: list[str]) -> None:
    done = run(*arguments, url=filled_url)

    assert done.returncode == 2
    assert arguments[1] in done.stderr


def test_a_store_that_another_process_has_open_is_said_in_one_line(tmp_path: Path) -> None:
    with running_engine(tmp_path / "data") as engine:
        pid = engine.pid
        done = run("traces", url=f"chdb://{tmp_path / 'data'}")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"is open in process {pid}" in done.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/db", "chdb:///nonexistent/store", "mysql://h/db"])
def test_a_store_that_is_not_there_is_said_in_one_line(url: str) -> None:
    done = run("usage", "--url", url)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("llmledger: ")
    assert done.stderr.count("\n") == 1
