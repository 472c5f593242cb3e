"""Rows of one store come into the other once, however often it is begun again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmledgerd.cli import app
from llmledgerd.errors import StoreBusy
from llmledgerd.records.schema import COLUMNS, TRACES
from llmledgerd.stores import copy, registry
from llmledgerd.stores.kind import ConfiguredStore
from tests.helpers.columns import some
from tests.helpers.config import config as configured
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.kinds import Kind, clickhouse_kind, postgres_kind
from tests.helpers.postgres import PostgresServer
from tests.helpers.waiting import until

SEGMENTS, EACH = 5, 20
END_US = 4_000_000_000_000_000
START_US = END_US - 3 * copy.HOUR_US - 7


@pytest.fixture
def both(server_url: str, postgres_server: PostgresServer) -> Iterator[tuple[Kind, Kind]]:
    with (
        clickhouse_kind("clickhouse server", server_url, None) as first,
        postgres_kind("postgres full", postgres_server) as second,
    ):
        yield first, second


def fill(kind: Kind) -> None:
    """Store some segments that were received over three hours."""
    store = kind.outlet.destination
    for number in range(SEGMENTS):
        batch = f"00000000-0000-4000-8000-{number:012}"
        rows = [row(batch, place, START_US + number * copy.HOUR_US // 2 + place) for place in range(EACH)]
        store.insert_blocks(TRACES, COLUMNS, [store.encode(TRACES, COLUMNS, rows)], batch)


def row(batch: str, place: int, at_us: int) -> tuple[object, ...]:
    values: dict[str, object] = {
        "id": f"{batch}-{place}",
        "agent_tags": ["a", "b'\\"],
        "request_json": b'{"text":"\\u0000 \\n"}',
        "response_json": b"", "llm_config_json": b"", "compaction_settings_json": b"", "usage_json": b"{}",
        "cost_usd": None,
        "upstream_cost_usd": None,
        "sent_cost_usd": Decimal("0.1"),
        "cost_parts": {"input": Decimal("0.000000001"), "web_search": Decimal("12345.6789")},
        "usage_units": {"web_search": Decimal(3), "audio_second": Decimal("1.25")} if place else {},
        "turn_names": ["a", "b"],
        "opening_names": [],
        "request_hash": 2**63 - 1,
        "tool_calls": ((2**64 - 1, "call_1", "f\N{SNOWMAN}", 7, 9), (1, "", "", 0, 0)) if place else (),
        "tool_results": ((2**64 - 1, 5, 2),) if place else (),
        "tokens_by_tool": {"f\N{SNOWMAN}": 3, "": 4} if place else {},
        "created_at": at_us - 5,
        "batch_id": batch,
        "batch_row": place,
        "ingested_at": at_us,
    }  # fmt: skip
    numbers = {"cached_input_tokens": None, "cache_write_tokens": None, "reasoning_tokens": 3}
    chosen = {**values, **numbers}
    return tuple(chosen[name] if name in chosen else some(name, 1) for name in COLUMNS)


@pytest.mark.parametrize("forth", [True, False], ids=["to postgres", "to clickhouse"])
def test_every_row_comes_over_as_it_was_and_a_second_run_has_nothing_to_do(
    both: tuple[Kind, Kind], forth: bool
) -> None:
    source, target = both if forth else both[::-1]
    fill(source)
    done = copy.copy(source.outlet.source, target.outlet.destination, START_US, END_US)
    assert (done.looked_at, done.copied, done.repeated) == (SEGMENTS * EACH, SEGMENTS * EACH, 0)
    assert target.rows(TRACES) == source.rows(TRACES)
    again = copy.copy(source.outlet.source, target.outlet.destination, START_US, END_US)
    assert (again.looked_at, again.copied) == (SEGMENTS * EACH, 0)


@pytest.mark.parametrize("forth", [True, False], ids=["to postgres", "to clickhouse"])
def test_a_copy_that_was_interrupted_is_taken_up_again(both: tuple[Kind, Kind], forth: bool) -> None:
    source, target = both if forth else both[::-1]
    fill(source)

    def interrupt(done: copy.Copied) -> None:
        if done.copied >= 2 * EACH:
            raise StoreBusy("network", "interrupted")

    with pytest.raises(StoreBusy):
        copy.copy(source.outlet.source, target.outlet.destination, START_US, END_US, interrupt)
    done = copy.copy(source.outlet.source, target.outlet.destination, START_US, END_US)
    assert 0 < done.copied < SEGMENTS * EACH
    assert target.rows(TRACES) == source.rows(TRACES)


def test_rows_that_the_target_refuses_are_counted_and_cost_no_others(
    both: tuple[Kind, Kind],
) -> None:
    source, target = both
    fill(source)
    target.query("ALTER TABLE provider_traces ADD CONSTRAINT tame CHECK (batch_row NOT IN (1, 5)) NOT VALID")
    done = copy.copy(source.outlet.source, target.outlet.destination, START_US, START_US + copy.HOUR_US)
    assert sum(done.refused.values()) == 4
    assert all("tame" in reason and "Failing row" not in reason for reason in done.refused)
    assert done.copied == done.looked_at - 4 == len(target.rows(TRACES))


def test_only_what_was_received_in_the_time_comes_over(both: tuple[Kind, Kind]) -> None:
    source, target = both
    fill(source)
    start, end = START_US + copy.HOUR_US // 2 + 3, START_US + copy.HOUR_US
    done = copy.copy(source.outlet.source, target.outlet.destination, start, end)
    assert done.copied == EACH - 3
    assert {found["batch_row"] for found in target.rows(TRACES)} == set(range(3, EACH))


def test_a_store_that_was_named_later_gets_what_was_before_by_the_command(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunningDaemon(tmp_path) as daemon:
        daemon.send_one_way(b"".join(line(f"a-{number}", number) for number in range(30)))
        assert daemon.terminate() == 0
    environment = {
        "LLMLEDGER_CLICKHOUSE_URL": daemon.url,
        "LLMLEDGER_POSTGRES_URL": postgres_url,
        "LLMLEDGER_STORES": "clickhouse,postgres",
        "LLMLEDGER_ADMIN": "",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (second,) = registry.opened(configured(stores="postgres", postgres_url=postgres_url))
    with contextlib.closing(second):
        second.migrate()
        until(lambda: ran("--since", "1h", "--until", "2100-01-01") == (0, said(30, 30, 0)))
        assert ran("--since", "1h", "--until", "2100-01-01") == (0, said(30, 0, 0))
        assert count(second) == 30
    assert ran("--since", "1h", "--to", "clickhouse")[0] == 2


def said(looked_at: int, copied: int, repeated: int) -> str:
    return (
        f"{looked_at} calls looked at, {copied} copied from clickhouse to postgres,"
        f" {repeated} skipped as duplicates\n"
    )


def ran(*arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code, and what it said on standard output."""
    done = CliRunner().invoke(app.app, ["copy", *arguments])
    return (done.exit_code if done.exception is None or done.exit_code == 0 else 2), done.stdout


def count(outlet: ConfiguredStore) -> int:
    return sum(part.rows for part in outlet.source.parts(0, END_US))
