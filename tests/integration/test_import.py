"""Records come in from files as from any sender: each once, however often the import is run."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmledgerd.errors import LlmledgerdError
from llmledgerd.importing import files as record_files
from llmledgerd.stores.clickhouse.client import Store
from tests.helpers import admin, prefork
from tests.helpers.daemon import RunningDaemon
from tests.helpers.exchanges import line
from tests.helpers.waiting import until

START = "2026-11-20T10:00:00Z"


@pytest.fixture
def daemon(tmp_path: Path, server_url: str) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path / "d", url=server_url) as running:
        yield running


def command(daemon: RunningDaemon, *arguments: str) -> list[str]:
    main = "from llmledgerd.cli.app import main; main()"
    return [sys.executable, "-c", main, "import", "--socket", str(daemon.socket), *arguments]


def run(daemon: RunningDaemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ("--socket", str(daemon.socket))
    return prefork.run("llmledger", "import", *options, *arguments, environment=os.environ)


def landed(daemon: RunningDaemon) -> Counter[str]:
    until(lambda: not admin.status(daemon.folder / "admin.sock")["in_spool"])
    store = Store(daemon.url)
    try:
        return Counter(row["id"] for row in store.query("SELECT id FROM llm_traces"))
    finally:
        store.close()


def tree(folder: Path) -> dict[str, int]:
    """Write the same three days as objects, NDJSON and both packed; return what has to land."""
    raw = folder / "raw"
    for index in range(6):
        day = raw / f"date=2026-11-{20 + index % 2}"
        day.mkdir(parents=True, exist_ok=True)
        record = json.loads(line(f"object-{index}", index, version=1 + index % 4, timestamp=START))
        (day / f"object-{index}.json.gz").write_bytes(gzip.compress(json.dumps(record, indent=2).encode()))
    (folder / "a.ndjson").write_bytes(
        b"\n".join(line(f"line-{index}", index, timestamp=START) for index in range(5))
    )
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(line("packed", 1, timestamp=START)))
    (folder / "notes.txt").write_text("no records")
    return dict.fromkeys(
        [*(f"object-{index}" for index in range(6)), *(f"line-{index}" for index in range(5)), "packed"], 1
    )


def test_lines_and_objects_land_once_each_however_often_they_are_imported(
    daemon: RunningDaemon, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    wanted = tree(files)
    dry = run(daemon, "--dry-run", str(files))
    assert (dry.returncode, dry.stdout) == (0, "12 records could be sent from 4 files and folders\n"), (
        dry.stderr
    )
    assert not landed(daemon)

    first = run(daemon, str(files))
    assert (first.returncode, first.stdout) == (0, "12 records sent from 4 files and folders\n"), first.stderr
    assert landed(daemon) == wanted
    again = run(daemon, str(files))
    assert again.stdout == "0 records sent from 4 files and folders, 12 already present\n"
    for path in files.rglob("*"):
        os.utime(path)  # other files, to the daemon: their lines are asked for by id
    other = run(daemon, str(files))
    assert other.stdout == "12 records sent from 4 files and folders\n"
    assert landed(daemon) == wanted


def test_what_is_no_record_is_named_by_its_line_and_the_others_land(
    daemon: RunningDaemon, tmp_path: Path
) -> None:
    path = tmp_path / "mixed.ndjson"
    good = [line(name, 1, timestamp=START) for name in ("first", "second")]
    path.write_bytes(good[0] + b"surely not\n\n" + b'{"protocol_version":4,"end":{"taken":1}}\n' + good[1])
    cut = tmp_path / "cut.ndjson.gz"
    cut.write_bytes(gzip.compress(line("third", 1, timestamp=START) * 2000)[:-200])
    done = run(daemon, str(path), str(cut))
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[0].startswith(f"{path}:2: not_json: ")
    assert said[1] == f"{path}:4: not a record but a control line"
    assert said[2].startswith(f"{cut}: cannot be read further: ")
    assert "3 invalid" in done.stdout
    assert landed(daemon).keys() >= {"first", "second"}


@pytest.mark.chaos
def test_an_import_that_was_killed_with_its_daemon_goes_on_where_it_stopped(
    daemon: RunningDaemon, tmp_path: Path
) -> None:
    path = tmp_path / "many.ndjson"
    count = 6000
    path.write_bytes(
        b"".join(line(f"call-{index}", index, timestamp=START, tags=["x" * 2000]) for index in range(count))
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(command(daemon, str(path)), env=environment, stderr=subprocess.PIPE, text=True)
    until(lambda: admin.status(daemon.folder / "admin.sock")["received"])
    process.kill()
    process.communicate()
    daemon.kill()
    daemon.start()
    done = run(daemon, str(path))
    assert done.returncode == 0, done.stderr
    assert "already present" in done.stdout
    assert landed(daemon) == {f"call-{index}": 1 for index in range(count)}


def test_a_daemon_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(line("a", 1))
    done = run(RunningDaemon(tmp_path), str(path))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"llmledger: no daemon answers at {tmp_path / 's'} (no such file or directory); start llmledgerd, or name its"
        " socket by --socket or LLMLEDGER_SOCKET"
    )


def test_a_line_over_the_limit_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "long.ndjson"
    path.write_bytes(b"x" * 5000 + b"\n" + line("a", 1))
    (source,) = record_files.sources([path])
    long, good = record_files.lines(source, 4096)
    assert long.fault == "too_long: over 4096 bytes"
    assert not good.fault


def test_a_path_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LlmledgerdError, match="no such file"):
        record_files.sources([tmp_path / "nothing"])
