"""``llmledgerd health``: what containers and probes ask."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.helpers import prefork
from tests.helpers.daemon import RunningDaemon
from tests.helpers.places import environment
from tests.helpers.waiting import until


def health(*arguments: str) -> subprocess.CompletedProcess[str]:
    return prefork.run("llmledgerd", "health", *arguments, environment=environment())


def test_a_daemon_that_runs_is_well_and_says_what_it_waits_for(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path / "d", url="http://127.0.0.1:9/none") as daemon:
        address = ("--set", f"socket_path={daemon.socket}")
        assert (health(*address).returncode, health(*address).stdout) == (0, "ok\n")
        until(lambda: "records wait in the spool" in health(*address, "--ready").stdout)
        assert health(*address, "--ready").returncode == 0, "a store that is away makes nobody ill"


def test_a_full_spool_is_alive_and_takes_no_records(tmp_path: Path) -> None:
    full = {"spool_reserve_bytes": 1 << 60}
    with RunningDaemon(tmp_path / "d", url="http://127.0.0.1:9/none", settings=full) as daemon:
        daemon.send_one_way(b'{"protocol_version":1}\n')
        address = ("--set", f"socket_path={daemon.socket}")
        until(lambda: health(*address, "--ready").returncode == 1)
        said = health(*address, "--ready")
        assert said.stdout == ""
        assert "full" in said.stderr
        assert health(*address).returncode == 0


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    away = health("--set", f"admin=unix:{tmp_path}/admin.sock")
    assert (away.returncode, away.stdout, len(away.stderr.splitlines())) == (1, "", 1)
    none = health("--set", "admin=")
    assert (none.returncode, none.stdout) == (2, "")
    assert "`admin` is empty" in none.stderr
