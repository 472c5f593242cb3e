"""``llmledger demo`` fills a store of its own, and never mixes with real calls unasked."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.cli import demo, demo_calls
from llmledgerd.query.repricing import Reprice
from llmledgerd.records.pricing import Pricer
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.marked_rows import ClickHouseMarkedRows
from llmledgerd.stores.clickhouse.reprice import reprice
from tests.helpers import prefork
from tests.helpers.places import environment
from tests.helpers.rollups import differences

END_US = time.time_ns() // 1000
REAL_CALL = (
    "INSERT INTO llm_traces (id, source, created_at, ingested_at) VALUES ('real', 'app', now64(), now64())"
)


def filled(store: Store, calls: int = 600) -> Store:
    traffic = demo_calls.Traffic(calls=calls, days=3.0, end_us=END_US)
    assert list(demo.fill(ClickHouseMarkedRows(store, demo_calls.MARK), traffic))[-1] == calls
    return store


def one(store: Store, expression: str, condition: str = "1") -> object:
    return store.query(f"SELECT {expression} AS x FROM llm_traces WHERE {condition}")[0]["x"]


def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return prefork.run(
        "llmledger", "demo", *arguments, environment={**environment(), "XDG_DATA_HOME": str(home)}
    )


@contextlib.contextmanager
def opened(url: str) -> Iterator[Store]:
    with contextlib.closing(Store(url)) as store:
        yield store


def test_numbers_agree_with_each_other(store: Store) -> None:
    filled(store)

    assert one(store, "count()") == one(store, "uniqExact(id)") == 600
    assert one(store, "countIf(total_tokens != prompt_tokens + completion_tokens)") == 0
    assert one(store, "countIf(isNull(cost_usd) != (usage_source = 'unknown'))") == 0
    assert one(store, "countIf(cost_usd <= 0)") == 0
    assert one(store, "countIf(usage_check = 'mismatch' OR cached_input_tokens > prompt_tokens)") == 0
    assert differences(store) == []


def test_repricing_generated_calls_changes_nothing(store: Store) -> None:
    done = reprice(filled(store), Pricer(), Reprice(from_us=0, to_us=END_US + 1), "somebody@somewhere")

    assert (done.looked_at, done.changed) == (600, 0)


def test_without_a_url_the_store_is_the_demo_s_own(tmp_path: Path) -> None:
    done = run("--calls", "60", home=tmp_path)

    url = f"chdb://{tmp_path}/llmledger/demo"
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"60 calls in {url}")
    with opened(url) as store:
        assert one(store, "count()", f"source = '{demo_calls.MARK}'") == 60


@pytest.fixture
def store_with_a_real_call(tmp_path: Path) -> str:
    """Return the URL of a store that holds one call of an application."""
    url = f"chdb://{tmp_path}/llmledger/demo"
    assert run("--calls", "12", home=tmp_path).returncode == 0
    with opened(url) as store:
        store.run(REAL_CALL)
    return url


def test_a_store_with_other_calls_is_refused_unless_told_twice_and_keeps_them_at_removal(
    store_with_a_real_call: str, tmp_path: Path
) -> None:
    given = ("--calls", "12", "--seed", "2", "--url", store_with_a_real_call)

    refused = run(*given, home=tmp_path)
    assert refused.returncode == 2
    assert "holds other calls" in refused.stderr
    assert "--among-other-calls" in refused.stderr
    assert run(*given, "--among-other-calls", home=tmp_path).returncode == 0

    removed = run("--remove", "--url", store_with_a_real_call, home=tmp_path)
    assert removed.stdout.startswith("24 generated calls deleted")
    with opened(store_with_a_real_call) as store:
        assert store.query("SELECT id FROM llm_traces") == [{"id": "real"}]


def test_removal_from_a_store_without_tables_removes_nothing(tmp_path: Path) -> None:
    removed = run("--remove", home=tmp_path)

    assert (removed.returncode, removed.stderr) == (0, "")
    assert removed.stdout.startswith("0 generated calls deleted")
