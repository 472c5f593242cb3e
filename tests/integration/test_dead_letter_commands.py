"""Dead letters can be listed, read, sent round again without doubling anything, and deleted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmledgerd.cli.dead_letters import app
from llmledgerd.errors import LlmledgerdError
from llmledgerd.spool import dead_letters
from llmledgerd.spool.dead_letters import Pruned
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.waiting import until


@pytest.fixture
def table(server_url: str) -> Iterator[Store]:
    store = Store(server_url)
    store.run("ALTER TABLE llm_traces ADD CONSTRAINT no_agent_13 CHECK agent_id != 'agent-13'")
    yield store
    store.close()


@pytest.fixture
def daemon(server_url: str, table: Store, tmp_path: Path) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path, url=server_url) as running:
        yield running


def run(daemon: RunningDaemon, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--spool-dir", str(daemon.spool)])
    if result.exception:
        raise result.exception
    return result.output


def settled(daemon: RunningDaemon, lines: int) -> bool:
    status = admin.status(daemon.folder / "admin.sock")
    return status["received"] >= lines and not status["in_spool"]


def test_a_refused_row_is_replayed_once_it_can_be_stored(daemon: RunningDaemon, table: Store) -> None:
    batch = [line(f"call-{index}", index, agent_id=f"agent-{index}") for index in range(10, 16)]
    daemon.send_one_way(b"".join(batch))
    until(lambda: settled(daemon, 6))
    (letter,) = json.loads(f"[{run(daemon, 'list', '--json').strip()}]")
    assert letter["reason"] == "refused_by_store"
    assert letter["line"] == batch[3].decode().rstrip("\n")
    assert "agent-13" in run(daemon, "show", letter["id"])

    table.run("ALTER TABLE llm_traces DROP CONSTRAINT no_agent_13")
    daemon.send_one_way(batch[3])  # somebody has mended it by hand already
    until(lambda: settled(daemon, 7))
    said = run(daemon, "replay", letter["id"], "--socket", str(daemon.socket))
    assert said == "1 sent again\n"
    assert not dead_letters.read(daemon.spool)
    until(lambda: settled(daemon, 9))
    rows = table.query("SELECT id, count() AS n FROM llm_traces GROUP BY id ORDER BY id")
    assert [(row["id"], row["n"]) for row in rows] == [(f"call-{index}", 1) for index in range(10, 16)]


def test_letters_are_chosen_by_reason_or_all_and_never_by_accident(daemon: RunningDaemon) -> None:
    daemon.send_one_way(b"bad\n[1]\nworse\n")
    until(lambda: settled(daemon, 3))
    with pytest.raises(LlmledgerdError, match="missing selection"):
        run(daemon, "purge")
    with pytest.raises(LlmledgerdError, match="no dead letter nonsense"):
        run(daemon, "purge", "nonsense")
    assert run(daemon, "purge", "--reason", "not_json") == "2 deleted\n"
    assert "not_an_object" in run(daemon, "list")
    assert run(daemon, "purge", "--all") == "1 deleted\n"


def test_old_and_many_letters_are_pruned_whole_files_at_a_time(tmp_path: Path) -> None:
    for batch in ("a", "b", "c"):
        letter = dead_letters.DeadLetter(id=f"{batch}:0", reason="not_json", received_us=0, size=1, line="x")
        dead_letters.write(tmp_path, batch, [letter])
    size = dead_letters.files(tmp_path)[0].stat().st_size
    assert dead_letters.prune(tmp_path, 2 * size, oldest_us=0) == Pruned(gone=1, files=2, size=2 * size)
    assert [letter.id for letter in dead_letters.read(tmp_path)] == ["b:0", "c:0"]
    far_future_us = 1 << 60
    assert dead_letters.prune(tmp_path, 2 * size, far_future_us) == Pruned(gone=2, files=0, size=0)


def test_a_replay_waits_for_another_and_sends_what_that_has_left(daemon: RunningDaemon) -> None:
    daemon.send_one_way(b"bad\nworse\n")
    until(lambda: len(dead_letters.read(daemon.spool)) == 2)
    gone = dead_letters.read(daemon.spool)[0]
    command = [
        sys.executable,
        "-c",
        "from llmledgerd.cli.app import main; main()",
        "dead-letters",
        "replay",
        "--all",
    ]
    options = ["--spool-dir", str(daemon.spool), "--socket", str(daemon.socket)]
    with dead_letters.alone(daemon.spool):
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        until(lambda: process.poll() is not None or waits_for_a_lock(process.pid))
        dead_letters.remove(daemon.spool, [gone.id])
    assert process.communicate()[0] == "1 sent again\n"


def waits_for_a_lock(pid: int) -> bool:
    locks = [entry.split() for entry in Path("/proc/locks").read_text().splitlines()]
    return any(entry[1] == "->" and str(pid) in entry for entry in locks)
