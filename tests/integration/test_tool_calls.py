"""Every call of a tool is one row, with its result, whatever is sent again, forked or compacted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from llmledgerd.query.requests import GetTools, ListToolCalls
from llmledgerd.query.tool_results import Tool, ToolCall
from llmledgerd.reader import ALL_ORGANIZATIONS, LLMTraceReader
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.queries import StoreAnswers
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.migrated_databases import Lend
from tests.helpers.tool_traffic import Called, Traffic, traffic
from tests.helpers.waiting import until

CALLS = 2000


@pytest.fixture(scope="module", name="made")
def _made() -> Traffic:
    return traffic(CALLS)


@pytest.fixture(scope="module", name="url")
def _url(lend: Lend, made: Traffic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The store after a daemon that keeps no payloads has stored the traffic."""
    with lend() as url:
        folder = tmp_path_factory.mktemp("d")
        with RunningDaemon(folder, url=url, settings={"payloads": "metadata_only"}) as daemon:
            daemon.send_one_way(b"".join(json.dumps(one).encode() + b"\n" for one in made.records))
            until(lambda: admin.status(folder / "admin.sock")["stored"] == len(made.records), limit=60)
        yield url


@pytest.fixture(scope="module", name="stored")
def _stored(url: str) -> list[dict[str, Any]]:
    store = Store(url)
    rows = store.query("SELECT * FROM llm_tool_calls")
    store.close()
    return rows


def test_two_thousand_labeled_calls_are_each_one_row_and_right(
    made: Traffic, stored: list[dict[str, Any]]
) -> None:
    by_row: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in stored:
        by_row.setdefault((row["id"], row["name"]), []).append(row)

    wrong = [f"{call}: {found}" for call in made.calls if (found := _differing(call, by_row))]

    assert len(stored) == len(made.calls)
    assert len(wrong) <= len(made.calls) / 100, "\n".join(wrong[:20])


def _differing(call: Called, by_row: dict[tuple[str, str], list[dict[str, Any]]]) -> str:
    """Return what is wrong with the row of a call."""
    wanted = call.id or f"{call.name}#{call.place}"
    rows = [row for row in by_row.get((call.row, call.name), []) if row["tool_call_id"] == wanted]
    if len(rows) != 1:
        return f"{len(rows)} rows"
    (row,) = rows
    truth = {
        "is_answered": bool(call.answered_by),
        "answered_by": call.answered_by,
        "is_error": bool(call.source) and bool(call.answered_by),
        "error_source": call.source if call.answered_by else "",
        "is_repeated": call.is_repeated,
        "mcp_server": {"mcp__github__create_issue": "github", "mcp__my_db__query": "my_db"}.get(
            call.name, ""
        ),
        "seconds": round(call.seconds, 3) if call.answered_by else None,
    }
    got = {**row, "seconds": None if row["seconds"] is None else round(row["seconds"], 3)}
    return ", ".join(f"{name} {got[name]!r}" for name, value in truth.items() if got[name] != value)


async def test_the_reader_lists_the_rows_of_the_view(url: str, stored: list[dict[str, Any]]) -> None:
    async with LLMTraceReader(url) as reader:
        listed = await reader.list_tool_calls(ALL_ORGANIZATIONS, limit=10_000)
        newest = await reader.list_tool_calls(ALL_ORGANIZATIONS, limit=7)
        fine = await reader.list_tool_calls(ALL_ORGANIZATIONS, is_error=False, limit=10_000)

    def plain(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in ToolCall.__struct_fields__ if name != "created_at")

    found = [msgspec.structs.asdict(call) for call in listed]
    assert [call.created_at for call in listed] == sorted((call.created_at for call in listed), reverse=True)
    assert sorted(map(plain, found), key=str) == sorted(map(plain, stored), key=str)
    assert newest == listed[:7]
    assert fine == [call for call in listed if not call.is_error]


