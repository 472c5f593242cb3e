"""The daemon as systemd has it: sockets handed over, words to the manager, a watchdog, restarts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmledger import TraceClient
from llmledgerd.stores.clickhouse.client import Store
from llmledgerd.system.sd_notify import Notifier
from llmledgerd.system.unix_sockets import end_writes
from tests.helpers import admin
from tests.helpers.daemon import ROOT, RunningDaemon
from tests.helpers.engine import Engine
from tests.helpers.exchanges import line, openai_chat
from tests.helpers.session import Session
from tests.helpers.supervised import SupervisedDaemon
from tests.helpers.waiting import until

pytestmark = pytest.mark.chaos

NOBODY = "http://127.0.0.1:1/default"
WATCHDOG_SECONDS = 3.0


@pytest.fixture
def table(server_url: str) -> Iterator[Store]:
    store = Store(server_url)
    yield store
    store.close()


def count(table: Store) -> int:
    return int(table.query("SELECT count() AS n FROM llm_traces")[0]["n"])


def status(daemon: RunningDaemon) -> dict[str, Any]:
    return admin.status(daemon.folder / "admin.sock")


def test_the_manager_hears_of_the_start_the_reload_and_the_end(tmp_path: Path) -> None:
    with SupervisedDaemon(tmp_path, url=NOBODY, settings={"drain_timeout_seconds": 0.3}) as daemon:
        assert daemon.hear("READY")["STATUS"]
        assert "0 in the spool" in daemon.hear("STATUS")["STATUS"]
        daemon.signal(signal.SIGHUP)
        assert int(daemon.hear("RELOADING")["MONOTONIC_USEC"]) > 0
        daemon.hear("READY")
        daemon.signal(signal.SIGTERM)
        assert int(daemon.hear("STOPPING")["EXTEND_TIMEOUT_USEC"]) > 300_000
        assert daemon.wait() == 0


def test_a_name_in_the_abstract_namespace_is_told_too(tmp_path: Path) -> None:
    name = f"llmledger-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0{name}")
        ear.settimeout(10)
        told = Notifier(f"@{name}")
        told.send("READY=1", "STATUS=here")
        assert ear.recv(100) == b"READY=1\nSTATUS=here"
        told.close()


def test_who_connects_while_no_daemon_runs_is_served_by_the_next_one(
    server_url: str, table: Store, tmp_path: Path
) -> None:
    with SupervisedDaemon(tmp_path, url=server_url) as daemon, Session(daemon.socket) as session:
        session.hello()
        session.send([line("before", 1)])
        session.wait_durable(1)
        assert daemon.terminate() == 0
        assert daemon.socket.exists(), "the socket is the manager's"
        daemon.send_one_way(line("v3", 2, version=3))
        daemon.send_one_way(line("torn-from-its-newline", 3, version=1)[:-1])
        client = TraceClient(str(daemon.socket))
        client.record(**openai_chat(4))
        daemon.start()
        assert session.hello() == 1
        assert client.flush(30)
        client.close()
        assert daemon.terminate() == 0
    assert count(table) == 4


def test_a_one_way_sender_in_the_middle_of_its_line_is_waited_for(
    server_url: str, table: Store, tmp_path: Path
) -> None:
    text = line("slow", 1, version=2)
    with SupervisedDaemon(tmp_path, url=server_url) as daemon:
        with daemon.connection() as sock, Session(daemon.socket) as session:
            session.hello()
            sock.sendall(text[:50])
            until(lambda: status(daemon)["connections"] == 2)
            daemon.signal(signal.SIGTERM)
            daemon.hear("STOPPING")
            with pytest.raises(ConnectionResetError):
                session.hear()  # sessions are closed as the daemon begins to take what has arrived
            sock.sendall(text[50:])
        assert daemon.wait() == 0
    assert count(table) == 1


def test_a_one_way_sender_that_stays_silent_learns_that_nobody_reads(tmp_path: Path) -> None:
    settings = {"drain_timeout_seconds": 3}
    with SupervisedDaemon(tmp_path, url=NOBODY, settings=settings) as daemon, daemon.connection() as sock:
        until(lambda: status(daemon)["connections"] == 1)
        assert daemon.terminate() == 0
        with pytest.raises(BrokenPipeError):
            sock.sendall(line("late", 1, version=1))


def test_socket_activate_of_systemd_starts_a_daemon_that_serves_who_knocked(
    server_url: str, table: Store, tmp_path: Path
) -> None:
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("systemd-socket-activate is not installed")
    path, log = tmp_path / "s", tmp_path / "log"
    settings = {"clickhouse_url": server_url, "spool_dir": tmp_path / "spool", "admin": f"unix:{tmp_path}/a"}
    command = ["systemd-socket-activate", "-l", str(path), "-E", "PYTHONPATH", "-E", "PATH"]
    command += [sys.executable, "-m", "llmledgerd", "serve"]
    for name, value in {"batch_max_age_seconds": 0.1, **settings}.items():
        command += ["--set", f"{name}={value}"]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream)
    try:
        until(path.exists)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(str(path))
            sock.sendall(line("knocked", 1, version=1))
        until(lambda: count(table) == 1, what=log.read_text())
        process.terminate()
        assert process.wait(60) == 0
        assert path.exists()
    finally:
        process.kill()
        process.wait()


def test_a_daemon_whose_event_loop_is_blocked_is_killed_and_started_again(
    server_url: str, table: Store, tmp_path: Path
) -> None:
    with SupervisedDaemon(tmp_path, url=server_url, watchdog_seconds=WATCHDOG_SECONDS) as daemon:
        daemon.hear("READY")
        daemon.hear("WATCHDOG")
        daemon.signal(signal.SIGUSR1)
        daemon.send_one_way(line("unread", 1, version=1))
        assert daemon.kill_when_it_goes_hungry() == -signal.SIGABRT
        assert "block_the_loop" in daemon.log_path.read_text(), "the stacks of all threads are in the log"
        daemon.send_one_way(line("after", 2, version=1))
        until(lambda: count(table) >= 1)
        daemon.hear("WATCHDOG")


def test_a_daemon_whose_shipper_hangs_is_killed_and_started_again(
    server_url: str, table: Store, tmp_path: Path
) -> None:
    settings = {"hung_after_seconds": WATCHDOG_SECONDS}
    with SupervisedDaemon(
        tmp_path, url=server_url, settings=settings, watchdog_seconds=WATCHDOG_SECONDS
    ) as daemon:
        daemon.hear("READY")
        daemon.signal(signal.SIGUSR2)
        with Session(daemon.socket) as session:
            session.hello()
            session.send([line("stuck", 1)])
            session.wait_durable(1)
        assert daemon.kill_when_it_goes_hungry() == -signal.SIGABRT
        assert any(entry["event"].startswith("watchdog not notified") for entry in daemon.log())
        until(lambda: count(table) == 1)
        daemon.hear("WATCHDOG")


def test_a_store_that_is_away_or_hangs_does_not_starve_the_watchdog(
    engine: Engine, server_url: str, table: Store, tmp_path: Path
) -> None:
    settings = {"insert_timeout_seconds": 3, "hung_after_seconds": 1}
    with SupervisedDaemon(
        tmp_path, url=server_url, settings=settings, watchdog_seconds=WATCHDOG_SECONDS
    ) as daemon:
        engine.fault("stall")
        daemon.send_one_way(line("late", 1, version=1))
        until(lambda: status(daemon)["retries"].get("timeout"), what="the insert to be given up")
        engine.release()
        until(lambda: count(table) == 1)
        engine.fault("error", code=60, times=3)
        daemon.send_one_way(line("later", 2, version=1))
        until(lambda: count(table) == 2)
        daemon.hear("WATCHDOG")
        # On a busy machine another step may take a second; a call of the store has its time-outs on top.
        assert not any("store" in entry.get("steps", ()) for entry in daemon.log())


def test_after_the_end_of_writes_nothing_that_was_written_is_lost() -> None:
    """What ``Peer.end_input`` stands on: each write either is read or fails."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"before")
        end_writes(ours.fileno())
        with pytest.raises(BrokenPipeError):
            theirs.sendall(b"after")
        assert ours.recv(100) == b"before"
        assert ours.recv(100) == b""
