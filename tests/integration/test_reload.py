"""SIGHUP: what can change does, what cannot is named, and what is wrong changes nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import admin
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.waiting import until

DONE, LATER, KEPT = (
    "reloaded",
    "these settings take effect after a restart",
    "reload failed, settings unchanged",
)
NOBODY = "http://127.0.0.1:1/default"


class Configured(RunningDaemon):
    """A daemon whose settings lie in a file."""

    def __init__(self, folder: Path, **settings: object) -> None:
        super().__init__(folder, url=NOBODY)
        self.file = folder / "llmledgerd.toml"
        self.write(**settings)

    def _options(self) -> list[str]:
        return ["--config", str(self.file)]

    def write(self, **settings: object) -> None:
        """Write the file anew."""
        wanted = {**self._all_settings(), "drain_timeout_seconds": 0.2, **settings}
        url = wanted.pop("clickhouse_url")
        numbers = {name: value for name, value in wanted.items() if isinstance(value, int | float)}
        texts = {name: f'"{value}"' for name, value in wanted.items() if name not in numbers}
        lines = [f"{name} = {value}" for name, value in (numbers | texts).items()]
        self.folder.mkdir(exist_ok=True)
        self.file.write_text("\n".join([*lines, "[clickhouse]", f'url = "{url}"', ""]))

    def reload(self) -> dict[str, dict[str, Any]]:
        """Send SIGHUP; return what was logged of it, by event, once something was."""
        mark = self.log_path.stat().st_size
        self.signal(signal.SIGHUP)

        def said() -> dict[str, dict[str, Any]]:
            return {
                entry["event"]: entry for entry in self.log(mark) if entry["event"] in (DONE, LATER, KEPT)
            }

        return until(said)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Configured]:
    with Configured(tmp_path, batch_max_rows=1000, batch_max_age_seconds=3600) as running:
        yield running


def segments(daemon: RunningDaemon) -> int:
    return int(admin.status(daemon.folder / "admin.sock")["spool_segments"])


def send(daemon: RunningDaemon, *calls: str) -> None:
    before = admin.status(daemon.folder / "admin.sock")["received"]
    daemon.send_one_way(b"".join(line(call, 1) for call in calls))
    until(lambda: admin.status(daemon.folder / "admin.sock")["received"] == before + len(calls))


def test_what_can_change_is_in_force_at_once(daemon: Configured) -> None:
    send(daemon, "a", "b", "c")
    assert segments(daemon) == 0, "the open one is not sealed"
    daemon.write(batch_max_rows=2, batch_max_age_seconds=3600, log_level="debug")
    assert daemon.reload()[DONE]["changed"] == ["batch_max_rows", "log_level"]
    send(daemon, "d")
    until(lambda: segments(daemon) >= 1)


def test_what_takes_a_restart_is_named_and_stays(daemon: Configured) -> None:
    daemon.write(batch_max_rows=7, socket_mode="0600", clickhouse_url="http://elsewhere/db")
    said = daemon.reload()
    assert said[DONE]["changed"] == ["batch_max_rows", "batch_max_age_seconds"]
    later = until(lambda: [entry for entry in daemon.log() if entry["event"] == LATER])
    assert later[0]["settings"] == ["socket_mode", "clickhouse.url"]
    until(lambda: "127.0.0.1:1" in admin.status(daemon.folder / "admin.sock")["store"])


def test_a_bad_file_leaves_everything_as_it_was_and_is_named_in_one_line(daemon: Configured) -> None:
    daemon.write(batch_max_rows=2, on_full="explode")
    said = daemon.reload()[KEPT]
    assert said["level"] == "error"
    assert "on_full" in said["error"]
    assert str(daemon.file) in said["error"]
    send(daemon, "a", "b", "c")
    assert segments(daemon) == 0, "three lines are more than two"
    daemon.write(batch_max_rows=2)
    assert "batch_max_rows" in daemon.reload()[DONE]["changed"]


def test_the_level_of_the_log_changes_for_every_module(daemon: Configured) -> None:
    daemon.write(log_level="warning", socket_mode="0600")
    mark = daemon.log_path.stat().st_size
    assert DONE not in daemon.reload()
    assert daemon.terminate() == 0
    assert not [entry for entry in daemon.log(mark) if entry["level"] == "info"]
