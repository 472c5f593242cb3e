"""Several addresses: the next is used when one is away, and a batch is never on two servers.

The servers here know nothing of each other, which is harder than replicas: what landed on one is
counted over both.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.errors import StoreBusy
from llmledgerd.query.repricing import Reprice
from llmledgerd.reader import LLMTraceReader
from llmledgerd.records.pricing import Pricer
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.stores.clickhouse.migrations import layout_of
from llmledgerd.stores.clickhouse.reprice import reprice
from llmledgerd.stores.clickhouse.rollup import Rollup
from llmledgerd.stores.clickhouse.sink import ClickHouseSink
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine, running_engine, without_faults
from tests.helpers.exchanges import line
from tests.helpers.rollups import doubted
from tests.helpers.scene import INSERT, SETTINGS
from tests.helpers.store_rows import add_traces, trace_rows
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos


class Pair:
    """Two servers, and one daemon that knows both."""

    def __init__(self, folder: Path, first: Engine, second: Engine) -> None:
        self.first, self.second = first, second
        self.url = f"http://127.0.0.1:{first.port},127.0.0.1:{second.port}/default"
        self.daemon = RunningDaemon(folder, url=self.url, settings=SETTINGS)

    def send(self, name: str, count: int = 20) -> None:
        self.daemon.send_one_way(b"".join(line(f"{name}-{number}", number) for number in range(count)))

    def settled(self, stored: int) -> None:
        """Wait until so many lines are stored."""
        until(lambda: self.status()["stored"] == stored, what=f"{stored} to be stored: {self.status()}")

    def status(self) -> dict[str, object]:
        return admin.status(self.daemon.folder / "admin.sock")

    def holds(self, **expected: tuple[int, int]) -> None:
        """Check how many rows of each name the first and the second have, no row being on both."""
        ids = [
            engine.query("SELECT id FROM llm_traces FORMAT TSV").split()
            for engine in (self.first, self.second)
        ]
        assert max(Counter([*ids[0], *ids[1]]).values()) == 1
        counts = [Counter(one.partition("-")[0] for one in some) for some in ids]
        assert {name: (counts[0][name], counts[1][name]) for name in counts[0] | counts[1]} == expected


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    without_faults()
    with running_engine(tmp_path / "one") as first, running_engine(tmp_path / "two") as second:
        for engine in (first, second):
            store = Store(engine.url)
            migrations.apply(store, layout_of(0))
            store.close()
        both = Pair(tmp_path / "daemon", first, second)
        with both.daemon:
            yield both


def test_a_server_that_goes_away_between_batches_is_followed_by_the_next_which_is_kept(pair: Pair) -> None:
    pair.send("a")
    pair.settled(20)
    pair.first.kill()
    pair.send("b")
    pair.settled(40)
    pair.first.start()
    pair.send("c")
    pair.settled(60)
    pair.holds(a=(20, 0), b=(0, 20), c=(0, 20))


def test_a_batch_whose_answer_was_cut_off_waits_for_the_server_that_may_have_it(pair: Pair) -> None:
    pair.first.fault("commit_then_cut", only=INSERT)
    pair.first.fault("cut", times=1000, only="batch_row")
    pair.send("a")
    until(lambda: pair.first.bitten()["cut"])
    pair.first.kill()
    until(lambda: "refused" in str(pair.status()["store"]))
    pair.first.start()
    pair.send("b")
    pair.settled(40)
    pair.holds(a=(20, 0), b=(0, 20))


def test_a_server_killed_in_the_middle_of_a_batch_gets_it_again_and_the_next_gets_what_follows(
    pair: Pair,
) -> None:
    pair.first.fault("stall", only=INSERT)
    pair.send("a")
    until(lambda: pair.first.bitten()["stall"])
    pair.first.kill()
    pair.send("b")
    until(lambda: pair.second.query("SELECT count() FROM llm_traces").strip() == "20")
    pair.first.start()
    pair.settled(40)
    pair.holds(a=(20, 0), b=(0, 20))


def test_a_daemon_that_died_asks_every_server_for_what_it_had_under_way(pair: Pair) -> None:
    pair.second.fault("commit_then_stall", only=INSERT)
    pair.first.kill()
    pair.send("a")
    until(lambda: pair.second.bitten()["commit_then_stall"])
    pair.daemon.kill()
    pair.daemon.start()  # with the first in turn again, which is away and might have the rows
    until(lambda: f":{pair.first.port}" in str(pair.status()["store"]))
    assert pair.status()["stored"] == 0
    pair.first.start()
    pair.settled(20)
    pair.holds(a=(0, 20))


def test_a_reader_goes_on_to_the_address_that_answers(pair: Pair) -> None:
    add_traces(store := Store(pair.second.url), [{"id": "a"}])
    store.close()
    pair.first.kill()
    reader = Store(pair.url)

    assert reader.query("SELECT id FROM llm_traces") == [{"id": "a"}]

    pair.second.kill()
    with pytest.raises(StoreBusy) as caught:
        reader.query("SELECT 1")
    assert caught.value.kind == "unreachable"
    reader.close()


def test_what_concerns_every_row_is_said_and_asked_at_every_server(pair: Pair) -> None:
    for engine in (pair.first, pair.second):
        store = Store(engine.url)
        given = {"id": str(engine.port), "created_at": 1, "usage_source": "unknown"}
        add_traces(store, [given, {"id": "given up", "outcome": "abandoned"}])
        store.close()
    both = Store(pair.url)
    landing, ports = ClickHouseSink(both), [str(pair.first.port), str(pair.second.port)]

    Rollup(both).doubt_abandoned(["given up"])
    landing.delete_abandoned([("", "given up")])

    asked = [("", call) for call in (*ports, "given up", "else")]
    found = landing.calls_present(asked, 0, 2**60, besides=str(uuid.uuid4()))
    assert found == {("", port) for port in ports}
    done = reprice(both, Pricer(), Reprice(from_us=0, to_us=2), "somebody@somewhere")
    assert (done.total, done.changed) == (2, 2)
    for engine in (pair.first, pair.second):
        store = Store(engine.url)
        assert store.query("SELECT cost_reason AS why FROM llm_traces") == [{"why": "usage_unknown"}]
        assert store.query("SELECT sum(calls) AS n FROM llm_price_changes WHERE state = 'done'") == [{"n": 1}]
        assert doubted(store) == 2
        store.close()
    both.close()


def test_replicas_are_one_so_a_batch_may_be_offered_again_at_another_address(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their tokens are shared, which two engines cannot show: only where the batch goes is seen here."""
    both = Store(pair.url)
    columns, rows = trace_rows(both, [{"id": "a"}])
    blocks = [both.encode("llm_traces", columns, rows)]
    replicated = both.placement("llm_traces").__class__("llm_traces", is_replicated=True)
    monkeypatch.setattr(both, "placement", lambda table: replicated)
    pair.first.fault("cut", only=INSERT)

    with pytest.raises(StoreBusy):
        ClickHouseSink(both).insert_blocks("llm_traces", columns, blocks, "batch:0-0")
    ClickHouseSink(both).insert_blocks("llm_traces", columns, blocks, "batch:0-0")

    pair.holds(a=(0, 1))
    both.close()