async def test_the_attempts_of_a_call_are_known_as_such(made: Traffic, url: str) -> None:
    following = zip(made.records, made.records[1:], strict=False)
    expected = {
        (one["provider_trace_id"], after["provider_trace_id"])
        for one, after in following
        if one.get("outcome") == "error" and one["request"] == after["request"]
    }
    async with LLMTraceReader(url) as reader:
        calls = await reader.list_retried_calls(ALL_ORGANIZATIONS, limit=1000)
        models = await reader.get_retries(ALL_ORGANIZATIONS)

    assert len(expected) > 50
    assert {tuple(call.attempts) for call in calls} == expected
    assert sum(model.calls for model in models) == sum(model.recovered for model in models) == len(expected)
    assert sum(model.unknown_cost for model in models) == len(expected), "failed calls have no usage"
    assert all(model.waited_ms > 500 for model in models)


async def test_tools_are_summed_as_their_calls(made: Traffic, url: str) -> None:
    async with LLMTraceReader(url) as reader:
        found = {tool.name: tool for tool in await reader.get_tools(ALL_ORGANIZATIONS)}
        listed = await reader.list_tool_calls("org-1", name="search", is_error=True, limit=1000)

    for name in {call.name for call in made.calls}:
        own = [call for call in made.calls if call.name == name]
        tool = found[name]
        assert tool.calls == len(own)
        assert tool.errors == sum(bool(call.source) for call in own)
        assert tool.unanswered == sum(not call.answered_by for call in own)
        assert tool.repeated == pytest.approx(sum(call.is_repeated for call in own), abs=3)
        seconds = sorted(call.seconds for call in own if call.answered_by)
        assert tool.seconds_p50 == pytest.approx(seconds[-(-len(seconds) // 2) - 1], rel=0.02)
        assert tool.result_tokens > 0
    rows = {record["provider_trace_id"]: record["org_id"] for record in made.records}
    assert {(call.id, call.tool_call_id) for call in listed} == {
        (call.row, call.id or f"{call.name}#{call.place}")
        for call in made.calls
        if call.name == "search" and call.source and rows[call.row] == "org-1"
    }


def test_a_call_that_the_provider_ran_is_answered_and_has_no_seconds(store: Store) -> None:
    store.run(
        "INSERT INTO llm_traces (id, organization_id, conversation_id, latency_ms, created_at, ingested_at, tool_calls,"
        " tool_results) VALUES ('a', 'org', 'c', 500, now(), now(),"
        " [(1, 'srv_1', 'web_search', 7, 13), (2, 'srv_2', 'web_search', 8, 13), (3, 'toolu_3', 'roll', 9, 2)],"
        " [(1, 90, 4), (2, 0, 5)])"
    )
    store.run(
        "INSERT INTO llm_traces (id, organization_id, conversation_id, created_at, ingested_at, tool_results)"
        " VALUES ('b', 'org', 'c', now() + 3, now(), [(3, 5, 2)])"
    )
    view = store.query("SELECT * FROM llm_tool_calls ORDER BY tool_call_id")
    answers = StoreAnswers(store)
    listed = cast("list[ToolCall]", answers.answer("org", ListToolCalls(limit=10)))
    failed = cast("list[ToolCall]", answers.answer("org", ListToolCalls(limit=10, is_error=True)))
    tools = {one.name: one for one in cast("list[Tool]", answers.answer("org", GetTools(limit=10)))}

    names = [name for name in ToolCall.__struct_fields__ if name != "created_at"]
    assert [{name: row[name] for name in names} for row in view] == [
        {name: getattr(call, name) for name in names}
        for call in sorted(listed, key=lambda one: one.tool_call_id)
    ]
    assert [
        (row["is_provider_run"], row["is_answered"], row["error_source"], row["result_bytes"]) for row in view
    ] == [
        (True, True, "", 90),
        (True, True, "api", 0),
        (False, True, "text", 5),
    ]
    assert [row["seconds"] is None for row in view] == [True, True, False]
    assert {call.tool_call_id for call in failed} == {"srv_2", "toolu_3"}
    search = tools["web_search"]
    assert (search.calls, search.provider_runs, search.errors, search.unanswered) == (2, 2, 1, 0)
    assert (search.seconds_p50, search.result_bytes) == (None, 90)
    assert (tools["roll"].provider_runs, tools["roll"].text_errors) == (0, 1)
