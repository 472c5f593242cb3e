"""A command that was forked for a test is the command: its arguments, environment, streams and exit code."""

from __future__ import annotations

import os
from pathlib import Path

from tests.helpers import prefork
from tests.helpers.daemon import RunningDaemon


def test_a_forked_command_has_its_own_arguments_environment_streams_and_exit_code() -> None:
    own = {"LLMLEDGER_BATCH_MAX_ROWS": "17"}
    for environment, is_there in ((own, True), ({}, False)):
        done = prefork.run("llmledgerd", "config", environment=environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert ("17" in done.stdout.split()) is is_there
    wrong = prefork.run("llmledger", "traces", "--limit", "0", environment={})
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "--limit" in wrong.stderr


def test_a_forked_daemon_is_a_child_of_the_test_and_ends_by_its_signals(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, url="http://127.0.0.1:1/default") as daemon:
        fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(fields[1]) == os.getpid()
        assert daemon.terminate() == 0
        daemon.start()
        daemon.kill()
        assert daemon.wait() == -9
        assert not daemon.alive