def test_a_server_that_joins_inserts_writes_what_it_has_before_it_is_asked(
    engine: Engine, server: Store, server_url: str, tmp_path: Path
) -> None:
    """The engine at hand joins nothing: what is seen is that the daemon asks for it, and flushes first."""
    without_faults()
    before = engine.bitten()
    engine.fault("commit_then_cut", only=INSERT)
    settings = {**SETTINGS, "insert_mode": "async"}
    with RunningDaemon(tmp_path, url=server_url, settings=settings) as daemon:
        daemon.send_one_way(b"".join(line(f"call-{number}", number) for number in range(20)))
        until(lambda: admin.status(tmp_path / "admin.sock")["stored"] == 20)

    done = engine.bitten() - before
    assert (done["commit_then_cut"], done["FLUSH ASYNC INSERT QUEUE"]) == (1, 1)
    assert done["async_insert"] >= 1
    assert server.query("SELECT uniqExact(id) AS n, count() AS m FROM llm_traces") == [{"n": 20, "m": 20}]


def test_the_embedded_engine_joins_no_inserts(tmp_path: Path) -> None:
    assert Store(f"chdb://{tmp_path}", insert_mode="async").insert_mode == "sync"


async def test_calls_are_read_from_the_address_that_is_there(pair: Pair) -> None:
    pair.first.kill()
    pair.send("a")
    pair.settled(20)
    async with LLMTraceReader(pair.url) as reader:
        page = await reader.list_by_agent("org-1", "agent-0")

    assert len(page.calls) == 3
