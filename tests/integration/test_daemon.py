"""The main job: what is handed to the client, or written to the socket, is in the table once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from llmledger import TraceClient
from llmledgerd.stores.clickhouse import migrations
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import DaemonDied, RunningDaemon
from tests.helpers.exchanges import line, openai_chat
from tests.helpers.waiting import until


@pytest.fixture
def daemon(server_url: str, tmp_path: Path) -> Iterator[RunningDaemon]:
    """A daemon whose store, a server, can be asked while it runs."""
    with RunningDaemon(tmp_path / "d", url=server_url) as running:
        yield running


@pytest.fixture
def table(server_url: str) -> Iterator[Store]:
    store = Store(server_url)
    yield store
    store.close()


def count(table: Store, where: str = "1") -> int:
    return int(table.query(f"SELECT count() AS n FROM llm_traces WHERE {where}")[0]["n"])


def settled(daemon: RunningDaemon) -> dict[str, object] | None:
    status = admin.status(daemon.folder / "admin.sock")
    return status if not status["in_spool"] else None


def test_records_of_one_client_are_rows_with_their_tokens(daemon: RunningDaemon, table: Store) -> None:
    client = TraceClient(str(daemon.socket), service="api")
    assert all(client.record(**openai_chat(index)) for index in range(1, 501))
    assert client.flush(30)
    client.close()
    until(lambda: count(table) == 500)
    row = table.query(
        "SELECT sum(prompt_tokens) AS p, sum(completion_tokens) AS c, sum(total_tokens) AS t, uniqExact(id) AS ids,"
        " any(service) AS service, any(model) AS model, countIf(cost_usd IS NULL) AS unpriced FROM llm_traces"
    )[0]
    assert (row["p"], row["c"], row["t"], row["ids"]) == (125250, 500, 125750, 500)
    assert (row["service"], row["model"], row["unpriced"]) == ("api", "gpt-4o-2024-08-06", 0)
    until(lambda: settled(daemon))
    assert daemon.terminate() == 0
    assert len(daemon.segments()) == 1, "only the next, empty segment is left"


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_sender_of_an_earlier_version_connects_writes_one_line_and_closes(
    daemon: RunningDaemon, table: Store, version: int
) -> None:
    old = {
        "provider_trace_id": f"provider_trace-00000000-0000-0000-0000-00000000000{version}",
        "agent_id": "agent-1",
        "tags": ["a", "b"],
        "request": {"model": "gpt-4o", "messages": []},
        "response": openai_chat(9)["response"],
        "error": None,
        "timestamp": "2026-01-02T03:04:05.678901",
    }
    if version > 1:
        old |= {"org_id": "org-2", "llm_config": {"model": "gpt-4o", "model_endpoint_type": "openai"}}
    daemon.send_one_way(json.dumps({"protocol_version": version, **old}).encode() + b"\n")
    until(lambda: count(table) == 1)
    row = table.query("SELECT * FROM llm_traces")[0]
    assert row["id"] == f"00000000-0000-0000-0000-00000000000{version}"
    assert row["agent_tags"] == ["a", "b"]
    assert row["call_type"] == "agent_step"
    assert row["organization_id"] == ("org-2" if version > 1 else "")
    assert (row["prompt_tokens"], row["is_error"], row["protocol_version"]) == (9, 0, version)
    assert row["created_at"].isoformat() == "2026-01-02T03:04:05.678901+00:00"


def test_nothing_is_written_back_to_a_one_way_sender(daemon: RunningDaemon) -> None:
    with daemon.connection() as sock:
        sock.sendall(line("v3", 1, version=3) + line("v4", 2))
        sock.shutdown(1)
        assert sock.recv(100) == b""


def test_the_last_line_of_a_one_way_sender_counts_without_its_newline(
    daemon: RunningDaemon, table: Store
) -> None:
    daemon.send_one_way(line("whole", 1) + line("no-newline", 2)[:-1])
    daemon.send_one_way(line("whole-2", 3) + line("torn", 4)[:-9])
    until(lambda: count(table) == 3)
    assert count(table, "id = 'torn'") == 0


def test_sigterm_takes_what_has_arrived_and_exits_0(daemon: RunningDaemon, table: Store) -> None:
    daemon.signal(signal.SIGSTOP)  # so that the lines lie in the kernel when the signal comes
    with daemon.connection() as sock:
        sock.sendall(b"".join(line(f"last-{index}", index) for index in range(20)))
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGCONT)
    assert daemon.wait() == 0
    assert count(table) == 20
    assert not daemon.socket.exists()


def test_what_cannot_be_stored_in_time_stays_in_the_spool_and_is_said(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:1/default"
    with RunningDaemon(tmp_path, url=nobody, settings={"drain_timeout_seconds": 0.3}) as daemon:
        client = TraceClient(str(daemon.socket))
        client.record(**openai_chat(1))
        assert client.flush(30)
        client.close()
        assert daemon.terminate() == 0
    last = daemon.log()[-1]
    assert last["event"] == "stopped"
    assert last["lines_left_in_spool"] >= 1


def test_a_second_daemon_says_who_has_the_socket_or_the_spool(daemon: RunningDaemon, tmp_path: Path) -> None:
    for mine, setting in (("socket", "spool_dir"), ("spool", "socket_path")):
        other = RunningDaemon(daemon.folder, url=daemon.url, settings={setting: tmp_path / f"other-{mine}"})
        other.log_path = tmp_path / f"{mine}.log"
        other.start(wait=False)
        assert other.wait() == 2
        said = other.log_path.read_text().strip().splitlines()[-1]
        assert "another daemon" in said
        assert str(getattr(daemon, mine)) in said


def test_a_stale_socket_is_replaced(daemon: RunningDaemon, table: Store) -> None:
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()
    daemon.send_one_way(line("after", 1))
    until(lambda: count(table) == 1)


def test_a_server_without_tables_keeps_records_waiting_until_somebody_migrates(
    empty_url: str, tmp_path: Path
) -> None:
    with closing(Store(empty_url)) as table, RunningDaemon(tmp_path / "d", url=empty_url) as daemon:
        daemon.send_one_way(line("early", 1))
        until(lambda: admin.status(daemon.folder / "admin.sock")["in_spool"] == 1)
        until(lambda: "llmledgerd migrate" in admin.get(daemon.folder / "admin.sock", "/readyz")[1])
        assert admin.get(daemon.folder / "admin.sock", "/readyz")[0] == 200, "it can take records"
        migrations.apply(table, migrations.Layout())
        until(lambda: count(table) == 1)


def test_the_embedded_engine_gives_the_same_rows(daemon: RunningDaemon, table: Store, tmp_path: Path) -> None:
    lines = b"".join(line(f"same-{index}", index, timestamp="2026-03-04T05:06:07Z") for index in range(50))
    daemon.send_one_way(lines)
    with RunningDaemon(tmp_path / "embedded") as embedded:
        embedded.send_one_way(lines)
        until(lambda: admin.status(embedded.folder / "admin.sock")["stored"] == 50)
        assert embedded.terminate() == 0
    until(lambda: count(table) == 50)
    own = ("batch_id", "batch_row", "ingested_at")
    sql = f"SELECT * EXCEPT ({', '.join(own)}) FROM llm_traces ORDER BY id"
    here = Store(embedded.url)
    assert here.query(sql) == table.query(sql)
    here.close()


@pytest.mark.parametrize("taken", ["record", "admin", "both"])
def test_a_second_daemon_that_cannot_start_takes_no_path_of_the_first(
    tmp_path: Path, server_url: str, taken: str
) -> None:
    with RunningDaemon(tmp_path / "first", url=server_url) as first:
        second = RunningDaemon(tmp_path / "second", url=server_url)
        record, admin_path = first.socket, first.folder / "admin.sock"
        second.settings = {"admin": f"unix:{tmp_path / 'other.sock'}"}
        if taken in ("record", "both"):
            second.settings["socket_path"] = record
        if taken in ("admin", "both"):
            second.settings["admin"] = f"unix:{admin_path}"
        with pytest.raises(DaemonDied, match="another daemon"):
            second.start()

        assert admin.get(admin_path, "/healthz")[0] == 200
        first.send_one_way(line("c-1", 1))
        until(lambda: admin.status(admin_path)["stored"] == 1)
        assert not second.socket.exists(), "what it had bound itself is gone with it"


def test_prices_of_a_file_hold_from_the_sighup_that_follows_its_change(
    server_url: str, table: Store, tmp_path: Path
) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('[[prices]]\norganization = "acme"\nper_call = 0.25\n')

    def costs(org: str) -> list[tuple[object, ...]]:
        """Return the cost, source and parts of an organization's calls, in their order."""
        found = table.query(
            "SELECT cost_usd, cost_usd_source, cost_parts FROM llm_traces WHERE organization_id = {org:String}"
            " ORDER BY ingested_at, batch_row",
            {"org": org},
        )
        return [tuple(row.values()) for row in found]

    with RunningDaemon(tmp_path / "d", url=server_url, settings={"prices_file": str(file)}) as daemon:
        client = TraceClient(str(daemon.socket))
        first = (Decimal("0.25"), "own_price", {"request": Decimal("0.25")})
        client.record(**{**openai_chat(1), "org_id": "acme"})
        client.record(**{**openai_chat(2), "org_id": "other"})
        until(lambda: costs("acme") == [first] and costs("other"))
        assert costs("other")[0][1] == "list_price"
        file.write_text("[[prices]]\nper_call = -1\n")
        daemon.signal(signal.SIGHUP)
        seen = until(lambda: (s := admin.status(daemon.folder / "admin.sock"))["prices"] and s)
        assert "entry 1" in seen["prices"]
        assert seen["system_errors"]["prices"] == 1
        client.record(**{**openai_chat(3), "org_id": "acme"})
        until(lambda: costs("acme") == [first, first])
        file.write_text('[[prices]]\norganization = "acme"\nper_call = 0.5\n')
        daemon.signal(signal.SIGHUP)
        until(lambda: not admin.status(daemon.folder / "admin.sock")["prices"])
        client.record(**{**openai_chat(4), "org_id": "acme"})
        until(lambda: len(costs("acme")) == 3)
        assert costs("acme")[2] == (Decimal("0.5"), "own_price", {"request": Decimal("0.5")})
        client.close()
