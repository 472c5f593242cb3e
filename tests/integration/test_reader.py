"""What code sees of a store: the same from everywhere, of one organization, and nothing besides."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from llmledgerd.errors import ConfigError, StoreBusy
from llmledgerd.query.filters import OF_SUMS as NARROWING
from llmledgerd.query.requests import GROUPS
from llmledgerd.query.results import Usage
from llmledgerd.reader import ALL_ORGANIZATIONS, LLMTraceReader
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.rollup import Rollup
from llmledgerd.stores.clickhouse.usage_sql import GROUP_SQL
from tests.helpers.engine import Engine
from tests.helpers.migrated_databases import Lend
from tests.helpers.places import PLACES, Places, places
from tests.helpers.store_rows import add_traces

NOW_US = time.time_ns() // 1000
HOUR_US = 3_600_000_000
NOW = datetime.fromtimestamp(NOW_US / 1e6, UTC)
OUR_31 = (
    "id, organization_id, project_id, agent_id, run_id, step_id, trace_id, agent_tags, call_type, provider, model,"
    " is_byok, request_size_bytes, response_size_bytes, prompt_tokens, completion_tokens, total_tokens,"
    " cached_input_tokens, cache_write_tokens, reasoning_tokens, latency_ms, is_error, error_type, error_message,"
    " request_json, response_json, llm_config_json, billing_plan_type, billing_cost_source, billing_customer_id,"
    " created_at"
)


def sought(call: dict[str, object], name: str) -> str:
    """Return a value that narrows to the call by a column: of an array, its last."""
    value = call[name]
    return str(value[-1] if isinstance(value, list) else value)


def has(call: dict[str, object], name: str, value: str) -> bool:
    """Return whether a narrowing by a column keeps the call."""
    found = call[name]
    return value in found if isinstance(found, list) else found == value


def calls(count: int) -> list[dict[str, object]]:
    """Return calls of two organizations over two days, with equal ids of agents, steps and runs."""
    dice = random.Random(5)
    return [
        {
            "id": f"call-{number}",
            "organization_id": dice.choice(["a", "b"]),
            "project_id": dice.choice(["p1", "p2"]),
            "agent_id": dice.choice(["smith", "jones"]),
            "user_id": dice.choice(["u1", "u2"]),
            "service": dice.choice(["api", "worker"]),
            "run_id": f"run-{number % 9}",
            "step_id": f"step-{number % 40}",
            "trace_id": f"trace-{number % 7}",
            "conversation_id": f"conversation-{number % 11}",
            "agent_tags": ["even", f"tag-{number % 5}"] if number % 2 == 0 else ["odd"],
            "provider": dice.choice(["openai", "anthropic"]),
            "model": dice.choice(["m1", "m2", "m3"]),
            "call_type": dice.choice(["agent_step", "summarization"]),
            "outcome": dice.choice(["ok", "cancelled"]),
            "is_error": number % 5 == 0,
            "billing_plan_type": dice.choice(["basic", "max"]),
            "billing_customer_id": dice.choice(["c1", "c2"]),
            "prompt_tokens": dice.randrange(1000),
            "completion_tokens": dice.randrange(100),
            "total_tokens": dice.randrange(1100),
            "cached_input_tokens": dice.choice([None, 5]),
            "cost_usd": dice.choice([None, Decimal("0.001"), Decimal("1.5")]),
            "cost_reason": f"reason {number % 3}",
            "priced_model": f"priced {number % 2}",
            "usage_source": dice.choice(["reported", "partial", "unknown"]),
            "latency_ms": dice.choice([0, dice.randrange(1, 100_000)]),
            "time_to_first_token_ms": dice.choice([None, dice.randrange(1, 10_000)]),
            "request_size_bytes": 10 ** dice.randrange(2, 8),
            "request_json": f'{{"n":{number}}}'.encode(),
            "response_json": b'"\xff not UTF-8"',
            "created_at": NOW_US - dice.randrange(48 * HOUR_US),
        }
        for number in range(count)
    ]


CALLS = calls(600)


@pytest.fixture(scope="module")
def everywhere(lend: Lend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with (
        lend() as url,
        places(url, tmp_path_factory.mktemp("p"), CALLS) as found,
    ):
        yield found


# The daemon is asked at two addresses; one is enough for every change.
@pytest_asyncio.fixture(
    params=[pytest.param(place, marks=pytest.mark.slow) if place == "unix" else place for place in PLACES]
)
async def reader(request: pytest.FixtureRequest, everywhere: Places) -> AsyncIterator[LLMTraceReader]:
    """Return a reader of the same rows, from each place in turn."""
    async with everywhere.reader(request.param) as opened:
        yield opened


async def test_a_call_comes_with_its_payloads_byte_for_byte_where_asked_for(reader: LLMTraceReader) -> None:
    number = next(n for n, call in enumerate(CALLS) if call["organization_id"] == "a")
    call = await reader.get_by_id("a", f"provider_trace-call-{number}", payloads=True)

    assert call is not None
    assert call.payloads is not None
    assert call.payloads.request_json == CALLS[number]["request_json"]
    assert call.payloads.response_json == CALLS[number]["response_json"]
    assert call.cost_usd == CALLS[number]["cost_usd"]
    plain = await reader.get_by_id("a", f"call-{number}")
    assert plain is not None
    assert plain.payloads is None
    assert await reader.get_by_id("a", "nobody") is None


async def test_pages_are_the_whole_list_newest_first(reader: LLMTraceReader) -> None:
    found = []
    cursor = None
    while True:
        page = await reader.list_by_agent("a", "smith", limit=37, cursor=cursor)
        found += page.calls
        cursor = page.cursor
        if cursor is None:
            break

    own = [c for c in CALLS if (c["organization_id"], c["agent_id"]) == ("a", "smith")]
    assert sorted(c.id for c in found) == sorted(str(c["id"]) for c in own)
    assert found == sorted(found, key=lambda c: c.created_at, reverse=True)


async def test_lists_are_narrowed_by_every_column_that_is_promised(reader: LLMTraceReader) -> None:
    for name in NARROWING:
        value = sought(CALLS[0], name)
        page = await reader.list_calls(ALL_ORGANIZATIONS, limit=1000, **{name: value})  # type: ignore[arg-type]  # each by its name
        assert sorted(c.id for c in page.calls) == sorted(str(c["id"]) for c in CALLS if has(c, name, value))
        assert not (await reader.list_calls(ALL_ORGANIZATIONS, **{name: "null"})).calls  # type: ignore[arg-type]  # as above


async def test_large_requests_come_largest_first(reader: LLMTraceReader) -> None:
    found = await reader.find_large_requests("a", limit=1000)
    few = await reader.find_large_requests("a", min_size_bytes=0, limit=3)

    expected = [
        c for c in CALLS if c["organization_id"] == "a" and int(str(c["request_size_bytes"])) >= 10**6
    ]
    assert {c.id for c in found} == {c["id"] for c in expected}
    sizes = [c.request_size_bytes for c in found]
    assert sizes == sorted(sizes, reverse=True)
    assert len(few) == 3


async def test_losses_are_told_to_operators(reader: LLMTraceReader) -> None:
    assert await reader.get_losses(start_date=NOW - timedelta(days=1)) == []


async def test_calls_without_a_cost_are_counted_by_model_and_reason(reader: LLMTraceReader) -> None:
    found = await reader.get_unpriced("a", start_date=NOW - timedelta(hours=24), user_id="u1")
    first = await reader.get_unpriced("a", start_date=NOW - timedelta(hours=24), user_id="u1", limit=1)

    start_us = NOW_US - 24 * HOUR_US
    without = [
        c for c in CALLS
        if c["organization_id"] == "a" and c["user_id"] == "u1" and c["cost_usd"] is None
        and int(str(c["created_at"])) >= start_us
    ]  # fmt: skip
    kinds = Counter((c["provider"], c["priced_model"], c["cost_reason"]) for c in without)
    assert {(u.provider, u.model, u.reason): u.requests for u in found} == kinds
    assert sum(u.total_tokens for u in found) == sum(int(str(c["total_tokens"])) for c in without)
    assert [u.requests for u in found] == sorted((u.requests for u in found), reverse=True)
    assert first == found[:1]


# Usage, from the rollup and from the rows.


def summed(
    group_by: tuple[str, ...], keep: Callable[[dict[str, Any]], bool]
) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """Sum CALLS in Python."""
    columns = {name: column.removeprefix("t.") for name, column in GROUP_SQL.items()}
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for call in filter(keep, CALLS):
        moment = datetime.fromtimestamp(int(str(call["created_at"])) / 1e6, UTC)
        formats = {"day": "%Y-%m-%d", "hour": "%Y-%m-%d %H:00", "minute": "%Y-%m-%d %H:%M"}
        own = call | {name: moment.strftime(form) for name, form in formats.items()}
        key = tuple(str(own[name] if name in own else own[columns[name]]) for name in group_by)
        found.setdefault(key, []).append(own)
    return {key: _sums(rows) for key, rows in found.items()}


def _sums(rows: list[dict[str, Any]]) -> tuple[Any, ...]:
    latencies = [row["latency_ms"] for row in rows if row["latency_ms"]]
    return (
        len(rows),
        sum(row["prompt_tokens"] for row in rows),
        sum(row["completion_tokens"] for row in rows),
        sum(row["total_tokens"] for row in rows),
        sum(row["cached_input_tokens"] or 0 for row in rows),
        sum(row["cost_usd"] or 0 for row in rows),
        sum(row["is_error"] for row in rows),
        sum(row["outcome"] == "cancelled" for row in rows),
        sum(row["usage_source"] == "unknown" for row in rows),
        sum(row["cost_usd"] is None for row in rows),
        round(sum(latencies) / len(latencies), 6) if latencies else None,
    )


def said(usage: Usage) -> tuple[Any, ...]:
    average = usage.latency_avg_ms
    return (
        usage.requests,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.cached_input_tokens,
        usage.cost_usd,
        usage.errors,
        usage.cancelled,
        usage.unknown_usage,
        usage.unknown_cost,
        None if average is None else round(average, 6),
    )


@pytest.mark.parametrize(
    "group_by", [(name,) for name in GROUPS] + [(), ("model", "day"), ("agent", "user", "hour")]
)
async def test_usage_is_exact_by_every_group(everywhere: Places, group_by: tuple[str, ...]) -> None:
    async with everywhere.reader("unix") as reader:
        found = await reader.get_usage_stats("a", group_by=group_by)

    assert {tuple(u.group[name] for name in group_by): said(u) for u in found} == summed(
        group_by, lambda call: call["organization_id"] == "a"
    )
    assert found == sorted(found, key=lambda usage: usage.cost_usd, reverse=True)


@pytest.mark.parametrize(
    ("hours_ago", "until"), [(40.3, 3.7), (30, 29.5), (24.0, None), (None, 12.34), (0.01, None)]
)
async def test_usage_is_exact_within_any_range(
    everywhere: Places, hours_ago: float | None, until: float | None
) -> None:
    start = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    end = None if until is None else NOW - timedelta(hours=until)

    def within(call: dict[str, Any]) -> bool:
        moment = datetime.fromtimestamp(call["created_at"] / 1e6, UTC)
        return (start is None or moment >= start) and (end is None or moment < end)

    async with everywhere.reader("tcp") as reader:
        found = await reader.get_usage_stats(
            ALL_ORGANIZATIONS, group_by=["model"], start_date=start, end_date=end
        )

    assert {(u.group["model"],): said(u) for u in found} == summed(("model",), within)


@pytest.mark.parametrize("name", NARROWING)
async def test_usage_is_exact_narrowed_by_every_column(everywhere: Places, name: str) -> None:
    value = sought(CALLS[1], name)
    async with everywhere.reader("store") as reader:
        found = await reader.get_usage_stats(ALL_ORGANIZATIONS, group_by=["organization"], **{name: value})  # type: ignore[arg-type]  # each by its name

    assert {(u.group["organization"],): said(u) for u in found} == summed(
        ("organization",), lambda call: has(call, name, value)
    )


async def test_quantiles_are_within_one_percent_of_the_nearest_rank(everywhere: Places) -> None:
    async with everywhere.reader("store") as reader:
        (found,) = await reader.get_usage_stats(ALL_ORGANIZATIONS, group_by=[])

    latencies = sorted(int(str(c["latency_ms"])) for c in CALLS if c["latency_ms"])
    for level, got in ((50, found.latency_p50_ms), (95, found.latency_p95_ms), (99, found.latency_p99_ms)):
        exact = latencies[-(-len(latencies) * level // 100) - 1]
        assert got == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("group_by", [("provider", "model"), ("model", "user")])
async def test_the_speed_of_answers_is_that_of_the_rows_with_and_without_the_rollup(
    everywhere: Places, group_by: tuple[str, str]
) -> None:
    async with everywhere.reader("store") as reader:
        found = await reader.get_usage_stats(ALL_ORGANIZATIONS, group_by=group_by)

    columns = {"user": "user_id"}
    for usage in found:
        own: list[dict[str, Any]] = [
            c for c in CALLS if all(c[columns.get(name, name)] == usage.group[name] for name in group_by)
        ]
        firsts = sorted(c["time_to_first_token_ms"] for c in own if c["time_to_first_token_ms"] is not None)
        speeds = sorted(speed for speed in map(output_speed, own) if speed is not None)
        for level in (50, 95, 99):
            for values, name in (
                (firsts, f"first_token_p{level}_ms"),
                (speeds, f"output_tokens_per_second_p{level}"),
            ):
                exact = values[-(-len(values) * level // 100) - 1]
                assert getattr(usage, name) == pytest.approx(exact, rel=0.01)


def output_speed(call: dict[str, Any]) -> float | None:
    """Return the tokens per second of one call; None where nothing can be said."""
    is_known = call["usage_source"] == "reported" and call["completion_tokens"] and call["latency_ms"]
    if call["is_error"] or not is_known:
        return None
    first = call["time_to_first_token_ms"] or 0
    is_gradual = first <= 0.9 * call["latency_ms"]
    taken = float(call["latency_ms"] - (first if is_gradual else 0))
    return 1000.0 * float(call["completion_tokens"]) / taken


async def test_hours_in_doubt_are_answered_from_the_rows(store: Store, store_url: str) -> None:
    add_traces(store, [{"id": f"c{n}", "model": "m", "created_at": NOW_US - n * HOUR_US} for n in range(10)])
    store.run("TRUNCATE TABLE llm_usage_hourly")
    rollup = Rollup(store)
    rollup.doubt_rows("a_test", "id != 'c3'", {})
    store.close()

    async with LLMTraceReader(store_url) as reader:
        (found,) = await reader.get_usage_stats("", group_by=["model"])

    assert found.requests == 9, "c3's hour is in no doubt, and the rollup has lost it"


async def test_a_store_without_a_rollup_is_read_all_the_same(server: Store, server_url: str) -> None:
    add_traces(server, [{"id": "c", "model": "m"}])
    for table in ("llm_usage_hourly_view", "llm_usage_hourly", "llm_usage_doubts"):
        server.run(f"DROP TABLE {table} SYNC")

    async with LLMTraceReader(server_url) as reader:
        assert [usage.requests for usage in await reader.get_usage_stats("")] == [1]


# Breaking out of an organization.

HOSTILE = [
    "", "%", "*", "_", "b", "A", "a ", " a", "a\x00", "a\x00b", "null", "None", "all", "true", "AllOrganizations.ALL",
    "a' OR '1'='1", "a' OR 1=1 --", "a\\", "a\\' OR 1=1 --", 'a" OR 1=1 --', "a') OR (1=1", "a' UNION ALL SELECT * --",
    "{organization_id:String}", "{id:String}", "a;DROP TABLE llm_traces", "$$", "a\n", "a&all_organizations=true",
    "a&organization_id=b", "a,b", "['a','b']", "%27", "../b", "\u202ea",
]  # fmt: skip
ALIKE = {
    "_", "A", " a", "a\x00b", "None", "true", "a' OR 1=1 --", "a\\' OR 1=1 --", "a') OR (1=1",
    "a&organization_id=b", "['a','b']", "%27",
}  # fmt: skip
"""Texts beside which there is another one of their class."""


def hostile(texts: Iterable[Any]) -> list[Any]:
    """Return parameters of a test, of which `make test` takes one text of each class."""
    return [
        pytest.param(*values, marks=pytest.mark.chaos if values[-1] in ALIKE else ())
        for values in (text if isinstance(text, tuple) else (text,) for text in texts)
    ]


LISTED_BY = (*NARROWING, "run_id", "trace_id")


# The daemon asks the store by the same reader, so that its address is the longest way.
by_the_longest_way = pytest.mark.parametrize(
    "reader",
    [place if place == "tcp" else pytest.param(place, marks=pytest.mark.slow) for place in PLACES],
    indirect=True,
)


@by_the_longest_way
@pytest.mark.parametrize("text", hostile(HOSTILE))
async def test_no_text_reaches_into_another_organization(reader: LLMTraceReader, text: str) -> None:
    own = {str(call["id"]) for call in CALLS if call["organization_id"] == text}

    assert {c.id for c in (await reader.list_calls(text, limit=1000)).calls} == own
    assert sum(u.requests for u in await reader.get_usage_stats(text, group_by=["agent"])) == len(own)
    assert sum(u.requests for u in await reader.get_usage_stats(text, group_by=["user"])) == len(own)
    assert {c.id for c in await reader.find_large_requests(text, min_size_bytes=0, limit=1000)} == own


@by_the_longest_way
@pytest.mark.parametrize("columns", [2, pytest.param(len(LISTED_BY), marks=pytest.mark.slow)])
@pytest.mark.parametrize(("number", "text"), hostile(enumerate(text for text in HOSTILE if text)))
async def test_no_parameter_widens_what_is_returned(
    reader: LLMTraceReader, number: int, text: str, columns: int
) -> None:
    assert await reader.get_by_id("a", text) is None
    assert await reader.get_by_step_id("a", text) == []
    # All take the same filters: here each text in some columns, and each column with some of the texts.
    for name in (LISTED_BY * 2)[number % len(LISTED_BY) :][:columns]:
        named: dict[str, Any] = {name: text}
        assert (await reader.list_calls("a", **named)).calls == []
    named = {tuple(NARROWING)[number % len(NARROWING)]: text}
    assert await reader.get_usage_stats("a", **named) == []
    assert await reader.find_large_requests("a", min_size_bytes=0, **named) == []


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_cannot_be_bound_is_refused(reader: LLMTraceReader, text: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await reader.list_calls("a", cursor=text)
    if text:
        with pytest.raises(ValueError, match="cannot group by"):
            await reader.get_usage_stats("a", group_by=[text])


async def test_ids_of_another_organization_s_calls_find_nothing(reader: LLMTraceReader) -> None:
    for call in [call for call in CALLS if call["organization_id"] == "b"][:5]:
        assert await reader.get_by_id("a", str(call["id"]), payloads=True) is None
        assert call["id"] not in {c.id for c in await reader.get_by_step_id("a", str(call["step_id"]))}


async def test_a_cursor_of_another_organization_s_page_stays_within_one_s_own(reader: LLMTraceReader) -> None:
    theirs = await reader.list_calls("b", limit=5)

    page = await reader.list_calls("a", limit=1000, cursor=theirs.cursor)

    assert {c.organization_id for c in page.calls} == {"a"}


async def test_no_organization_is_not_every_organization(reader: LLMTraceReader) -> None:
    with pytest.raises(TypeError):
        await reader.list_calls(None)  # type: ignore[arg-type]  # what a caller without types may pass


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"limit": -1}, {"limit": 10_001}, {"limit": "5"}, {"agent_id": 5}, {"color": "red"}],
)
async def test_a_wrong_argument_is_a_value_error(reader: LLMTraceReader, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        await reader.list_calls("a", **wrong)


# Others.


async def test_sql_reads_the_store_from_everywhere(reader: LLMTraceReader) -> None:
    found = await reader.sql("SELECT organization_id, count() AS n FROM llm_traces GROUP BY 1 ORDER BY 1")

    assert found.columns == ["organization_id", "n"]
    assert sum(row[1] for row in found.rows) == len(CALLS)
    with pytest.raises(ValueError, match="only SELECT"):
        await reader.sql("DROP TABLE llm_traces")


def test_readers_that_select_the_31_columns_by_name_go_on_working(store: Store) -> None:
    known = str(uuid.uuid4())
    add_traces(
        store,
        [{"id": known, "organization_id": "a", "agent_id": "smith", "step_id": "s", "created_at": NOW_US}],
    )

    rows = store.query(
        f"SELECT {OUR_31} FROM llm_traces WHERE step_id = {{step:String}} AND agent_id = 'smith'"
        " AND organization_id = {org:String} AND created_at >= {since:DateTime64(6)} ORDER BY created_at DESC LIMIT 10",
        {"step": "s", "org": "a", "since": (NOW - timedelta(hours=1)).replace(tzinfo=None)},
    )

    assert len(rows) == 1
    assert len(rows[0]) == 31
    assert rows[0]["id"] == known
    assert isinstance(rows[0]["id"], str)
    assert abs(rows[0]["created_at"] - NOW) < timedelta(milliseconds=1)


async def test_a_daemon_that_is_away_is_said_so(tmp_path: Path) -> None:
    async with LLMTraceReader(f"unix:{tmp_path}/nobody.sock") as reader:
        with pytest.raises(StoreBusy, match=r"nobody\.sock"):
            await reader.list_calls("a")


async def test_something_else_at_the_address_is_said_so(engine: Engine) -> None:
    async with LLMTraceReader(engine.address.removeprefix("http://")) as reader:
        with pytest.raises((StoreBusy, ValueError), match="not a daemon"):
            await reader.list_calls("a")


async def test_a_token_for_one_organization_reads_that_one(everywhere: Places) -> None:
    async with LLMTraceReader(everywhere.tcp, token=everywhere.only_a) as reader:
        assert (await reader.list_calls("a")).calls
        for ask in (
            lambda: reader.list_calls("b"),
            lambda: reader.list_calls(""),
            lambda: reader.list_calls(ALL_ORGANIZATIONS),
            lambda: reader.get_losses(),
            lambda: reader.sql("SELECT 1"),
        ):
            with pytest.raises(ConfigError, match=r"token|operators"):
                await ask()
