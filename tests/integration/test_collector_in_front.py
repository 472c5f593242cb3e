"""The Collector's own exporter in front of the daemon: everything that it accepted is a row once.

It runs where ``LLMLEDGER_TEST_COLLECTOR`` names a Collector, which ``python -m bench.peers.build FOLDER`` builds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from llmledgerd.stores.clickhouse.client import Store
from tests.helpers.collector import HOW, RunningCollector, free_port, program
from tests.helpers.daemon import RunningDaemon
from tests.helpers.otlp import CHAT, PROTOBUF, Exporter, as_protobuf, span, traces
from tests.helpers.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(program() is None, reason=HOW)]

BATCH = 50
BATCHES = 100


def batch(number: int) -> bytes:
    """Return a request of spans, each a trace of its own."""
    return as_protobuf(traces([span(1, CHAT, trace=f"{number:016x}{n + 1:016x}") for n in range(BATCH)]))


def names(numbers: range) -> set[str]:
    return {f"otlp-{number:016x}{n + 1:016x}-{1:016x}" for number in numbers for n in range(BATCH)}


def test_what_a_collector_accepted_is_a_row_once_over_kills_of_both(
    tmp_path: Path, server: Store, server_url: str
) -> None:
    """Both are killed with requests on their way, and the daemon is away for others."""
    port = free_port()
    daemon = RunningDaemon(tmp_path / "d", url=server_url, settings={"otlp": f"127.0.0.1:{port}"})
    forwards = {"endpoint": f"http://127.0.0.1:{port}"}
    with daemon, RunningCollector(tmp_path / "c", "otlp_http", forwards) as collector:
        emitter = Exporter(collector.port)

        def send(batches: range) -> None:
            for number in batches:
                assert emitter.post("traces", batch(number), PROTOBUF)[0] == 200

        for done in range(0, BATCHES, 20):
            send(range(done, done + 10))
            daemon.kill()
            send(range(done + 10, done + 20))
            collector.kill()
            collector.start()
            daemon.start()
        until(lambda: _rows(server)[1] == BATCHES * BATCH, limit=120, what="every accepted span")
        assert daemon.terminate() == 0
    assert _rows(server) == (BATCHES * BATCH, BATCHES * BATCH)
    found = server.query("SELECT groupArray(id) AS ids FROM llm_traces")[0]["ids"]
    assert set(found) == names(range(BATCHES))


def _rows(server: Store) -> tuple[int, int]:
    """Return how many rows are stored, and how many ids."""
    found = server.query("SELECT count() AS rows, uniqExact(id) AS ids FROM llm_traces")[0]
    return found["rows"], found["ids"]
