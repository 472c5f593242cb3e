"""What /metrics says is what was sent and what became of it."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from llmledger import TraceClient
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.engine import Engine, without_faults
from tests.helpers.exchanges import line, openai_chat
from tests.helpers.scrape import Scrape, scrape
from tests.helpers.session import Session
from tests.helpers.waiting import until


@pytest.fixture
def url(server_url: str) -> str:
    """Return the URL of a migrated database on a server."""
    return server_url


def scraped(daemon: RunningDaemon) -> Scrape:
    return scrape(daemon.folder / "admin.sock")


def until_scraped(daemon: RunningDaemon, condition: Callable[[Scrape], bool]) -> Scrape:
    """Return the first scrape for which this holds."""
    found = until(lambda: seen if condition(seen := scraped(daemon)) else None)
    assert found is not None
    return found


def frame(kind: str, body: object) -> bytes:
    return json.dumps({"protocol_version": 4, kind: body}).encode() + b"\n"


def test_what_was_sent_is_what_is_counted_also_after_a_restart(url: str, tmp_path: Path) -> None:
    settings = {"orphan_grace_seconds": 0.2, "max_line_bytes": 4096}
    with RunningDaemon(tmp_path / "d", url=url, settings=settings) as daemon:
        client = TraceClient(str(daemon.socket), service="api")
        assert all(client.record(**openai_chat(number)) for number in range(40))
        client.close()  # 40 records and an end
        daemon.send_one_way(b"no json\n[1]\n" + b"x" * 5000 + b"\n")  # three dead letters
        with Session(daemon.socket, service="worker") as session:
            session.hello()
            begin = frame("begin", {"provider_trace_id": str(uuid.uuid4())})
            lost = frame("dropped", {"buffer_full": 3, "encode_failed": 2})
            session.send([line("a", 1), begin, lost, lost])
            session.wait_durable(4)
        # The worker dies: its begun call is abandoned, which is a row; that it died is a loss.
        seen = until_scraped(
            daemon,
            lambda s: s("uncounted_losses_total", stage="client", service="worker", reason="sender_died") > 0,
        )
        until(lambda: scraped(daemon).of_store("waiting_lines") == 0)
        seen = scraped(daemon)
        assert seen.of_store("stored_lines_total") == 42
        assert seen.of_store("dead_letter_lines_total") == 3
        assert seen.of_store("control_lines_total") == 5  # end, begin, two reports, the death
        assert seen("received_lines_total") == 50
        assert seen("abandoned_calls_total") == 1
        for reason in ("not_json", "not_an_object", "too_long"):
            assert seen.of_store("rejected_lines_total", reason=reason) == 1, reason
        for reason, count in (("buffer_full", 6), ("encode_failed", 4)):
            assert seen("losses_total", stage="client", service="worker", reason=reason) == count
        assert seen("losses_total", stage="daemon", service="", reason="too_long") == 1
        assert seen.of_store("store_lag_seconds_count") == 42
        assert seen.of_store("store_insert_rows_sum") == 42
        assert seen.of_store("store_insert_seconds_count") == seen.of_store("store_insert_bytes_count") > 0
        assert seen("group_commit_seconds_count") > 0
        assert seen("connections_total") == 3
        assert (seen("accepting"), seen.of_store("store_taking")) == (1, 1)
        until(lambda: scraped(daemon)("dead_letter_files") > 0)
        until(lambda: scraped(daemon)("event_loop_lag_seconds_count") > 0)
        assert daemon.terminate() == 0
        daemon.start()
        again = scraped(daemon)
        for name in (
            "stored_lines_total",
            "dead_letter_lines_total",
            "lost_lines_total",
            "control_lines_total",
        ):
            assert again.of_store(name) == seen.of_store(name), name
        assert again("received_lines_total") == 50


def test_a_store_that_hangs_delays_no_scrape(url: str, engine: Engine, tmp_path: Path) -> None:
    without_faults()
    stalled = engine.bitten()["stall"]
    engine.fault("stall", times=99, only="INSERT INTO llm_traces ")
    with RunningDaemon(tmp_path / "d", url=url) as daemon:
        daemon.send_one_way(line("waits", 1))
        until(lambda: engine.bitten()["stall"] > stalled)
        seen = scraped(daemon)
        assert (seen("accepting"), seen.of_store("waiting_lines")) == (1, 1)
        assert seen.of_store("store_inserts_in_flight") == 1
        until_scraped(daemon, lambda s: s("spool_oldest_seconds") > 0)
        assert admin.get(daemon.folder / "admin.sock", "/readyz") == (200, "ready\n")
        engine.release()
        until_scraped(daemon, lambda s: s.of_store("stored_lines_total") == 1)


def test_a_store_that_refuses_is_not_taking_and_says_so_once(
    url: str, engine: Engine, tmp_path: Path
) -> None:
    without_faults()
    engine.fault("error", times=5, only="INSERT INTO llm_traces ", code=252)
    settings = {"retry_first_seconds": 0.01, "retry_cap_seconds": 0.05}
    with RunningDaemon(tmp_path / "d", url=url, settings=settings) as daemon:
        daemon.send_one_way(line("refused", 1))
        until_scraped(daemon, lambda s: s.of_store("store_taking") == 0)
        seen = until_scraped(daemon, lambda s: s.of_store("stored_lines_total") == 1)
        assert seen.of_store("store_retries_total", kind="too_many_parts") == 5
        assert seen.of_store("store_taking") == 1
        assert daemon.terminate() == 0
        said = [entry for entry in daemon.log() if entry["event"] == "delivery failed, retrying"]
        assert [entry.get("times", 1) for entry in said] == [1, 4], "the rest is said at the end"


def test_refused_connections_and_bad_lines_are_counted_and_said_once(url: str, tmp_path: Path) -> None:
    with RunningDaemon(tmp_path / "d", url=url, settings={"max_connections": 1}) as daemon:
        with Session(daemon.socket) as session:
            session.hello()
            for _ in range(5):
                with daemon.connection() as sock:
                    assert sock.recv(10) == b""
            session.send([b"bad\n"] * 50)
            session.wait_durable(50)
            seen = until_scraped(daemon, lambda s: s.of_store("dead_letter_lines_total") == 50)
            assert seen("refused_connections_total", reason="max_connections") == 5
            assert seen("open_connections") == 1
        assert daemon.terminate() == 0
        times = {"connection refused": 0, "lines moved to the dead-letter queue": 0}
        for entry in daemon.log():
            if entry["event"] in times:
                times[entry["event"]] += entry.get("times", 1)
        assert times == {"connection refused": 5, "lines moved to the dead-letter queue": 50}


def test_lines_that_a_damaged_disk_lost_are_counted_and_said(url: str, tmp_path: Path) -> None:
    with RunningDaemon(tmp_path / "d", url="http://127.0.0.1:1/default") as daemon:
        daemon.send_one_way(b"".join(line(f"call-{number}", number) for number in range(30)))
        until_scraped(daemon, lambda s: s("spool_segments") == 1)
        daemon.kill()
        sealed = daemon.segments()[0]
        data = bytearray(sealed.read_bytes())
        data[len(data) // 2] ^= 1  # nearly all of it is the body of the one group
        sealed.write_bytes(data)
        daemon.url = url
        daemon.start()
        seen = until_scraped(daemon, lambda s: s.of_store("waiting_lines") == 0)
        assert seen.of_store("lost_lines_total") == 30
        assert seen("losses_total", stage="spool", service="", reason="damaged") == 30
        until(lambda: scraped(daemon)("quarantined_files") == 1)
        (said,) = (entry for entry in daemon.log() if "a part of the spool is damaged" in entry["event"])
        assert (said["level"], said["times"]) == ("error", 30)


def test_on_tcp_metrics_and_health_are_open_and_questions_are_not(url: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with RunningDaemon(tmp_path / "d", url=url, settings={"admin": address}):
        codes = {}
        for target in ("/metrics", "/healthz", "/readyz", "/v1/status"):
            connection = http.client.HTTPConnection(address)
            connection.request("GET", target)
            codes[target] = connection.getresponse().status
            connection.close()
        assert codes == {"/metrics": 200, "/healthz": 200, "/readyz": 200, "/v1/status": 401}


def test_a_daemon_that_stops_is_alive_and_not_ready(url: str, engine: Engine, tmp_path: Path) -> None:
    without_faults()
    stalled = engine.bitten()["stall"]
    engine.fault("stall", times=99, only="INSERT INTO llm_traces ")
    with RunningDaemon(tmp_path / "d", url=url) as daemon:
        path = daemon.folder / "admin.sock"
        daemon.send_one_way(line("waits", 1))
        until(lambda: engine.bitten()["stall"] > stalled)
        daemon.signal(signal.SIGTERM)
        until(lambda: admin.get(path, "/readyz") == (503, "stopping\n"))
        assert admin.get(path, "/healthz")[0] == 200
        engine.release()
        assert daemon.wait() == 0
